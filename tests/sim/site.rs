//! One source: its host's log and responder, its connections, and its row in the fetcher's table.
//!
//! It does what `fetch/fetcher.rs` does with sockets and threads, one small step at a time and in an
//! order that the seed draws. What the cores decide, what is read from connections and what jobs do is
//! the real code: an [`Entry`] over [`SimFs`], [`read`], and the jobs. The virtual clock is the
//! source's own.

use std::path::Path;
use std::time::{Duration, Instant};

use fetchlogs::config::parse_fetch;
use fetchlogs::evloop::slots::{Slot, Slots};
use fetchlogs::fetch::conn::{Conn, Role};
use fetchlogs::fetch::entry::Entry;
use fetchlogs::fetch::jobs::{Stored, Task};
use fetchlogs::fetch::late;
use fetchlogs::fetch::reading::read;
use fetchlogs::fetch::recheck::{Recheck as Look, Rechecked};
use fetchlogs::fetch::terms::{Goal, Output, Recheck, SyncPolicy, Timing};
use fetchlogs::pos::FileId;
use fetchlogs::status::event::{Event, Fault};
use fetchlogs::sys::fs::Fs;

use crate::align::Loss;
use crate::deeds::Deed;
use crate::fs::SimFs;
use crate::link::Dialled;
use crate::plan::{Hosting, Weather};
use crate::rng::Rng;
use crate::serving::{Meanwhile, Served, Serving, SimLogs};
use crate::visitor::Visitor;
use crate::wire::{End, Wire};
use crate::world::{LOG, World};

fn timing(late: bool) -> Timing {
    let recheck = if late { Recheck::After(Duration::from_secs(75)) } else { Recheck::Never };
    Timing {
        reconnect: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(3),
        reply_timeout: Duration::from_secs(3),
        idle_timeout: Duration::from_secs(120),
        sync: SyncPolicy::Within(Duration::from_secs(5)),
        recheck,
    }
}

/// What became of a source, for the totals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub connections: u64,
    pub refused: u64,
    pub cuts: u64,
    pub silences: u64,
    pub stalls: u64,
    pub responder_kills: u64,
    pub jumps: u64,
    pub events: u64,
    pub late_bytes: u64,
    pub acknowledged: u64,
    pub digests: u64,
    pub lists: u64,
    pub served: Served,
}

impl Counts {
    pub fn add(&mut self, one: &Counts) {
        self.connections += one.connections;
        self.refused += one.refused;
        self.cuts += one.cuts;
        self.silences += one.silences;
        self.stalls += one.stalls;
        self.responder_kills += one.responder_kills;
        self.jumps += one.jumps;
        self.events += one.events;
        self.late_bytes += one.late_bytes;
        self.acknowledged += one.acknowledged;
        self.digests += one.digests;
        self.lists += one.lists;
        self.served.add(&one.served);
    }
}

/// Everything of one source but the fetcher's disk and workers.
pub struct Site {
    pub fs: SimFs,
    pub logs: SimLogs,
    pub hosting: Hosting,
    pub weather: Weather,
    pub now: Instant,
    pub began: Instant,
    pub rng: Rng,
    pub trace: bool,
    pub lost: Vec<Loss>,
    /// The generation was asked for by its first bytes, so without a digest.
    blind: bool,
    pub counts: Counts,
    /// The copy and the position of which the responder was told last that it is durable.
    pub acknowledged: Option<(FileId, u64)>,
    /// Whether the source is fetched once, and what came of it.
    pub goal: Goal,
    pub complete: Option<bool>,
    /// The life of the fetcher that runs has told of a loss.
    pub told_lost: bool,
    pub entry: Entry<SimFs>,
    pub slot: Slot,
    pub waiting: Option<Task<SimFs>>,
    pub report: Option<Stored<SimFs>>,
    pub look: Option<Look<SimFs>>,
    pub looked: Option<Rechecked>,
    serving: Option<Serving>,
    /// When the responder's process is started again.
    pub down_until: Instant,
    boot: u64,
    /// By their roles.
    pub conns: [Option<Conn<crate::wire::Plug>>; 2],
    pub dialled: Vec<Dialled>,
    pub wires: Vec<Wire>,
    admitting: bool,
    pub visitors: Vec<Visitor>,
    /// Since when there is no more trouble.
    pub calm_at: Instant,
    /// What somebody was told that is not so.
    pub wrong: Option<String>,
    buffer: Box<[u8]>,
    pub stamp_skew: u64,
    renamings: u64,
}

fn new_entry(fs: &SimFs, hosting: Hosting, seed: u64) -> Entry<SimFs> {
    let names = fs.names();
    let (copy, pointer) = (names.copy.display(), names.pointer.display());
    let option = if hosting.one { " protocol=1" } else { "" };
    let text = format!("192.0.2.1 19 {LOG} {copy} {pointer}{option}\n");
    let config = parse_fetch("simulation", text.as_bytes()).unwrap().sources.remove(0);
    let boot = fs.boot_id().unwrap().into();
    Entry::new(config, timing(hosting.late), fs.clone(), boot, seed)
}

impl Site {
    pub fn new(
        world: World,
        hosting: Hosting,
        weather: Weather,
        fs: SimFs,
        mut rng: Rng,
        now: Instant,
    ) -> Site {
        let entry = new_entry(&fs, hosting, rng.next());
        let meanwhile = Meanwhile { deeds: weather.meanwhile, full: weather.full };
        Site {
            fs,
            logs: SimLogs::new(world, meanwhile, Rng::new(rng.next())),
            hosting,
            weather,
            now,
            began: now,
            rng,
            trace: false,
            lost: Vec::new(),
            blind: false,
            counts: Counts::default(),
            acknowledged: None,
            goal: Goal::Follow,
            complete: None,
            told_lost: false,
            entry,
            slot: Slots::default().insert_with(|_| ()),
            waiting: None,
            report: None,
            look: None,
            looked: None,
            serving: None,
            down_until: now,
            boot: 1,
            conns: [None, None],
            dialled: Vec::new(),
            wires: Vec::new(),
            admitting: false,
            visitors: Vec::new(),
            calm_at: now,
            wrong: None,
            buffer: vec![0; 4096].into(),
            stamp_skew: 0,
            renamings: 0,
        }
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            let secs = self.logs.scene().world.now_ns % 1_000_000_000_000;
            eprintln!("{:10.3} {} {}", secs as f64 / 1e9, self.fs.names().copy.display(), what());
        }
    }

    /// A new process of the fetcher; nothing of the one before is left. Its connections are closed by
    /// the kernel, or nobody hears of it.
    pub fn restart(&mut self, powerless: bool) {
        self.say(|| "-- the fetcher starts".to_owned());
        if powerless {
            let now = self.now;
            self.wires.iter().for_each(|wire| wire.fall_silent(now));
        }
        (self.conns, self.waiting, self.report) = ([None, None], None, None);
        (self.look, self.looked, self.admitting) = (None, None, false);
        self.dialled.clear();
        (self.complete, self.told_lost) = (None, false);
        if self.rng.hits(self.weather.jumps) {
            self.counts.jumps += 1;
            self.stamp_skew = self.rng.below(1_000_000);
        }
        self.entry = new_entry(&self.fs, self.hosting, self.rng.next());
        self.entry.core.aim(self.goal);
        self.drain();
    }

    /// Nothing holds up anything any more.
    pub fn hurry(&mut self) {
        (self.down_until, self.calm_at) = (self.now, self.now);
        self.wires.iter().for_each(Wire::hurry);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.logs.scene().world.now_ns += time.as_nanos() as u64;
    }

    /// One small step of everything but the fetcher's workers.
    pub fn step(&mut self) {
        let millis = match self.rng.below(20) {
            _ if self.weather.quick => self.rng.between(0, 50),
            0..12 => self.rng.between(0, 30),
            12..19 => self.rng.between(30, 500),
            _ => self.rng.between(500, 8000),
        };
        self.pass(Duration::from_millis(millis));
        let nothing_comes = match self.weather.quick {
            true => self.wires.iter().all(Wire::is_quiet),
            false => !self.wires.iter().any(|wire| wire.has_news(End::Fetcher)),
        };
        let busy = self.entry.core.busy() || self.entry.late.busy() || self.looked.is_some();
        let serving_busy = self.serving.as_ref().is_some_and(Serving::is_busy);
        let patience = match busy || serving_busy {
            true if self.weather.quick => 0,
            true => 20,
            false => 2000,
        };
        if nothing_comes && self.rng.hits(patience) {
            self.sleep();
        }
        if self.rng.hits(self.weather.deeds) {
            let deed = {
                let mut scene = self.logs.scene();
                scene.acted = true;
                scene.world.act()
            };
            self.say(|| format!("log: {}", self.logs.scene().world));
            if deed == Deed::Truncated && self.hosting.original {
                self.notice_truncation();
            }
        }
        self.notice_power();
        if self.rng.hits(self.weather.jumps) {
            self.counts.jumps += 1;
            let ahead = Duration::from_secs(self.rng.pick(&[1, 60, 4000])).as_nanos() as u64;
            self.logs.scene().world.now_ns += ahead;
            self.say(|| "the host's clock is put forward".to_owned());
        }
        if self.rng.hits(self.weather.renamed) {
            self.rename_copy();
        }
        self.storm();
        self.connect_and_carry();
        self.serve();
        self.visit();
        self.take_turns();
        if self.entry.core.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.entry.core.handle_due(self.now);
        }
        if self.entry.late.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.entry.late.handle_due(self.now);
        }
        if self.admitting && self.rng.coin() {
            self.admitting = false;
            if self.entry.late.queued() {
                self.entry.admit_late(self.now);
            }
        }
        self.drain();
    }

    /// To the next deadline of either end.
    fn sleep(&mut self) {
        let serving = self.serving.as_ref().and_then(Serving::deadline);
        let dialled = self.dialled.iter().map(|one| match one.connected {
            false => one.decided_at,
            true => one.accepted_at.max(self.down_until),
        });
        let next = [self.entry.deadline(), serving, dialled.min()].into_iter().flatten().min();
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

    // ---- the responder ----

    fn serve(&mut self) {
        let now = self.now;
        if self.serving.is_none() && now >= self.down_until {
            let (boot, original) = (self.boot, self.hosting.original);
            self.serving = Some(Serving::new(self.logs.clone(), boot, original, now));
        }
        let Some(serving) = &mut self.serving else { return };
        for at in (0..self.dialled.len()).rev() {
            if self.dialled[at].connected && self.dialled[at].accepted_at <= now {
                serving.accept(now, self.dialled.swap_remove(at).wire.accept());
            }
        }
        let Weather { hints, haste, failing, .. } = self.weather;
        let acted = std::mem::take(&mut self.logs.scene().acted);
        let hinted = acted && self.rng.hits(hints);
        serving.run_errands(now, haste, failing, &mut self.rng);
        serving.go_on(now, hinted);
        let closed = std::mem::take(&mut serving.closed);
        for why in closed {
            self.say(|| format!("responder closes: {why}"));
        }
    }

    /// fetchlogs 1.1 looks before the file has grown beyond what it has sent. An honest exception: to
    /// it, a file that was cut and is longer than that at the next look is one that grew.
    fn notice_truncation(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.wires().iter().for_each(|wire| wire.cut(&mut self.rng));
            self.end_serving(serving);
        }
    }

    /// Who runs on a host that has lost power is no more.
    pub fn notice_power(&mut self) {
        let dead = std::mem::take(&mut self.logs.scene().world.dead);
        if dead {
            self.kill_responder(true);
        }
    }

    /// The responder's process is killed, or its host loses power.
    pub fn kill_responder(&mut self, powerless: bool) {
        self.counts.responder_kills += 1;
        self.boot += u64::from(powerless);
        let away = self.rng.pick(&[0, 0, 2, 30, 200]);
        self.down_until = self.now + Duration::from_secs(away);
        self.say(|| format!("-- the responder is killed; powerless: {powerless}"));
        let Some(mut serving) = self.serving.take() else { return };
        if powerless {
            let now = self.now;
            serving.wires().iter().for_each(|wire| wire.fall_silent(now));
        } else if self.rng.hits(2000) {
            serving.part();
        }
        self.end_serving(serving);
    }

    fn end_serving(&mut self, serving: Serving) {
        self.counts.served.add(&serving.served);
    }

    /// What all responders have done.
    pub fn served(&self) -> Served {
        let mut all = self.counts.served;
        self.serving.iter().for_each(|serving| all.add(&serving.served));
        all
    }

    // ---- the fetcher ----

    /// Each connection's share of the turn.
    fn take_turns(&mut self) {
        self.take_main_turn();
        self.take_late_turn();
    }

    fn take_main_turn(&mut self) {
        let Some(conn) = &mut self.conns[Role::Main as usize] else { return };
        if !conn.connected {
            match conn.poll_connected() {
                Ok(false) => return,
                Ok(true) => {
                    self.entry.forget_addresses(None);
                    self.entry.core.handle_connected(self.now);
                    self.entry.late.handle_reachable(self.now);
                }
                Err(error) => self.fail_to_connect(&error.to_string()),
            }
        } else if let Err(error) = conn.send_rest() {
            let fault = Fault::InitWrite(error.to_string());
            self.entry.core.handle_unreachable(self.now, fault);
        }
        self.drain();
        self.read(Role::Main);
    }

    fn take_late_turn(&mut self) {
        let Some(conn) = &mut self.conns[Role::Late as usize] else { return };
        let done = match conn.connected {
            true => conn.send_rest(),
            false => match conn.poll_connected() {
                Ok(false) => return,
                Ok(true) => {
                    self.entry.late.handle_connected(self.now);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = done {
            self.entry.late.handle_unreachable(self.now, &error.to_string());
        }
        self.drain();
        self.read(Role::Late);
    }

    fn read(&mut self, role: Role) {
        if let Some(conn) = &mut self.conns[role as usize] {
            conn.readable = conn.stream.wire().has_news(End::Fetcher);
        }
        loop {
            // Carrying out what the last bytes meant may have closed the connection.
            let Some(conn) = &mut self.conns[role as usize] else { return };
            if !conn.readable {
                return;
            }
            let some = match self.rng.below(4) {
                0 => self.rng.between(1, 8) as usize,
                _ => self.buffer.len(),
            };
            let taken = read(self.now, &mut self.entry, conn, &mut self.buffer[..some]);
            let Some(count) = taken else { return };
            self.say(|| format!("{role:?}: {count} bytes: {:?}", self.entry.core.place()));
            self.drain();
        }
    }

    fn fail_to_connect(&mut self, why: &str) {
        self.conns[Role::Main as usize] = None;
        let fault = Fault::InitConnect(why.to_owned());
        self.entry.core.handle_unreachable(self.now, fault);
    }

    /// Carries out everything that the cores want done.
    pub fn drain(&mut self) {
        while let Some(output) = self.entry.core.poll_output() {
            self.carry_out(output);
        }
        while let Some(output) = self.entry.late.poll_output() {
            self.carry_out_late(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let main = &mut self.conns[Role::Main as usize];
        match output {
            Output::Connect => {
                if let Err(why) = self.dial(Role::Main) {
                    self.fail_to_connect(why);
                }
            }
            Output::Ask(request) => {
                self.blind |= request.have.is_some_and(|have| have.offset <= 1);
                let empty = request.have.filter(|have| have.offset == 0);
                let numbers = empty.map(|have| have.inode.number());
                self.logs.scene().world.asked_blindly.extend(numbers);
                let request = match self.entry.with_samples(request) {
                    Ok(request) => request,
                    Err(fault) => {
                        let fault = Fault::Store(fault.to_string());
                        return self.entry.core.handle_unreadable(self.now, fault);
                    }
                };
                let sent = main.as_mut().map_or(Ok(()), |conn| conn.ask(request.clone()));
                self.say(|| format!("ask {request:?}"));
                if let Err(error) = sent {
                    let fault = Fault::InitWrite(error.to_string());
                    self.entry.core.handle_unreachable(self.now, fault);
                }
            }
            Output::Acknowledge(position) => {
                if let Some(conn) = main {
                    // Reading will show that it is broken.
                    let _ = conn.acknowledge(position);
                }
                self.counts.acknowledged += 1;
                self.acknowledged = self.entry.copy.as_ref().map(|copy| (copy.id, position));
            }
            Output::Close => *main = None,
            Output::Do(job) => {
                self.say(|| format!("job {job:?}"));
                assert!(self.waiting.is_none() && self.report.is_none(), "two jobs at once");
                self.waiting = Some(self.entry.task(self.slot, job));
            }
            Output::Tell(event) => self.hear_event(&event),
            Output::Fail(fault) => self.say(|| format!("fails: {fault}")),
            Output::Complete => self.complete = Some(true),
            Output::GiveUp => self.complete = Some(false),
            Output::Succeed => {}
        }
    }

    fn carry_out_late(&mut self, output: late::Output) {
        let conn = &mut self.conns[Role::Late as usize];
        match output {
            late::Output::Admit => self.admitting = true,
            late::Output::Connect => {
                if let Err(why) = self.dial(Role::Late) {
                    self.entry.late.handle_unreachable(self.now, why);
                }
            }
            late::Output::Ask(request) => {
                let asked = self
                    .entry
                    .with_archive_samples(request)
                    .and_then(|request| conn.as_mut().map_or(Ok(()), |conn| conn.ask(request)));
                self.say(|| "asks for late bytes".to_owned());
                if let Err(error) = asked {
                    self.entry.late.handle_unreachable(self.now, &error.to_string());
                }
            }
            late::Output::Open => self.look = self.entry.recheck(self.slot, None),
            late::Output::Record(place) => {
                self.look = self.entry.recheck(self.slot, Some(place));
                self.conns[Role::Late as usize] = None;
            }
            late::Output::Close => {
                self.entry.archive = None;
                *conn = None;
            }
            late::Output::Tell(event) => self.hear_event(&event),
            late::Output::Note(what) => self.say(|| what),
        }
    }

    pub fn hear_event(&mut self, event: &Event) {
        self.say(|| format!("EVENT {event}"));
        self.counts.events += 1;
        match event {
            Event::Lost { inode, offset, end } => {
                self.told_lost = true;
                let (from, to) = (Some(*offset), *end);
                self.lost.push(Loss { inode: inode.number(), from, to, blind: self.blind });
            }
            // What is kept apart may be all that there is of it.
            Event::TailCut { kept: Some(_), .. } => {
                let known = self.entry.core.generation().map(|known| known.inode.number());
                self.lost.extend(known.map(|inode| Loss {
                    inode,
                    from: None,
                    to: None,
                    blind: true,
                }));
            }
            Event::Rotated { .. } => self.blind = false,
            Event::Late { bytes, .. } => self.counts.late_bytes += bytes,
            _ => {}
        }
    }
}
