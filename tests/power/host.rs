//! A host loses its power: what it lost of its own logs the centre may have. That is kept, told and never
//! mixed with what the host writes later.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chance::Chance;
use crate::common::{PATIENCE, Program};
use crate::disk::{Disk, Kind};
use crate::machine::{Machine, dir};
use crate::mirror::with_suffix;
use crate::site::Site;
use crate::tally::tally;
use crate::{can_lose, lives};

#[test]
fn what_a_host_on_ext4_lost_with_its_power_is_kept_apart_from_what_it_writes_then() {
    if can_lose(Kind::Ext4) {
        lives(72, |seed, losses| live_through(Kind::Ext4, seed, losses));
    }
}

#[test]
fn what_a_host_on_xfs_lost_with_its_power_is_kept_apart_from_what_it_writes_then() {
    if can_lose(Kind::Xfs) {
        lives(48, |seed, losses| live_through(Kind::Xfs, seed, losses));
    }
}

#[test]
fn zeros_far_before_the_end_of_what_was_fetched_are_not_taken_and_verify_tells_of_them() {
    let mut site = Site::new(0, false);
    let mut responder = site.serve();
    let fetcher = site.fetch(&[]);
    site.mirror.append(&[b'x'; 300_000]);
    site.wait_right(&fetcher, "before the loss");
    responder.kill();
    // What was written later was on disk, and this was not.
    let log = OpenOptions::new().write(true).open(&site.mirror.log).unwrap();
    log.write_all_at(&[0; 4096], 102_400).unwrap();
    let _responder = site.serve();
    site.mirror.append(b"what is written then");
    site.wait_right(&fetcher, "after the loss");
    assert_eq!(fetcher.said("lost"), 0, "{}", fetcher.stdout());
    fetcher.stop();
    let mut proof = site.fetch(&["--verify"]);
    assert!(!proof.ended().success());
    proof.wait_said("differs at 102400-106496");
}

/// The log of a host and its rotated files, and all that was ever in them.
struct Logs {
    log: PathBuf,
    /// What may be taken for the content of each file that is there: what is in it, and what would be if
    /// a loss had taken nothing from the middle of it. The former is the first.
    there: BTreeMap<u64, Vec<Vec<u8>>>,
    /// What was in files once, before a loss.
    once: Vec<Vec<u8>>,
}

impl Logs {
    fn begun(log: &Path) -> Logs {
        let mut logs = Logs { log: log.to_owned(), there: BTreeMap::new(), once: Vec::new() };
        logs.begin(b"the first line\n");
        logs
    }

    fn begin(&mut self, content: &[u8]) {
        File::create_new(&self.log).unwrap().write_all(content).unwrap();
        let before = self.there.insert(self.inode(), vec![content.to_vec()]);
        self.once.extend(before.unwrap_or_default());
    }

    fn inode(&self) -> u64 {
        fs::metadata(&self.log).unwrap().ino()
    }

    fn append(&mut self, content: &[u8]) {
        let mut log = OpenOptions::new().append(true).open(&self.log).unwrap();
        log.write_all(content).unwrap();
        let inode = self.inode();
        for one in self.there.get_mut(&inode).unwrap() {
            one.extend_from_slice(content);
        }
    }

    fn rotate(&mut self, content: &[u8]) {
        let name = |number: usize| match number {
            0 => self.log.clone(),
            number => with_suffix(&self.log, &number.to_string()),
        };
        let count = (0..).take_while(|&number| name(number).exists()).count();
        for number in (0..count).rev() {
            fs::rename(name(number), name(number + 1)).unwrap();
        }
        self.begin(content);
    }

    /// The power is back: this is what is left. Gives whether the log itself is.
    fn look(&mut self) -> bool {
        let before = std::mem::take(&mut self.there);
        for entry in fs::read_dir(dir(&self.log)).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_name().to_str().unwrap().starts_with("app.log") {
                continue;
            }
            let content = fs::read(entry.path()).unwrap();
            let inode = entry.metadata().unwrap().ino();
            let len = content.len();
            let mut all = vec![content];
            for one in before.get(&inode).into_iter().flatten() {
                // Else it has lost its end, and what it had is not what it will have.
                if one.len() >= len && one[..len] != all[0] {
                    all.push(one[..len].to_vec());
                }
            }
            self.there.insert(inode, all);
        }
        self.once.extend(before.into_values().flatten());
        let left = self.log.exists();
        if !left {
            self.begin(b"");
        }
        left
    }

    /// What may be taken for the log.
    fn current(&self) -> &[Vec<u8>] {
        &self.there[&self.inode()]
    }

    /// Whether these are the first bytes of something that a file has, or once had.
    fn know(&self, kept: &[u8]) -> bool {
        self.knew(0, kept)
    }

    /// Whether a file has these bytes there, or once had them.
    fn knew(&self, from: usize, kept: &[u8]) -> bool {
        let mut all = self.there.values().flatten().chain(&self.once);
        all.any(|one| one.get(from..).is_some_and(|rest| rest.starts_with(kept)))
    }
}

/// Whether the copy is the log, and each archive the beginning of something that was a log once.
fn judge(site: &Site, logs: &Logs, fetcher: &Program) -> Result<(), String> {
    let copy = fs::read(&site.mirror.copy).unwrap_or_default();
    // Of what it asks for anew it compares 256 bytes: where the log lost fewer and has none in their
    // place yet, nothing says what it will have there.
    let waits = |log: &Vec<u8>| copy.starts_with(log) && copy.len() - log.len() <= 256;
    let of_it = site.mirror.pointer_word().parse() == Ok(logs.inode());
    if !of_it || !logs.current().iter().any(waits) || !logs.know(&copy) {
        let lens: Vec<usize> = logs.current().iter().map(Vec::len).collect();
        return Err(format!("the copy has {} bytes, the log {lens:?}", copy.len()));
    }
    let archives = site.archives()?;
    for one in &archives {
        if !logs.know(&one.content) {
            return Err(format!("{} is of no log", one.name));
        }
        let whole =
            || logs.there.values().flatten().chain(&logs.once).any(|log| *log == one.content);
        if one.end == "complete" && !one.lost && !whole() {
            return Err(format!("{} is a part of a log", one.name));
        }
    }
    for entry in fs::read_dir(dir(&site.mirror.copy)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(range) = name.strip_prefix("app.log.unverified.") else { continue };
        // What had arrived, was not durable yet and is not what the log has now.
        let from: usize = range.split_once('-').unwrap().0.parse().unwrap();
        if !logs.knew(from, &fs::read(&path).unwrap()) || fetcher.said(name) == 0 {
            return Err(format!("{name} is of no log, or not told"));
        }
    }
    // What is whole at the host, and rotated, is here, or it is told that it is not.
    let told = fetcher.said(" lost ");
    let apart = archives.iter().filter(|one| one.lost || one.end != "complete").count();
    if told < apart {
        return Err(format!("{apart} archives are not whole, {told} losses are told"));
    }
    for (inode, all) in &logs.there {
        let here = |log: &Vec<u8>| archives.iter().any(|one| one.content == *log);
        if *inode != logs.inode() && !all[0].is_empty() && !all.iter().any(here) && told == 0 {
            return Err(format!("a rotated log of {} bytes is not here", all[0].len()));
        }
    }
    Ok(())
}

fn wait_judged(site: &Site, logs: &Logs, fetcher: &Program, when: &str) {
    let until = std::time::Instant::now() + PATIENCE;
    while let Err(why) = judge(site, logs, fetcher) {
        if std::time::Instant::now() > until {
            panic!("{when}: {why}\n{}\n{}", fetcher.stdout(), site.manifest());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn live_through(kind: Kind, seed: u64, losses: u64) -> u64 {
    let mut chance = Chance::new(seed);
    let site = Site::new(0, false);
    // The centre is another machine: it stays up.
    let fetcher = site.fetch(&["--sync", "100ms"]);
    let mut machine = Machine::start().unwrap();
    let disk = Disk::made(kind, &machine.path("disk"));
    let host = dir(&site.mirror.log).to_owned();
    let mut disk_up = disk.mount(&host, &mut chance);
    let mut logs = Logs::begun(&site.mirror.log);
    let mut responder = site.serve();
    let mut cost = 0;
    for loss in 1..=losses {
        let when = format!("{kind:?}, seed {seed}, before loss {loss}");
        if chance.below(3) > 0 {
            wait_judged(&site, &logs, &fetcher, &when);
        }
        for _ in 0..chance.below(7) {
            let len = [0, 100, 5_000, 100_000][chance.below(4) as usize];
            let content: Vec<u8> =
                (0..chance.below(len + 1)).map(|_| chance.below(255) as u8 + 1).collect();
            match chance.below(10) {
                0 => logs.rotate(&content),
                _ => logs.append(&content),
            }
            if chance.below(3) == 0 {
                disk_up.hurry(&mut chance);
            }
            std::thread::sleep(Duration::from_micros(chance.below(15_000)));
        }
        let settled = chance.below(2) == 0;
        if settled {
            wait_judged(&site, &logs, &fetcher, &when);
        }
        disk_up.lose_power();
        responder.kill();
        disk_up.unmount();
        machine.boot();
        disk_up = disk.mount(&host, &mut chance);
        let (had, inode, archives) = (
            fs::read(&site.mirror.copy).unwrap_or_default(),
            logs.there.len(),
            site.archives().unwrap().len(),
        );
        let is_left = logs.look();
        let left = &logs.current()[0];
        let goes_on = settled && is_left && logs.there.len() == inode && left.starts_with(&had);
        cost += u64::from(!left.starts_with(&had));
        responder = site.serve();
        if chance.below(2) == 0 {
            let content = vec![b'a' + chance.below(26) as u8; chance.below(200_000) as usize];
            logs.append(&content);
        }
        if goes_on {
            wait_judged(&site, &logs, &fetcher, &format!("{when}, of which it lost nothing"));
            assert_eq!(site.archives().unwrap().len(), archives, "{when}: {}", fetcher.stdout());
        }
    }
    logs.append(b"the last line\n");
    wait_judged(&site, &logs, &fetcher, &format!("{kind:?}, seed {seed}, in the end"));
    fetcher.stop();
    tally(&format!("power losses: of the source's host, {}", kind.name()), losses);
    cost
}
