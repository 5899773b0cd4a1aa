//! Threads for what may wait: the disk's syncs, the lookup of names, the reading of old files. Never
//! for data that is written live.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

type Work = Box<dyn FnOnce() + Send>;

/// A few threads that take work from one queue, first come first served.
#[derive(Debug)]
pub struct Workers {
    queue: Sender<Work>,
}

/// Address space a thread's stack may take; getaddrinfo(3) and its plug-ins need the most.
const STACK_BYTES: usize = 512 * 1024;

impl Workers {
    /// Starts `threads` threads, called `name`.
    pub fn start(name: &str, threads: usize) -> io::Result<Workers> {
        let (queue, waiting) = channel::<Work>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(name.to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&waiting))?;
        }
        Ok(Workers { queue })
    }

    /// Has `work` done by a thread. It tells its result by itself.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) {
        // The threads end only when this sender is dropped, so somebody always receives.
        let _ = self.queue.send(Box::new(work));
    }
}

fn work(waiting: &Mutex<Receiver<Work>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            // The panic was told on standard error; the thread is still good for the next work.
            Ok(work) => drop(catch_unwind(AssertUnwindSafe(work))),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_leaves_the_thread_to_the_next() {
        let workers = Workers::start("test", 1).unwrap();
        let (sender, done) = channel();
        workers.run(|| std::panic::resume_unwind(Box::new(())));
        workers.run(move || sender.send(7).unwrap());
        assert_eq!(done.recv(), Ok(7));
    }
}
