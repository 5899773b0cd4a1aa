//! The centre's disk kept of what it was told only what it had to keep.

use std::time::Duration;

use crate::chance::Chance;
use crate::disk::{Disk, Kind, copy_image};
use crate::machine::{Machine, dir};
use crate::recorder::{Moments, Recorder};
use crate::site::Site;
use crate::tally::tally;
use crate::{can_lose, lives};

#[test]
fn a_centre_on_btrfs_whose_disk_kept_what_it_had_to_has_every_generation_once() {
    if can_lose(Kind::Btrfs) {
        lives(48, |seed, losses| replay(Kind::Btrfs, seed, losses));
    }
}

#[test]
fn a_centre_on_ext4_whose_disk_kept_what_it_had_to_has_every_generation_once() {
    if can_lose(Kind::Ext4) {
        lives(48, |seed, losses| replay(Kind::Ext4, seed, losses));
    }
}

#[test]
fn a_centre_on_xfs_whose_disk_kept_what_it_had_to_has_every_generation_once() {
    if can_lose(Kind::Xfs) {
        lives(48, |seed, losses| replay(Kind::Xfs, seed, losses));
    }
}

fn replay(kind: Kind, seed: u64, losses: u64) -> u64 {
    let mut chance = Chance::new(seed);
    let sides = if chance.below(2) == 0 { 0 } else { 10 };
    let mut site = Site::new(sides, false);
    let _responder = site.serve();
    let mut machine = Machine::start().unwrap();
    let centre = dir(&site.mirror.copy).to_owned();
    let (first, image, file) = (machine.path("first"), machine.path("disk"), machine.path("told"));
    Disk::made(kind, &first);
    copy_image(&first, &image);
    let recorder = Recorder::new(&image, &file);
    let disk_up = Disk::found(kind, &file).mount(&centre, &mut chance);
    let sync = ["always", "20ms", "100ms"][chance.below(3) as usize];
    let mut fetcher = site.fetch(&["--sync", sync]);
    for _ in 0..40 {
        site.live(&mut chance);
        if chance.below(3) == 0 {
            disk_up.hurry(&mut chance);
        }
        std::thread::sleep(Duration::from_micros(chance.below(15_000)));
    }
    // Ended by something that can be waited for: an empty log can't be told from the one before it.
    site.mirror.append(b"the last line\n");
    site.wait_right(&fetcher, &format!("{kind:?}, seed {seed}, before the losses"));
    fetcher.kill();
    disk_up.unmount();
    let told = recorder.end();
    let mut moments: Vec<usize> =
        (0..losses).map(|_| chance.below(told.len() as u64 + 1) as usize).collect();
    moments.sort_unstable();
    let mut disks = Moments::new(&told, &first);
    let mut open = 0;
    for moment in moments {
        open += u64::from(disks.at(moment, &image, &mut chance) > 0);
        machine.boot();
        let disk_up = Disk::found(kind, &image).mount(&centre, &mut chance);
        let mut fetcher = site.fetch(&["--sync", "always"]);
        let when = format!("{kind:?}, seed {seed}, after {moment} of {}", told.len());
        site.wait_right(&fetcher, &when);
        fetcher.kill();
        assert_eq!(fetcher.said("lost"), 0, "{when}: {}", fetcher.stdout());
        disk_up.unmount();
    }
    tally(&format!("power losses: {}, block log", kind.name()), losses);
    open
}
