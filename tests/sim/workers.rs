//! The fetcher's workers: jobs are done one after the other, and the world goes on meanwhile.
//!
//! A job waits for a while before it begins and its report before it is looked at; before each of its
//! calls the [`Site`]s make steps, so checkpoints overlap with data. Some checkpoints are made together
//! with those that other sites wait for.

use std::sync::{Arc, Mutex};

use chrono::DateTime;
use fetchlogs::fetch::checkpoint::checkpoint_together;
use fetchlogs::fetch::jobs::{Stored, Task, perform};
use fetchlogs::fetch::late;
use fetchlogs::fetch::recheck::{Recheck as Look, Rechecked, recheck};
use fetchlogs::fetch::store::Stamp;
use fetchlogs::fetch::terms::{Job, Wants};

use crate::fs::SimFs;
use crate::site::Site;

/// All sources of the fetcher.
pub type Sites = Arc<[Mutex<Site>]>;

/// One step of one site, and what the workers have to do. Says whether the process still lives.
pub fn turn(sites: &Sites, which: usize) -> bool {
    let (task, look, stamp, fs) = {
        let mut site = sites[which].lock().unwrap();
        site.step();
        site.take_reports();
        let (task, look) = (site.take_task(), site.take_look());
        let stamp = (task.is_some() || look.is_some()).then(|| site.stamp());
        (task, look, stamp, site.fs.clone())
    };
    let Some(stamp) = stamp else { return fs.inner().death.is_none() };
    if let Some(task) = task {
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
    if let Some(mut look) = look {
        look.store.fs = stepping(sites, which, &look.store.fs);
        let looked = recheck(&look, &stamp);
        sites[which].lock().unwrap().looked = Some(looked);
    }
    fs.inner().death.is_none()
}

/// Before each call some site makes a step, most often its own.
fn stepping(sites: &Sites, which: usize, fs: &SimFs) -> SimFs {
    let sites = Arc::clone(sites);
    fs.while_calling(Arc::new(move || {
        let mut site = sites[which].lock().unwrap();
        if site.rng.coin() {
            site.step();
        } else if sites.len() > 1 {
            let other = site.rng.below(sites.len() as u64) as usize;
            drop(site);
            sites[other].lock().unwrap().step();
        }
    }))
}

fn while_it_runs(sites: &Sites, which: usize, mut task: Task<SimFs>) -> Task<SimFs> {
    task.store.fs = stepping(sites, which, &task.store.fs);
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
    site.hang_up();
    let stamp = site.stamp();
    let waiting =
        site.waiting.take().map(|task| perform(task, &stamp).unwrap_or_else(Stored::Failed));
    let looked = site.look.take().map(|look| recheck(&look, &stamp));
    let stored = site.report.take().or(waiting);
    site.take_last(stored, looked);
    if site.entry.core.dirty() && site.fs.inner().death.is_none() {
        // What fails here is fetched again.
        let _ = perform(site.entry.task(site.slot, Job::Checkpoint), &stamp);
    }
}

impl Site {
    /// Something is not durable yet, or a job runs.
    pub fn unsettled(&self) -> bool {
        let place = self.entry.core.place();
        let following = self.entry.core.wants() == Wants::Data && place.verified();
        let durable = !self.entry.core.busy() && place.durable == place.size;
        !following || !durable || self.entry.late.pending()
    }

    pub fn take_reports(&mut self) {
        if self.report.is_some() && self.rng.hits(self.weather.haste) {
            self.take_report();
        }
        if self.looked.is_some() && self.rng.hits(self.weather.haste) {
            self.take_looked();
        }
    }

    fn take_report(&mut self) {
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

    fn take_looked(&mut self) {
        let Some(done) = self.looked.take() else { return };
        self.say(|| format!("looked: {done:?}"));
        self.entry.handle_rechecked(self.now, done);
        self.drain();
    }

    pub fn take_task(&mut self) -> Option<Task<SimFs>> {
        if self.waiting.is_none() || !self.rng.hits(self.weather.haste) {
            return None;
        }
        self.waiting.take()
    }

    pub fn take_look(&mut self) -> Option<Look<SimFs>> {
        if self.look.is_none() || !self.rng.hits(self.weather.haste) {
            return None;
        }
        self.look.take()
    }

    pub fn stamp(&self) -> Stamp {
        let secs = self.logs.scene().world.now_ns / 1_000_000_000 + self.stamp_skew;
        let name = (20_260_101_000_000 + secs % 1_000_000).to_string();
        Stamp { name, time: DateTime::from_timestamp(secs as i64, 0).unwrap() }
    }

    /// A checkpoint that waits to be begun, or that comes along with those of others.
    pub fn take_checkpoint(&mut self) -> Option<Task<SimFs>> {
        self.entry.core.handle_gathering(self.now);
        self.drain();
        self.waiting.take_if(|task| task.job == Job::Checkpoint)
    }

    /// The process is asked to end: its connections are closed.
    pub fn hang_up(&mut self) {
        self.conns = [None, None];
    }

    /// What has been done is taken note of; nothing new is begun.
    pub fn take_last(&mut self, stored: Option<Stored<SimFs>>, looked: Option<Rechecked>) {
        if let Some(stored) = stored {
            for event in self.entry.handle_stored(self.now, stored) {
                self.hear_event(&event);
            }
        }
        if let Some(looked) = looked.or(self.looked.take()) {
            self.entry.handle_rechecked(self.now, looked);
            while let Some(output) = self.entry.late.poll_output() {
                if let late::Output::Tell(event) = output {
                    self.hear_event(&event);
                }
            }
        }
    }
}
