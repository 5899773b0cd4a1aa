//! Threads for what may wait: the disk's syncs, and the lookup of names. Never for data.

use std::io;
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
            Ok(work) => work(),
            Err(_) => return,
        }
    }
}
