//! The loop around the fetcher's cores: for each source a virtual clock and a connection; one worker.
//!
//! It does what `fetch/fetcher.rs` does with sockets and threads, one small step at a time and in an
//! order that the seed draws. What the cores decide and what jobs do is the real code: an [`Entry`]
//! over [`SimFs`], and [`perform`]. A job waits for a while before it begins and its report before it
//! is looked at; before each of its calls the [`Site`]s make steps, so checkpoints overlap with data.
//! Some checkpoints are made together with those that other sites wait for.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::DateTime;
use fetchlogs::config::parse_fetch;
use fetchlogs::evloop::slots::{Slot, Slots};
use fetchlogs::fetch::checkpoint::checkpoint_together;
use fetchlogs::fetch::entry::Entry;
use fetchlogs::fetch::jobs::{Stored, Task, perform};
use fetchlogs::fetch::store::Stamp;
use fetchlogs::fetch::terms::{End, Job, Output, Recheck, SyncPolicy, Timing, Wants};
use fetchlogs::pos::FileId;
use fetchlogs::proto::fetch::{Ear, strip_alive};
use fetchlogs::proto::request::emit_request;
use fetchlogs::proto::status::Reply;
use fetchlogs::serve::Files;
use fetchlogs::status::event::{Event, Fault};
use fetchlogs::sys::fs::Fs;

use crate::fs::SimFs;
use crate::responder::{Pipe, Serving, served};
use crate::rng::Rng;
use crate::world::{Deed, LOG, World};

pub const TIMING: Timing = Timing {
    reconnect: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(3),
    reply_timeout: Duration::from_secs(3),
    idle_timeout: Duration::from_secs(120),
    sync: SyncPolicy::Within(Duration::from_secs(5)),
    recheck: Recheck::Never,
};

/// What may become of connections; chances in ten thousand steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A connection is cut at some byte.
    pub cut: u64,
    /// Nothing more comes through, and nobody says so.
    pub silence: u64,
    /// A connection can't be made; of ten thousand.
    pub refused: u64,
    /// The responder is that of fetchlogs 1.1.
    pub original: bool,
    /// Steps that the log makes, of ten thousand.
    pub deeds: u64,
    /// Bytes that the kernels hold.
    pub room: usize,
    /// A queued job begins, a report is looked at; of ten thousand.
    pub haste: u64,
    /// Somebody renames the copy and says so.
    pub renamed: u64,
    /// A checkpoint is made in a group; of ten thousand.
    pub together: u64,
}

/// A connection, both ends of it.
#[derive(Debug)]
struct Link {
    serving: Serving,
    pipe: Pipe,
    ear: Ear,
    /// When the attempt is decided, and whether it works.
    connecting: Option<(Instant, bool)>,
    /// No more will come than what is in the pipe; whether in order.
    ended: Option<bool>,
    silent: bool,
}

/// Everything of one source but the disk and the process's worker.
pub struct Site {
    pub fs: SimFs,
    pub world: World,
    pub weather: Weather,
    pub now: Instant,
    pub rng: Rng,
    pub trace: bool,
    pub lost: Vec<u64>,
    pub events: u64,
    /// The copy and the position of which the responder was told last that it is durable.
    pub acknowledged: Option<(FileId, u64)>,
    entry: Entry<SimFs>,
    slot: Slot,
    link: Option<Link>,
    waiting: Option<Task<SimFs>>,
    report: Option<Stored<SimFs>>,
    files: Files,
    renamings: u64,
}

fn new_entry(fs: &SimFs, seed: u64) -> Entry<SimFs> {
    let names = fs.names();
    let (copy, pointer) = (names.copy.display(), names.pointer.display());
    let text = format!("192.0.2.1 19 {LOG} {copy} {pointer} protocol=1\n");
    let config = parse_fetch("simulation", text.as_bytes()).unwrap().sources.remove(0);
    let boot = fs.boot_id().unwrap().into();
    Entry::new(config, TIMING, fs.clone(), boot, seed)
}

impl Site {
    pub fn new(world: World, weather: Weather, fs: SimFs, mut rng: Rng, now: Instant) -> Site {
        let entry = new_entry(&fs, rng.next());
        Site {
            fs,
            world,
            weather,
            now,
            rng,
            trace: false,
            lost: Vec::new(),
            events: 0,
            acknowledged: None,
            entry,
            slot: Slots::default().insert_with(|_| ()),
            link: None,
            waiting: None,
            report: None,
            files: served(),
            renamings: 0,
        }
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            let secs = self.world.now_ns % 1_000_000_000_000;
            eprintln!("{:10.3} {}", secs as f64 / 1e9, what());
        }
    }

    /// A new process; nothing of the one before is left.
    pub fn restart(&mut self) {
        self.say(|| "-- the fetcher starts".to_owned());
        (self.link, self.waiting, self.report) = (None, None, None);
        self.entry = new_entry(&self.fs, self.rng.next());
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.world.now_ns += time.as_nanos() as u64;
    }

    /// One small step of everything but the worker.
    pub fn step(&mut self) {
        let millis = match self.rng.below(20) {
            0..12 => self.rng.between(0, 30),
            12..19 => self.rng.between(30, 500),
            _ => self.rng.between(500, 8000),
        };
        self.pass(Duration::from_millis(millis));
        let nothing_comes = self.link.as_ref().is_none_or(|link| link.pipe.bytes.is_empty());
        let patience = if self.entry.core.busy() { 20 } else { 2000 };
        if nothing_comes && self.rng.hits(patience) {
            self.sleep();
        }
        if self.rng.hits(self.weather.deeds) {
            let deed = self.world.act();
            self.say(|| format!("log: {}", self.world));
            if deed == Deed::Truncated {
                self.notice_truncation();
            }
        }
        if self.rng.hits(self.weather.renamed) {
            self.rename_copy();
        }
        if self.rng.coin() {
            self.serve();
        }
        self.storm();
        self.read();
        if self.entry.core.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.entry.core.handle_due(self.now);
            self.drain();
        }
    }

    /// To the next deadline of either end.
    fn sleep(&mut self) {
        let serving = self.link.as_ref().filter(|link| link.connecting.is_none() && !link.silent);
        let serving = serving.map(|link| link.serving.deadline());
        let connecting = self.link.as_ref().and_then(|link| link.connecting).map(|(at, _)| at);
        let next = [self.entry.core.deadline(), serving, connecting].into_iter().flatten().min();
        if let Some(next) = next {
            self.pass(next.saturating_duration_since(self.now));
        }
    }

    fn rename_copy(&mut self) {
        let copy = self.fs.names().copy.clone();
        let mut shared = self.fs.inner();
        self.renamings += 1;
        let mut moved = copy.clone().into_os_string();
        moved.push(format!(".moved{}", self.renamings));
        if shared.death.is_none() && shared.disk.rename(&copy, Path::new(&moved)) {
            drop(shared);
            self.say(|| format!("copy renamed to {moved:?}"));
            self.entry.core.handle_reopen();
            self.drain();
        }
    }

    // ---- the connection ----

    fn serve(&mut self) {
        let Some(link) = &mut self.link else { return };
        if link.connecting.is_some() || link.ended.is_some() || link.silent {
            return;
        }
        let stays = link.serving.go_on(self.now, &self.world, &self.files, &mut link.pipe);
        if !stays {
            link.ended = Some(true);
            self.say(|| "responder closes".to_owned());
        }
    }

    /// The responder looks before the file has grown beyond what it has sent. An honest exception: a
    /// file that was cut and is longer than that at the next look can't be told from one that grew.
    fn notice_truncation(&mut self) {
        self.serve();
        if let Some(link) = &mut self.link {
            // It may wait for room in the pipe, and would look too late.
            link.ended.get_or_insert(true);
        }
    }

    fn storm(&mut self) {
        let Some(link) = &mut self.link else { return };
        if self.rng.hits(self.weather.cut) {
            let left = self.rng.below(link.pipe.bytes.len() as u64 + 1) as usize;
            link.pipe.bytes.truncate(left);
            link.ended = Some(self.rng.coin());
            self.say(|| "connection cut".to_owned());
        } else if self.rng.hits(self.weather.silence) {
            link.silent = true;
            self.say(|| "connection silent".to_owned());
        }
    }

    fn read(&mut self) {
        for _ in 0..4 {
            let Some(link) = &mut self.link else { return };
            if let Some((at, works)) = link.connecting {
                if at > self.now {
                    return;
                }
                if works {
                    link.connecting = None;
                    self.entry.core.handle_connected(self.now);
                } else {
                    let fault = Fault::InitConnect("connection refused".to_owned());
                    self.entry.core.handle_unreachable(self.now, fault);
                }
                self.drain();
                continue;
            }
            let wants = self.entry.core.wants();
            let there = if link.silent { 0 } else { link.pipe.bytes.len() };
            match (wants, there) {
                (Wants::Nothing, _) => return,
                (_, 0) => {
                    let Some(in_order) = link.ended else { return };
                    let end = if in_order { End::Closed } else { End::Broken("reset".to_owned()) };
                    self.say(|| format!("{end:?}"));
                    self.entry.core.handle_end(self.now, end);
                }
                (Wants::Status, there) => {
                    let seen = self.rng.between(1, there as u64) as usize;
                    let bytes: Vec<u8> = link.pipe.bytes.iter().take(seen).copied().collect();
                    match link.ear.handle_peeked(&bytes) {
                        Ok((used, status)) => {
                            link.pipe.bytes.drain(..used);
                            if let Some(Reply::One(status)) = status {
                                self.say(|| format!("{status:?}"));
                                self.entry.core.handle_status(self.now, status);
                            }
                        }
                        Err(fault) => self.entry.core.handle_wire_fault(self.now, &fault),
                    }
                }
                (Wants::Data, there) => {
                    let count = self.rng.between(1, there as u64) as usize;
                    let mut bytes: Vec<u8> = link.pipe.bytes.drain(..count).collect();
                    let len = strip_alive(&mut bytes);
                    self.entry.take_data(self.now, &bytes[..len], len < count);
                    self.say(|| format!("{len} bytes of {count}: {:?}", self.entry.core.place()));
                }
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.entry.core.poll_output() {
            match output {
                Output::Connect => {
                    let serving = match self.weather.original {
                        true => Serving::original(self.now),
                        false => Serving::ours(self.now),
                    };
                    let at =
                        self.now + Duration::from_millis(self.rng.pick(&[0, 1, 50, 2000, 4000]));
                    let works = !self.rng.hits(self.weather.refused);
                    self.link = Some(Link {
                        serving,
                        pipe: Pipe { room: self.weather.room, ..Pipe::default() },
                        ear: Ear::new(),
                        connecting: Some((at, works)),
                        ended: None,
                        silent: false,
                    });
                }
                Output::Ask(request) => {
                    let request = match self.entry.with_samples(request) {
                        Ok(request) => request,
                        Err(fault) => {
                            let fault = Fault::Store(fault.to_string());
                            self.entry.core.handle_unreadable(self.now, fault);
                            continue;
                        }
                    };
                    let line = emit_request(&request);
                    self.say(|| format!("ask {}", line.escape_ascii()));
                    let Some(link) = self.link.as_mut().filter(|link| link.ended.is_none()) else {
                        continue;
                    };
                    let (now, pipe) = (self.now, &mut link.pipe);
                    if !link.serving.hear(now, &line, &self.world, &self.files, pipe) {
                        link.ended = Some(true);
                        self.say(|| "refused".to_owned());
                    }
                }
                Output::Close => self.link = None,
                Output::Do(job) => {
                    self.say(|| format!("job {job:?}"));
                    assert!(self.waiting.is_none() && self.report.is_none(), "two jobs at once");
                    self.waiting = Some(self.entry.task(self.slot, job));
                }
                Output::Tell(event) => self.hear_event(&event),
                Output::Fail(fault) => self.say(|| format!("fails: {fault}")),
                Output::Acknowledge(position) => {
                    self.acknowledged = self.entry.copy.as_ref().map(|copy| (copy.id, position));
                }
                Output::Succeed | Output::Complete | Output::GiveUp => {}
            }
        }
    }

    fn hear_event(&mut self, event: &Event) {
        self.say(|| format!("EVENT {event}"));
        self.events += 1;
        match event {
            Event::Lost { inode, .. } => self.lost.push(inode.number()),
            // What is kept apart may be all that there is of it.
            Event::TailCut { kept: Some(_), .. } => {
                self.lost.extend(self.entry.core.generation().map(|known| known.inode.number()));
            }
            _ => {}
        }
    }

    // ---- the worker ----

    /// Something is not durable yet, or a job runs.
    pub fn unsettled(&self) -> bool {
        let place = self.entry.core.place();
        self.entry.core.busy() || place.durable < place.size
    }

    fn take_report(&mut self) {
        if self.report.is_none() || !self.rng.hits(self.weather.haste) {
            return;
        }
        let Some(stored) = self.report.take() else { return };
        self.say(|| match &stored {
            Stored::Failed(fault) => format!("job failed: {fault}"),
            Stored::Standing(standing, _) => {
                format!("standing {:?} {:?}", standing.generation, standing.place)
            }
            other => format!("job done: {other:?}"),
        });
        for event in self.entry.handle_stored(self.now, stored) {
            self.hear_event(&event);
        }
        self.drain();
    }

    fn take_task(&mut self) -> Option<(Task<SimFs>, Stamp)> {
        if self.waiting.is_none() || !self.rng.hits(self.weather.haste) {
            return None;
        }
        Some((self.waiting.take()?, self.stamp()))
    }

    fn stamp(&self) -> Stamp {
        let secs = self.world.now_ns / 1_000_000_000;
        let name = (20_260_101_000_000 + secs % 1_000_000).to_string();
        Stamp { name, time: DateTime::from_timestamp(secs as i64, 0).unwrap() }
    }

    /// A checkpoint that waits to be begun, or that comes along with those of others.
    fn take_checkpoint(&mut self) -> Option<Task<SimFs>> {
        self.entry.core.handle_gathering(self.now);
        self.drain();
        self.waiting.take_if(|task| task.job == Job::Checkpoint)
    }
}

/// All sources of the fetcher.
pub type Sites = Arc<[Mutex<Site>]>;

/// One step of one site, and what the worker has to do. Says whether the process still lives.
pub fn turn(sites: &Sites, which: usize) -> bool {
    let (task, fs) = {
        let mut site = sites[which].lock().unwrap();
        site.step();
        site.take_report();
        (site.take_task(), site.fs.clone())
    };
    if let Some((task, stamp)) = task {
        let together = {
            let mut site = sites[which].lock().unwrap();
            let chance = site.weather.together;
            task.job == Job::Checkpoint && site.rng.hits(chance)
        };
        if together {
            checkpoint(sites, which, task);
        } else {
            let task = while_it_runs(sites, which, task);
            let stored = perform(task, &stamp).unwrap_or_else(Stored::Failed);
            sites[which].lock().unwrap().report = Some(stored);
        }
    }
    fs.inner().death.is_none()
}

/// Before each call of the task some site makes a step, most often its own.
fn while_it_runs(sites: &Sites, which: usize, mut task: Task<SimFs>) -> Task<SimFs> {
    let sites = Arc::clone(sites);
    task.store.fs = task.store.fs.while_calling(Arc::new(move || {
        let mut site = sites[which].lock().unwrap();
        if site.rng.coin() {
            site.step();
        } else if sites.len() > 1 {
            let other = site.rng.below(sites.len() as u64) as usize;
            drop(site);
            sites[other].lock().unwrap().step();
        }
    }));
    task
}

/// A group of checkpoints: this one and those that other sites want.
fn checkpoint(sites: &Sites, which: usize, task: Task<SimFs>) {
    let mut all = vec![(which, task)];
    for (other, site) in sites.iter().enumerate().filter(|(other, _)| *other != which) {
        let mut site = site.lock().unwrap();
        // Some come too late: what they have is written, and perhaps lost, with the others' all the same.
        if site.rng.hits(8000) {
            all.extend(site.take_checkpoint().map(|task| (other, task)));
        }
    }
    let checkpoints = all.into_iter().map(|(which, task)| {
        let task = while_it_runs(sites, which, task);
        (which, task.into_checkpoint().expect("a checkpoint"))
    });
    for (which, result) in checkpoint_together(checkpoints.collect()) {
        let stored = result.map_or_else(Stored::Failed, Stored::Checkpointed);
        sites[which].lock().unwrap().report = Some(stored);
    }
}

/// The process is asked to end: what runs is done, and what it has is made durable.
pub fn end_in_order(site: &mut Site) {
    site.say(|| "-- asked to end".to_owned());
    site.link = None;
    let stamp = site.stamp();
    let waiting =
        site.waiting.take().map(|task| perform(task, &stamp).unwrap_or_else(Stored::Failed));
    if let Some(stored) = site.report.take().or(waiting) {
        for event in site.entry.handle_stored(site.now, stored) {
            site.hear_event(&event);
        }
    }
    if site.entry.core.dirty() && site.fs.inner().death.is_none() {
        // What fails here is fetched again.
        let _ = perform(site.entry.task(site.slot, Job::Checkpoint), &stamp);
    }
}
