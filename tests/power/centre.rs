//! The centre loses its power: nothing is lost of the logs, and nothing is there twice.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::chance::Chance;
use crate::disk::{Disk, Kind};
use crate::machine::{Machine, dir};
use crate::site::Site;
use crate::tally::tally;
use crate::{can_lose, lives};

/// How soon what has arrived is to be durable.
const SYNCS: &[&str] = &["always", "20ms", "100ms", "5s"];

#[test]
fn a_centre_on_ext4_that_is_shut_down_at_any_moment_has_every_generation_once() {
    if can_lose(Kind::Ext4) {
        lives(72, |seed, losses| live_through(Kind::Ext4, seed, losses));
    }
}

#[test]
fn a_centre_on_xfs_that_is_shut_down_at_any_moment_has_every_generation_once() {
    if can_lose(Kind::Xfs) {
        lives(48, |seed, losses| live_through(Kind::Xfs, seed, losses));
    }
}

fn live_through(kind: Kind, seed: u64, losses: u64) -> u64 {
    let mut chance = Chance::new(seed);
    let sides = if chance.below(2) == 0 { 0 } else { 10 };
    let mut site = Site::new(sides, chance.below(2) == 0);
    // The host is another machine: it stays up.
    let _responder = site.serve();
    let mut machine = Machine::start().unwrap();
    let disk = Disk::made(kind, &machine.path("disk"));
    let centre = dir(&site.mirror.copy).to_owned();
    let (mut cost, mut watched, mut had) = (0, false, Vec::new());
    for loss in 1..=losses {
        let disk_up = disk.mount(&centre, &mut chance);
        cost += u64::from(watched && site.kept() != had);
        let sync = SYNCS[chance.below(SYNCS.len() as u64) as usize];
        let mut fetcher = site.fetch(&["--sync", sync]);
        if chance.below(3) > 0 {
            site.wait_right(&fetcher, &format!("{kind:?}, seed {seed}, before loss {loss}"));
        }
        for _ in 0..1 + chance.below(8) {
            let rotated = site.live(&mut chance);
            site.delete_kept(&fetcher);
            if chance.below(3) == 0 {
                disk_up.hurry(&mut chance);
            }
            // Short ones, to hit the steps of a rotation.
            let most = if rotated { 5_000 } else { 12_000 };
            std::thread::sleep(Duration::from_micros(chance.below(most)));
        }
        // What it had can't be read any more behind the loss, nor while it writes.
        watched = chance.below(3) == 0;
        if watched {
            fetcher.signal(Signal::SIGSTOP);
            had = site.kept();
        }
        disk_up.lose_power();
        if !watched && chance.below(3) == 0 {
            // As with a disk that has died: every call fails for a while.
            site.live(&mut chance);
            std::thread::sleep(Duration::from_micros(chance.below(100_000)));
        }
        fetcher.kill();
        assert_eq!(fetcher.said("lost"), 0, "seed {seed}, loss {loss}: {}", fetcher.stdout());
        drop(fetcher);
        disk_up.unmount();
        machine.boot();
    }
    let _disk_up = disk.mount(&centre, &mut chance);
    let fetcher = site.fetch(&[]);
    // An empty log can't be told from the one before it.
    site.mirror.append(b"the last line\n");
    site.wait_right(&fetcher, &format!("{kind:?}, seed {seed}, in the end"));
    assert_eq!(fetcher.said("lost"), 0, "seed {seed}: {}", fetcher.stdout());
    fetcher.stop();
    let mut receipt = site.fetch(&["--once", "--verify"]);
    assert!(receipt.ended().success(), "seed {seed}: {}", receipt.stdout());
    tally(&format!("power losses: {}, shut down", kind.name()), losses);
    cost
}
