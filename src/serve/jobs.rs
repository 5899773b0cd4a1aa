//! What threads do for connections beside the loop, and how they tell it.
//!
//! A connection has one errand at a time. It waits here, not in a thread's queue, until a thread is
//! free: so what waits is bounded by the connections, and an errand whose connection is gone is taken
//! out again. One that runs already is called off by a flag, and its report finds nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
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
pub struct Report<F> {
    /// Whose errand it was.
    pub slot: Slot,
    lane: Lane,
    /// How it ended.
    pub done: Done<F>,
}

/// Something that is being done for a connection; called off when dropped.
#[derive(Debug)]
pub struct Errand {
    lane: Lane,
    number: u64,
    stop: Arc<AtomicBool>,
}

impl Errand {
    /// The errand of that number, and the flag by which its work sees that it was called off.
    pub fn new(lane: Lane, number: u64) -> (Errand, Arc<AtomicBool>) {
        let errand = Errand { lane, number, stop: Arc::default() };
        let stop = Arc::clone(&errand.stop);
        (errand, stop)
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is to be done; it looks now and then whether it was called off.
pub type Work<F> = Box<dyn FnOnce(&AtomicBool) -> Done<F> + Send>;

/// Whoever does errands for connections.
pub trait Hands<F> {
    /// Has `work` done for the connection `slot`, which is told by [`Conn::take`](super::conn::Conn::take).
    fn run(&mut self, lane: Lane, slot: Slot, work: Work<F>) -> Errand;
    /// Its connection is gone.
    fn forget(&mut self, errand: &Errand);
}

/// An errand that waits for a thread.
struct Waiting<F> {
    slot: Slot,
    stop: Arc<AtomicBool>,
    work: Work<F>,
}

/// A few threads, and what waits for them.
struct Queue<F> {
    lane: Lane,
    workers: Workers,
    threads: usize,
    running: usize,
    waiting: BTreeMap<u64, Waiting<F>>,
}

/// The queues and their mailbox.
pub struct Jobs<F = File> {
    find: Queue<F>,
    read: Queue<F>,
    count: u64,
    sender: Sender<Report<F>>,
    reports: Receiver<Report<F>>,
    waker: Arc<Waker>,
}

impl<F> fmt::Debug for Jobs<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [&self.find, &self.read].into_iter().try_for_each(|queue| {
            write!(f, "{:?}: {} run, {} wait. ", queue.lane, queue.running, queue.waiting.len())
        })
    }
}

impl<F: Send + 'static> Queue<F> {
    fn start(lane: Lane, name: &str, threads: usize) -> io::Result<Queue<F>> {
        let workers = Workers::start(name, threads)?;
        Ok(Queue { lane, workers, threads, running: 0, waiting: BTreeMap::new() })
    }

    fn start_next(&mut self, sender: &Sender<Report<F>>, waker: &Arc<Waker>) {
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

impl<F: Send + 'static> Jobs<F> {
    /// Starts the threads; `waker` wakes the loop.
    pub fn start(waker: Arc<Waker>) -> io::Result<Jobs<F>> {
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

    fn queue(&mut self, lane: Lane) -> &mut Queue<F> {
        match lane {
            Lane::Find => &mut self.find,
            Lane::Read => &mut self.read,
        }
    }

    /// The next report, if there is one.
    pub fn poll_report(&mut self) -> Option<Report<F>> {
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

impl<F: Send + 'static> Hands<F> for Jobs<F> {
    fn run(&mut self, lane: Lane, slot: Slot, work: Work<F>) -> Errand {
        self.count += 1;
        let (errand, stop) = Errand::new(lane, self.count);
        self.queue(lane).waiting.insert(errand.number, Waiting { slot, stop, work });
        self.start_next(lane);
        errand
    }

    fn forget(&mut self, errand: &Errand) {
        self.queue(errand.lane).waiting.remove(&errand.number);
    }
}

/// A report that is sent when its work is over, also if that panicked.
struct Letter<F> {
    report: Option<Report<F>>,
    sender: Sender<Report<F>>,
    waker: Arc<Waker>,
}

impl<F> Letter<F> {
    fn tell(mut self, done: Done<F>) {
        if let Some(report) = &mut self.report {
            report.done = done;
        }
    }
}

impl<F> Drop for Letter<F> {
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

    fn wait_for_report(jobs: &mut Jobs) -> Report<File> {
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
                let work = move |_: &AtomicBool| {
                    opened.lock().unwrap().recv().unwrap();
                    Done::Successor(true)
                };
                jobs.run(Lane::Find, slot, Box::new(work))
            })
            .collect();
        let answer = || Box::new(|_: &AtomicBool| Done::Successor(false));
        let forgotten = jobs.run(Lane::Find, slots[FINDING_THREADS], answer());
        let last = jobs.run(Lane::Find, slots[FINDING_THREADS + 1], answer());
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
        let work = |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Done::Successor(true)
        };
        let errand = jobs.run(Lane::Find, slot, Box::new(work));
        drop(errand);
        assert!(matches!(wait_for_report(&mut jobs).done, Done::Successor(true)));
        let _errand =
            jobs.run(Lane::Find, slot, Box::new(|_| std::panic::resume_unwind(Box::new(()))));
        assert!(matches!(wait_for_report(&mut jobs).done, Done::Failed));
    }
}
