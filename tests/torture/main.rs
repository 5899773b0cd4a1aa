//! Trouble for the real programs, both of them and in protocol 2: killed at random moments under every
//! kind of rotation, killed at every system call of one rotation, each of their calls failing in turn, and
//! resources running out. In the end every generation is there, byte for byte, and proved.
//!
//! `FETCHLOGS_TORTURE=N` makes all of it longer (CONTRIBUTING.md); `FETCHLOGS_SEED=N` repeats the chances
//! of a run, which prints its seed. Several stages run at the same time, since mostly they wait.

mod calls;
#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod failing;
mod faults;
#[path = "../common/left_out.rs"]
mod left_out;
mod random;
mod resources;
mod script;
mod stage;
#[path = "../common/tally.rs"]
mod tally;
#[path = "../common/tracer.rs"]
mod tracer;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chance::number;

/// What tests are left out of.
const FILE: &str = "tests/torture";

/// How many times as long a run is as one for every change.
fn torture() -> u64 {
    number("FETCHLOGS_TORTURE", 1)
}

/// Does `work` with each of `items`, so many at the same time, each with a port of its own; after the
/// first that fails no other is begun.
fn side_by_side<T: Send>(items: Vec<T>, at_once: usize, work: impl Fn(T, u16) + Sync) {
    let waiting = Mutex::new(items.into_iter());
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                let port = common::lasting_port();
                while !failed.load(Ordering::Relaxed) {
                    let Some(item) = waiting.lock().unwrap().next() else { return };
                    let told = Told(&failed);
                    work(item, port);
                    std::mem::forget(told);
                }
            });
        }
    });
}

/// Dropped by a work that fails.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
