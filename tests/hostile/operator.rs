//! Mistakes of operators, made while the fetcher runs.

use super::*;

/// What somebody does to a copy that is being written, and what has to be told.
type Mistake = (&'static str, fn(&Site), &'static str);

const MISTAKES: [Mistake; 7] = [
    ("a copy that is emptied", |site| drop(fs::File::create(site.path("d/log"))), "somebody else"),
    (
        "a copy that an editor writes anew",
        |site| {
            fs::write(site.path("d/new"), b"edited\n").unwrap();
            fs::rename(site.path("d/new"), site.path("d/log")).unwrap();
        },
        "removed by somebody else",
    ),
    (
        "a line that is added by hand",
        |site| {
            let copy = fs::read(site.path("d/log")).unwrap();
            fs::write(site.path("d/log"), [&copy[..], b"by hand\n"].concat()).unwrap();
        },
        "somebody else",
    ),
    (
        "a copy that is removed",
        |site| fs::remove_file(site.path("d/log")).unwrap(),
        "removed by somebody else",
    ),
    ("a pointer that is removed", |site| fs::remove_file(site.path("d/log.ptr")).unwrap(), ""),
    (
        "a pointer that is edited",
        |site| fs::write(site.path("d/log.ptr"), b"1001 3 v=9\n").unwrap(),
        "",
    ),
    (
        "a directory that is removed and made again",
        |site| {
            fs::remove_dir_all(site.path("d")).unwrap();
            fs::create_dir(site.path("d")).unwrap();
        },
        "removed by somebody else",
    ),
];

/// All that the source had is here, in order; what somebody added may be there as well.
fn has_all(site: &Site, truth: &Truth) -> bool {
    let mut rest = site.archives();
    rest.extend(site.copy("log"));
    let mut rest = rest.into_iter();
    truth.generations().iter().all(|wanted| rest.any(|kept| kept == *wanted))
}

#[test]
fn whatever_is_done_to_a_copy_or_its_pointer_while_it_is_written_is_told_and_made_good() {
    for (what, mistake, told) in MISTAKES {
        let truth = Truth::new();
        truth.grow(1000);
        let site = Site::of(truth.port()).option("--sync", "50ms");
        let fetcher = site.start();
        site.wait_all(&truth);
        wait_until("it is durable", || site.pointer().durable == 1000);
        mistake(&site);
        truth.grow(500);
        if !told.is_empty() {
            fetcher.wait_said(told);
        }
        site.wait_copy(&truth.current());
        truth.rotate();
        truth.grow(300);
        wait_until(&format!("{what}: all is there"), || has_all(&site, &truth));
        site.wait_status("127.0.0.1", "OK\n");
    }
    tally("attacks: mistakes of operators, each told and made good", MISTAKES.len() as u64);
}

#[test]
fn a_pointer_or_all_of_it_that_comes_back_from_a_backup_loses_nothing() {
    for pointer_only in [true, false] {
        let truth = Truth::new();
        truth.grow(1000);
        let site = Site::of(truth.port());
        let fetcher = site.start();
        site.wait_all(&truth);
        fetcher.stop();
        let backup: Vec<(String, Vec<u8>)> = site
            .names()
            .into_iter()
            .map(|name| (name.clone(), site.copy(&name).unwrap()))
            .collect();
        let fetcher = site.start();
        truth.grow(500);
        truth.rotate();
        truth.grow(300);
        site.wait_all(&truth);
        fetcher.stop();
        if !pointer_only {
            fs::remove_dir_all(site.path("d")).unwrap();
            fs::create_dir(site.path("d")).unwrap();
        }
        for (name, content) in &backup {
            if !pointer_only || name == "log.ptr" {
                fs::write(site.path("d").join(name), content).unwrap();
            }
        }
        truth.grow(20);
        let fetcher = site.start();
        fetcher.wait_said("copy ");
        wait_until("all is there", || has_all(&site, &truth));
        fetcher.stop();
    }
    tally("attacks: mistakes of operators, each told and made good", 2);
}
