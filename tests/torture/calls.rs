//! kill -9 at every system call of one rotation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::script::{Play, Which};
use crate::tally::tally;
use crate::tracer::{Act, Call, Ended};
use crate::{side_by_side, torture};

/// Calls of the first thread at which it is killed in a run for every change, spread over all of them;
/// those of the other threads, which make the rotation, are never left out.
const OF_THE_FIRST_THREAD: u64 = 150;

/// How many calls a program makes, by its first thread and by all others.
fn calls(which: Which) -> [u64; 2] {
    let counts = Arc::new(Mutex::new([0, 0]));
    let theirs = Arc::clone(&counts);
    let count = move |call: &Call| {
        theirs.lock().unwrap()[usize::from(!call.main)] += 1;
        Act::Go
    };
    let outcome = Play::new(which, 1, crate::common::lasting_port()).rotation("no kill", count);
    assert!(outcome.ended == Ended::Code(0) && !outcome.early, "{}", outcome.told);
    let counts = *counts.lock().unwrap();
    eprintln!("{}: {} calls of the first thread, {} of others", which.name(), counts[0], counts[1]);
    counts
}

fn kill_at_each(which: Which) {
    let [of_first, of_others] = calls(which);
    let step = if torture() > 1 { 1 } else { of_first.div_ceil(OF_THE_FIRST_THREAD) };
    let first = (1..=of_first).step_by(step as usize).map(|number| (true, number));
    let others = (1..=of_others).map(|number| (false, number));
    let killed = [AtomicU64::new(0), AtomicU64::new(0)];
    side_by_side(first.chain(others).collect(), 12, |(main, number), port| {
        let thread = if main { "the first thread" } else { "another thread" };
        let what = format!("{} killed at call {number} of {thread}", which.name());
        let mut seen = 0;
        let outcome = Play::new(which, 1, port).rotation(&what, move |call| {
            seen += u64::from(call.main == main);
            if call.main == main && seen == number { Act::Kill } else { Act::Go }
        });
        // Not all runs make the same number of calls: the last may not have come.
        if outcome.ended == Ended::Signal(Signal::SIGKILL) {
            killed[usize::from(!main)].fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(outcome.ended, Ended::Code(0), "{what}: {}", outcome.told);
        }
    });
    let [of_first, of_others] = killed.map(AtomicU64::into_inner);
    eprintln!("{}: {of_first} and {of_others} kills at calls", which.name());
    assert!(of_others >= 10 && of_first >= 50, "{of_first} and {of_others}");
    let name = which.name();
    tally(&format!("kill -9: of {name} at each call of one rotation"), of_first + of_others);
}

#[test]
fn fetch_logs_killed_at_each_call_of_a_rotation_has_all_of_it_once() {
    kill_at_each(Which::FetchLogs);
}

#[test]
fn serve_logs_killed_at_each_call_of_a_rotation_serves_all_of_it_once() {
    kill_at_each(Which::ServeLogs);
}
