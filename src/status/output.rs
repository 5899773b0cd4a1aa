//! Writing lines without ever waiting for whoever reads them.
//!
//! Somebody who stops reading our stdout or stderr (a pager, a full pipe, a stopped terminal) must
//! not stop the logs of a thousand hosts. So a thread of its own writes, and when it falls behind by
//! more than [`LINES_MAX`] lines, lines are dropped and counted, and the count is written.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Lines that may wait to be written.
pub const LINES_MAX: usize = 8192;

/// Where lines are left to be written. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Output {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Text(Vec<u8>),
    Flushed(Arc<(Mutex<bool>, Condvar)>),
}

impl Output {
    /// Starts a thread that writes to `sink`.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Output> {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("output".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || write_lines(sink, &waiting, &counted))?;
        Ok(Output { lines, dropped })
    }

    /// Leaves `text`, whole lines, to be written soon.
    pub fn tell(&self, text: impl Into<Vec<u8>>) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Text(text.into())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was told before is written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let flushed = Arc::new((Mutex::new(false), Condvar::new()));
        if self.lines.try_send(Message::Flushed(Arc::clone(&flushed))).is_ok() {
            let (done, changed) = &*flushed;
            let done = done.lock().unwrap_or_else(PoisonError::into_inner);
            drop(changed.wait_timeout_while(done, patience, |done| !*done));
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tell(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends diagnostics (`log`, chosen by `RUST_LOG`, warnings if it says nothing) to `output`.
pub fn start_log(output: Output) {
    let env = env_logger::Env::default().default_filter_or("warn");
    let target = env_logger::Target::Pipe(Box::new(output));
    // A second call in one process would change nothing.
    let _ = env_logger::Builder::from_env(env).target(target).try_init();
}

/// The thread. A sink that fails (its reader is gone) loses the line; there is nobody to tell.
fn write_lines(mut sink: impl Write, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    loop {
        let message = match waiting.try_recv() {
            Ok(message) => message,
            Err(_) => {
                // All that found room is written: what did not, came after it.
                let lines = dropped.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    let told = format!("{lines} lines were dropped: nobody read them\n");
                    let _ = sink.write_all(told.as_bytes());
                }
                let _ = sink.flush();
                let Ok(message) = waiting.recv() else { return };
                message
            }
        };
        match message {
            Message::Text(text) => {
                let _ = sink.write_all(&text);
            }
            Message::Flushed(flushed) => {
                let _ = sink.flush();
                *flushed.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                flushed.1.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that can be held shut.
    #[derive(Clone, Default)]
    struct Door {
        open: Arc<(Mutex<bool>, Condvar)>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Door {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let open = self.open.0.lock().unwrap();
            drop(self.open.1.wait_while(open, |open| !*open).unwrap());
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_and_no_time() {
        let door = Door::default();
        let output = Output::to(door.clone()).unwrap();
        for number in 0..LINES_MAX + 100 {
            output.tell(format!("{number}\n"));
        }
        *door.open.0.lock().unwrap() = true;
        door.open.1.notify_all();
        // The queue is full, so the flush itself may find no room at first.
        while !String::from_utf8_lossy(&door.written.lock().unwrap()).contains("dropped") {
            output.flush(Duration::from_millis(100));
        }
        assert!(door.written.lock().unwrap().starts_with(b"0\n1\n2\n"));
    }
}
