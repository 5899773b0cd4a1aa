//! The fetcher and responders in a world that is drawn from a number.

#[path = "../common/tally.rs"]
mod tally;

mod align;
mod deeds;
mod disk;
mod fs;
mod host;
mod kept;
mod link;
mod mutants;
mod oracle;
mod original;
mod plan;
mod rng;
mod run;
mod serving;
mod site;
mod totals;
mod visitor;
mod wire;
mod workers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kept::KEPT;
use mutants::{MUTANTS, Mutant};
use run::run;
use totals::Totals;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn guarded(seed: u64, mutant: Option<Mutant>, trace: bool) -> Result<Totals, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, mutant, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// How long to go on, and with how many seeds.
struct Budget {
    seeds: std::ops::Range<u64>,
    until: Option<Instant>,
}

/// Runs all seeds on two threads. What was tried, and which failed.
fn sweep(budget: &Budget) -> (Totals, Vec<(u64, String)>) {
    let next = AtomicU64::new(budget.seeds.start);
    let work = || {
        let (mut totals, mut faults) = (Totals::default(), Vec::new());
        while budget.until.is_none_or(|until| Instant::now() < until) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= budget.seeds.end {
                break;
            }
            match guarded(seed, None, false) {
                Ok(one) => totals.add(&one),
                Err(what) => faults.push((seed, what)),
            }
        }
        (totals, faults)
    };
    let (mut totals, mut faults) = (Totals::default(), Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (one, more) = worker.join().unwrap();
            totals.add(&one);
            faults.extend(more);
        }
    });
    faults.sort();
    (totals, faults)
}

#[test]
fn seeds() {
    if let Some(seed) = number("FETCHLOGS_SIM_SEED") {
        let result = guarded(seed, None, true);
        println!("{result:#?}");
        assert!(result.is_ok(), "seed {seed}");
        return;
    }
    let first = number("FETCHLOGS_SIM_FIRST").unwrap_or(0);
    let secs = number("FETCHLOGS_SIM_SECS");
    // Sweeps by time end with it.
    let count =
        number("FETCHLOGS_SIM_SEEDS").unwrap_or(if secs.is_some() { u64::MAX } else { 300 });
    let until = secs.map(|secs| Instant::now() + Duration::from_secs(secs));
    let (totals, faults) = sweep(&Budget { seeds: first..first.saturating_add(count), until });
    println!("{totals:?}");
    totals.tell();
    for (seed, what) in faults.iter().take(100) {
        println!("FETCHLOGS_SIM_SEED={seed} cargo test --test sim seeds -- --nocapture: {what}");
    }
    assert!(faults.is_empty(), "{} of {} seeds", faults.len(), totals.seeds + faults.len() as u64);
}

#[test]
fn seeds_that_failed_once_fail_no_more() {
    let mut totals = Totals::default();
    for (seed, what) in KEPT {
        match guarded(*seed, None, false) {
            Ok(one) => totals.add(&one),
            Err(again) => panic!("seed {seed}, {what}: {again}"),
        }
    }
    totals.tell();
}

#[test]
fn every_mutant_is_caught() {
    for (mutant, first) in MUTANTS {
        let mut seeds = first..first + 2000;
        let caught = seeds.find(|&seed| guarded(seed, Some(mutant), false).is_err());
        println!("{mutant:?} is caught by seed {caught:?}");
        assert!(caught.is_some(), "{mutant:?}");
    }
}
