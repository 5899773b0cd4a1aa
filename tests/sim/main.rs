//! The fetcher and responders in a world that is drawn from a number.

mod disk;
mod fs;
mod mutants;
mod oracle;
mod original;
mod plan;
mod rng;
mod run;
mod serving;
mod site;
mod wire;
mod workers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use mutants::{MUTANTS, Mutant};
use run::{Totals, run};

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

#[test]
fn seeds() {
    if let Some(seed) = number("FETCHLOGS_SIM_SEED") {
        let result = guarded(seed, None, true);
        println!("{result:#?}");
        assert!(result.is_ok(), "seed {seed}");
        return;
    }
    let first = number("FETCHLOGS_SIM_FIRST").unwrap_or(0);
    let count = number("FETCHLOGS_SIM_SEEDS").unwrap_or(300);
    let next = AtomicU64::new(first);
    let mut totals = Totals::default();
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        let work = || {
            let (mut totals, mut faults) = (Totals::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return (totals, faults);
                }
                match guarded(seed, None, false) {
                    Ok(one) => totals.add(&one),
                    Err(what) => faults.push((seed, what)),
                }
            }
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (one, more) = worker.join().unwrap();
            totals.add(&one);
            faults.extend(more);
        }
    });
    println!("{totals:?}");
    faults.sort();
    for (seed, what) in faults.iter().take(20) {
        println!("FETCHLOGS_SIM_SEED={seed} cargo test --test sim: {what}");
    }
    assert!(faults.is_empty(), "{} of {count} seeds", faults.len());
}

#[test]
fn every_mutant_is_caught() {
    for (mutant, first) in MUTANTS {
        let mut seeds = first..first + 200;
        let caught = seeds.find(|&seed| guarded(seed, Some(mutant), false).is_err());
        println!("{mutant:?} is caught by seed {caught:?}");
        assert!(caught.is_some(), "{mutant:?}");
    }
}
