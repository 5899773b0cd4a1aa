//! Each call of one rotation fails in turn, once, and from then on for a while: nothing is lost, whoever ends
//! says why, and once the trouble is over everything is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::faults::{FAULTS, Fault};
use crate::left_out::tell;
use crate::script::{Outcome, Play, Which};
use crate::tally::tally;
use crate::tracer::{Act, CAN_FAIL, Call, Ended};
use crate::{FILE, side_by_side, torture};

/// Failures of one kind in a run for every change: the first, and others spread over all of them.
const OF_A_KIND: usize = 3;

/// What fails so shortly before the end may be told too late.
const LAST_MOMENT: Duration = Duration::from_millis(50);

/// How long a trouble lasts that is not over at once.
const TROUBLE: Duration = Duration::from_millis(300);

/// As many sources make their checkpoints together.
const GROUP: usize = 10;

/// A call that fails.
#[derive(Clone, Copy, Debug)]
struct Trial {
    fault: &'static Fault,
    errno: Errno,
    /// The first of them that fails.
    number: u64,
    /// Those behind it fail as well, for a while.
    lasting: bool,
}

/// How many calls of each kind a program makes.
fn counts(which: Which, logs: usize) -> Vec<u64> {
    let counts = Arc::new(Mutex::new(vec![0; FAULTS.len()]));
    let theirs = Arc::clone(&counts);
    let count = move |call: &Call| {
        let mut counts = theirs.lock().unwrap();
        for (count, fault) in counts.iter_mut().zip(FAULTS) {
            *count += u64::from(fault.is(call));
        }
        Act::Go
    };
    let outcome = Play::new(which, logs, crate::common::lasting_port()).rotation("none", count);
    assert!(outcome.ended == Ended::Code(0) && !outcome.early, "{}", outcome.told);
    counts.lock().unwrap().clone()
}

/// All that can fail, or as much of it as is tried for every change.
fn trials(counts: &[u64]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (fault, &count) in FAULTS.iter().zip(counts) {
        let all = torture() > 1;
        let step = if all { 1 } else { (count as usize).div_ceil(OF_A_KIND).max(1) };
        // Another run may make some more of them: until none fails any more.
        let count = if all && count > 0 { count + 3 } else { count };
        for &errno in fault.errnos {
            for lasting in [false, true] {
                let numbers = (1..=count).step_by(if lasting {
                    step * if all { 1 } else { 2 }
                } else {
                    step
                });
                trials.extend(numbers.map(|number| Trial { fault, errno, number, lasting }));
            }
        }
    }
    trials
}

/// What has to be so after the failure `at` that time; gives what is told of it wrongly.
fn judge(which: Which, trial: &Trial, at: Instant, outcome: &Outcome) -> Option<String> {
    let told = outcome.told.contains(trial.errno.desc());
    if outcome.early {
        let right = matches!(outcome.ended, Ended::Code(1 | 2));
        if !right || !told {
            return Some(format!("it ended with {:?}, and told {:?}", outcome.ended, outcome.told));
        }
    } else if outcome.ended != Ended::Code(0) {
        return Some(format!("it ended with {:?}: {}", outcome.ended, outcome.told));
    }
    // Who is just ending has nobody to tell any more; what is not on disk then is compared at the next start.
    let ending = outcome.asked.is_some_and(|asked| at + LAST_MOMENT > asked);
    if trial.fault.has_to_be_told_by(which, trial.errno) && !told && !ending {
        return Some(format!("not told: {:?}", outcome.told));
    }
    None
}

fn fail_each(which: Which, logs: usize, kinds: impl Fn(&Fault) -> bool) {
    if !CAN_FAIL {
        return tell(FILE, "calls that fail: not on this machine");
    }
    let trials = trials(&counts(which, logs));
    let trials: Vec<Trial> = trials.into_iter().filter(|trial| kinds(trial.fault)).collect();
    eprintln!("{}: {} trials", which.name(), trials.len());
    let totals = Mutex::new(BTreeMap::new());
    let faults = Mutex::new(Vec::new());
    side_by_side(trials, 12, |trial, port| {
        let what = format!(
            "{:?} of {}, number {}{}, {}",
            trial.errno,
            trial.fault.call,
            trial.number,
            if trial.lasting { " and on" } else { "" },
            which.name(),
        );
        let failed: Arc<Mutex<Option<Instant>>> = Arc::default();
        let theirs = Arc::clone(&failed);
        let mut seen = 0;
        let outcome = Play::new(which, logs, port).rotation(&what, move |call| {
            if !trial.fault.is(call) {
                return Act::Go;
            }
            seen += 1;
            if seen < trial.number || (seen > trial.number && !trial.lasting) {
                return Act::Go;
            }
            let since = *theirs.lock().unwrap().get_or_insert_with(Instant::now);
            if since.elapsed() < TROUBLE { Act::Fail(trial.errno) } else { Act::Go }
        });
        let failed = *failed.lock().unwrap();
        let Some(failed) = failed else { return };
        if let Some(fault) = judge(which, &trial, failed, &outcome) {
            faults.lock().unwrap().push(format!("{what}: {fault}"));
        }
        let (errno, call) = (trial.errno, trial.fault.call);
        let kind = format!("failed calls: {errno:?} of {call} in {}", which.name());
        *totals.lock().unwrap().entry(kind).or_default() += 1_u64;
    });
    for (what, count) in totals.into_inner().unwrap() {
        eprintln!("{what}\t{count}");
        tally(&what, count);
    }
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn each_call_of_fetch_logs_may_fail_and_nothing_is_lost_or_silent() {
    fail_each(Which::FetchLogs, 1, |_| true);
}

#[test]
fn each_call_of_serve_logs_may_fail_and_nothing_is_lost_or_silent() {
    fail_each(Which::ServeLogs, 1, |_| true);
}

#[test]
fn each_call_of_a_group_of_checkpoints_may_fail_and_nothing_is_lost_or_silent() {
    let of_groups = ["syncfs", "sync_file_range", "rename", "fsync", "write to a file"];
    fail_each(Which::FetchLogs, GROUP, |fault| of_groups.contains(&fault.call));
}
