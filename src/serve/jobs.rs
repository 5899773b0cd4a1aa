//! What threads do for connections beside the loop, and how they tell it.
//!
//! A connection has one errand at a time. It waits here, not in a thread's queue, until a thread is
//! free: so what waits is bounded by the connections, and an errand whose connection is gone is taken
//! out again. One that runs already is called off by a flag, and its report finds nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;

use super::errands::Done;
use crate::evloop::slots::Slot;
use crate::sys::workers::Workers;

/// Where errands queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// To look for generations by what is in them, which may take long.
    Find,
    /// To open the current file or to read the next piece of something, which is soon done.
    Read,
}

/// Threads that look for generations. More than one, so that who compares much does not hold up the
/// others; few, since the disk is one.
const FINDING_THREADS: usize = 4;

/// Threads that do what is soon done.
const READING_THREADS: usize = 2;

/// What a worker tells.
#[derive(Debug)]
pub struct Report {
    /// Whose errand it was.
    pub slot: Slot,
    lane: Lane,
    /// How it ended.
    pub done: Done,
}

/// Something that is being done for a connection; called off when dropped.
#[derive(Debug)]
pub struct Errand {
    lane: Lane,
    number: u64,
    stop: Arc<AtomicBool>,
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// An errand that waits for a thread.
struct Waiting {
    slot: Slot,
    stop: Arc<AtomicBool>,
    work: Box<dyn FnOnce(&AtomicBool) -> Done + Send>,
}

/// A few threads, and what waits for them.
struct Queue {
    lane: Lane,
    workers: Workers,
    threads: usize,
    running: usize,
    waiting: BTreeMap<u64, Waiting>,
}

/// The queues and their mailbox.
pub struct Jobs {
    find: Queue,
    read: Queue,
    count: u64,
    sender: Sender<Report>,
    reports: Receiver<Report>,
    waker: Arc<Waker>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [&self.find, &self.read].into_iter().try_for_each(|queue| {
            write!(f, "{:?}: {} run, {} wait. ", queue.lane, queue.running, queue.waiting.len())
        })
    }
}

impl Queue {
    fn start(lane: Lane, name: &str, threads: usize) -> io::Result<Queue> {
        let workers = Workers::start(name, threads)?;
        Ok(Queue { lane, workers, threads, running: 0, waiting: BTreeMap::new() })
    }

    fn start_next(&mut self, sender: &Sender<Report>, waker: &Arc<Waker>) {
        let lane = self.lane;
        while self.running < self.threads
            && let Some((_, Waiting { slot, stop, work })) = self.waiting.pop_first()
        {
            self.running += 1;
            let report = Some(Report { slot, lane, done: Done::Failed });
            let letter = Letter { report, sender: sender.clone(), waker: Arc::clone(waker) };
            self.workers.run(move || letter.tell(work(&stop)));
        }
    }
}

impl Jobs {
    /// Starts the threads; `waker` wakes the loop.
    pub fn start(waker: Arc<Waker>) -> io::Result<Jobs> {
        let (sender, reports) = channel();
        Ok(Jobs {
            find: Queue::start(Lane::Find, "find", FINDING_THREADS)?,
            read: Queue::start(Lane::Read, "read", READING_THREADS)?,
            count: 0,
            sender,
            reports,
            waker,
        })
    }

    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Find => &mut self.find,
            Lane::Read => &mut self.read,
        }
    }

    /// Has `work` done for the connection `slot`; it looks now and then whether it was called off.
    pub fn run(
        &mut self,
        lane: Lane,
        slot: Slot,
        work: impl FnOnce(&AtomicBool) -> Done + Send + 'static,
    ) -> Errand {
        self.count += 1;
        let errand = Errand { lane, number: self.count, stop: Arc::default() };
        let stop = Arc::clone(&errand.stop);
        let waiting = Waiting { slot, stop, work: Box::new(work) };
        self.queue(lane).waiting.insert(errand.number, waiting);
        self.start_next(lane);
        errand
    }

    /// Its connection is gone.
    pub fn forget(&mut self, errand: &Errand) {
        self.queue(errand.lane).waiting.remove(&errand.number);
    }

    /// The next report, if there is one.
    pub fn poll_report(&mut self) -> Option<Report> {
        let report = self.reports.try_recv().ok()?;
        self.queue(report.lane).running -= 1;
        self.start_next(report.lane);
        Some(report)
    }

    fn start_next(&mut self, lane: Lane) {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        self.queue(lane).start_next(&sender, &waker);
    }
}

/// A report that is sent when its work is over, also if that panicked.
struct Letter {
    report: Option<Report>,
    sender: Sender<Report>,
    waker: Arc<Waker>,
}

impl Letter {
    fn tell(mut self, done: Done) {
        if let Some(report) = &mut self.report {
            report.done = done;
        }
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        // The loop may have ended meanwhile: then nobody wants to know.
        if let Some(report) = self.report.take()
            && self.sender.send(report).is_ok()
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evloop::EventLoop;
    use crate::evloop::slots::Slots;
    use std::time::{Duration, Instant};

    fn slots() -> Vec<Slot> {
        let mut slots = Slots::default();
        (0..FINDING_THREADS + 2).map(|_| slots.insert_with(|_| ())).collect()
    }

    fn wait_for_report(jobs: &mut Jobs) -> Report {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(report) = jobs.poll_report() {
                return report;
            }
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_waits_is_begun_in_its_order_and_forgotten_with_its_connection() {
        let evloop = EventLoop::new().unwrap();
        let mut jobs = Jobs::start(Arc::new(evloop.waker().unwrap())).unwrap();
        let slots = slots();
        let (gate, opened) = channel::<()>();
        let opened = Arc::new(std::sync::Mutex::new(opened));
        let busy: Vec<Errand> = slots[..FINDING_THREADS]
            .iter()
            .map(|&slot| {
                let opened = Arc::clone(&opened);
                jobs.run(Lane::Find, slot, move |_| {
                    opened.lock().unwrap().recv().unwrap();
                    Done::Successor(true)
                })
            })
            .collect();
        let forgotten = jobs.run(Lane::Find, slots[FINDING_THREADS], |_| Done::Successor(false));
        let last = jobs.run(Lane::Find, slots[FINDING_THREADS + 1], |_| Done::Successor(false));
        jobs.forget(&forgotten);
        assert_eq!(jobs.find.waiting.len(), 1);
        for _ in &busy {
            gate.send(()).unwrap();
        }
        let told: Vec<Slot> = (0..=busy.len()).map(|_| wait_for_report(&mut jobs).slot).collect();
        assert!(told.contains(&slots[FINDING_THREADS + 1]));
        assert!(!told.contains(&slots[FINDING_THREADS]));
        assert_eq!(jobs.find.running, 0);
        drop(last);
    }

    #[test]
    fn an_errand_that_is_dropped_is_called_off_and_one_that_panics_is_told_as_failed() {
        let evloop = EventLoop::new().unwrap();
        let mut jobs = Jobs::start(Arc::new(evloop.waker().unwrap())).unwrap();
        let slot = slots()[0];
        let errand = jobs.run(Lane::Find, slot, |stop| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Done::Successor(true)
        });
        drop(errand);
        assert!(matches!(wait_for_report(&mut jobs).done, Done::Successor(true)));
        let _errand = jobs.run(Lane::Find, slot, |_| std::panic::resume_unwind(Box::new(())));
        assert!(matches!(wait_for_report(&mut jobs).done, Done::Failed));
    }
}
