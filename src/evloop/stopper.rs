//! Ending a loop from another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Waker;

/// Makes a loop end soon. Clones end the same loop.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// For the loop that `waker` wakes.
    pub fn new(waker: Arc<Waker>) -> Stopper {
        Stopper { stop: Arc::default(), waker }
    }

    /// Asks the loop to end.
    pub fn stop(&self) -> io::Result<()> {
        self.mark();
        self.waker.wake()
    }

    /// The same from within the loop, which needs no waking.
    pub fn mark(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether the loop was asked to end; it looks when it was woken.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
