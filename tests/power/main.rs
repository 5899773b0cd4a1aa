//! Power losses on real file systems, with the real programs: of the centre and of a host.
//!
//! Each thread is a machine of its own, with disks in memory behind loop devices. Its power is lost by the
//! file system's own call for that (ext4, XFS), which lets nothing more reach the disk, or by taking of
//! the writes that a disk was told only what it had to keep (all three). Then the file system is
//! mounted anew, the boot is another one, the programs are started, and what they have is judged.
//!
//! `FETCHLOGS_POWER=N` makes the losses N times as many. `FETCHLOGS_SEED=N` repeats the chances of a
//! run, which prints its seed. What can't be run here (not root, no loop devices) is told on standard
//! error, and in the file that `FETCHLOGS_LEFT_OUT` names.

mod centre;
#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod host;
#[path = "../common/left_out.rs"]
mod left_out;
mod machine;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;
mod recorder;
mod replay;
mod site;
#[path = "../common/tally.rs"]
mod tally;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use chance::{number, seed};
use disk::Kind;
use machine::Machine;

/// What tests are left out of.
const FILE: &str = "tests/power";

/// Whether power can be lost here on such a file system; else the test is left out.
fn can_lose(kind: Kind) -> bool {
    if left_out::left_out(FILE, &[kind.maker().0]) {
        return false;
    }
    let possible = Machine::possible();
    if let Err(why) = &possible {
        left_out::tell(FILE, &format!("power losses need root and loop devices: {why}"));
    }
    possible.is_ok()
}

/// Has `losses` of them, in lives of a few losses each, of which two run at a time. `life` is told its
/// seed and how many losses it has, and gives of how many it saw that they cost something that had been written; some have to.
fn lives(losses: u64, life: impl Fn(u64, u64) -> u64 + Sync) {
    const OF_A_LIFE: u64 = 12;
    let losses = losses * number("FETCHLOGS_POWER", 1);
    let first = seed().wrapping_mul(1_000_003);
    let (next, cost) = (AtomicU64::new(0), AtomicU64::new(0));
    let live_on = || {
        loop {
            let begun = next.fetch_add(OF_A_LIFE, Ordering::Relaxed);
            if begun >= losses {
                return;
            }
            let (seed, count) = (first + begun, OF_A_LIFE.min(losses - begun));
            // A machine's mounts go with its thread.
            let lived = std::thread::scope(|scope| scope.spawn(|| life(seed, count)).join());
            match lived {
                Ok(of_it) => cost.fetch_add(of_it, Ordering::Relaxed),
                Err(panic) => {
                    eprintln!("FETCHLOGS_SEED={}, in the life of {seed}", first / 1_000_003);
                    resume_unwind(panic)
                }
            };
        }
    };
    std::thread::scope(|scope| {
        for thread in [scope.spawn(live_on), scope.spawn(live_on)] {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let cost = cost.into_inner();
    eprintln!(
        "{losses} power losses, at least {cost} of them cost something that had been written"
    );
    assert!(cost * 100 > losses, "of {losses} losses only {cost} cost anything");
}
