//! Links that take the place of a log or of its directory, while it is opened.

use super::*;
use std::os::unix::fs::symlink;
use std::path::Path;

use fetchlogs::sys::logs::{DiskLogs, Logs};

/// A directory in which `logs/log` is served and `other/log` is a secret.
fn site() -> Dir {
    let dir = Dir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    fs::create_dir(dir.path("other")).unwrap();
    dir.write("logs/log", CONTENT);
    dir.write("logs/log.1", CONTENT);
    dir.write("other/log", SECRET.repeat(9));
    dir.write("other/log.1", SECRET.repeat(9));
    dir.write("other/log.secret", SECRET.repeat(9));
    dir
}

/// Puts a link in the place of `name` and the old one back, until nobody is at it any more. It is there
/// under the name at any time, or a link is, or for a moment nothing.
fn swap(dir: &Dir, name: &str, to: &Path, at: usize) {
    let (kept, link) = (dir.path(&format!("kept{at}")), dir.path(&format!("link{at}")));
    let name = dir.path(name);
    symlink(to, &link).unwrap();
    fs::rename(&name, &kept).unwrap();
    fs::rename(&link, &name).unwrap();
    fs::remove_file(&name).unwrap();
    fs::rename(&kept, &name).unwrap();
}

/// Swaps again and again in a thread of its own while `doing` is done; how often.
fn while_swapping(dir: &Dir, name: &str, to: &Path, doing: impl FnOnce()) -> u64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0;
            while !over.load(Ordering::Relaxed) {
                swap(dir, name, to, 0);
                swaps += 1;
            }
            swaps
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(doing));
        over.store(true, Ordering::Relaxed);
        let swaps = swapping.join().unwrap();
        done.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        swaps
    })
}

#[test]
fn however_often_a_log_becomes_a_link_while_it_is_opened_the_link_is_never_followed() {
    let dir = site();
    let logs = DiskLogs::new().unwrap();
    let path = dir.path("logs/log");
    let secret = dir.path("other/log");
    let looks = 30_000 * times_more();
    let mut opened = 0;
    let swaps = while_swapping(&dir, "logs/log", &secret, || {
        for _ in 0..looks {
            if let Ok(file) = logs.open(&path) {
                let mut content = [0; 6];
                logs.read_at(&file, &mut content, 0).unwrap();
                assert_ne!(content, SECRET);
                opened += 1;
            }
            let facts = logs.facts_at(&path).unwrap();
            assert!(facts.is_none_or(|facts| !facts.regular || facts.size == CONTENT.len() as u64));
        }
    });
    assert!(opened > 0 && swaps > 100, "{opened} of {looks}, {swaps} swaps");
    tally("attacks: swaps of a log and a link while it was opened", swaps);
    tally("attacks: openings of a log that was being swapped", looks as u64);
}

#[test]
fn however_often_a_directory_becomes_a_link_nothing_behind_it_is_listed_seen_or_opened() {
    let dir = site();
    let logs = DiskLogs::new().unwrap();
    let other = dir.path("other");
    let looks = 15_000 * times_more();
    let mut listed = 0;
    let swaps = while_swapping(&dir, "logs", &other, || {
        for _ in 0..looks {
            if let Ok(file) = logs.open(&dir.path("logs/log")) {
                let mut content = [0; 6];
                logs.read_at(&file, &mut content, 0).unwrap();
                assert_ne!(content, SECRET);
            }
            if let Ok(names) = logs.names(&dir.path("logs"), 99) {
                assert!(!names.iter().any(|name| name == "log.secret"));
                listed += 1;
            }
            assert!(!matches!(logs.facts_at(&dir.path("logs/log.secret")), Ok(Some(_))));
        }
    });
    assert!(listed > 0 && swaps > 100, "{listed} of {looks}, {swaps} swaps");
    tally("attacks: swaps of a log's directory and a link while it was looked at", swaps);
}

#[test]
fn a_fetcher_never_gets_a_byte_from_behind_a_link_that_comes_and_goes() {
    for (name, to) in [("logs/log", "other/log"), ("logs", "other"), ("logs/log.1", "other/log")] {
        let dir = site();
        let target = Target::in_dir(dir, "file BASE/logs/log\nlinger 0s\ncheck 50ms\n");
        let to = target.dir.path(to);
        let asked = 400 * times_more();
        let path = target.dir.path("logs/log");
        target.withstands(100, || {
            let swaps = while_swapping(&target.dir, name, &to, || {
                for count in 0..asked {
                    let have = ["", " 5 9", " 0 0 +2 start=history", " 5 9 +2 id=5.5.5"][count % 4];
                    target.answer(format!("{}{have}\n", path.display()).as_bytes());
                }
            });
            tally("attacks: swaps of a served log and a link", swaps);
        });
        tally("attacks: requests for a log that was being swapped", asked as u64);
        target.stop();
    }
}

#[test]
fn a_directory_that_is_renamed_away_is_gone_and_is_found_again_when_it_is_back() {
    let target = Target::in_dir(site(), "file BASE/logs/log\n");
    let answer = |target: &Target| target.answer(target.request("logs/log").as_bytes());
    for _ in 0..100 {
        target.dir.rename("logs", "away");
        assert!(answer(&target).is_empty());
        symlink("away", target.dir.path("logs")).unwrap();
        assert!(answer(&target).is_empty());
        fs::remove_file(target.dir.path("logs")).unwrap();
        target.dir.rename("away", "logs");
        assert!(answer(&target).starts_with(b"O "));
    }
    target.stop();
}
