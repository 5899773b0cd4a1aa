//! The real `fetch_logs` against responders that do what the test says, and against disks that fail.
//!
//! `FETCHLOGS_TORTURE=N` makes the torture at the end N times as long (default 1, which keeps all of
//! this under a minute). `FETCHLOGS_SEED=N` repeats the chances of a run, which prints its seed.
//! What can't be run here (no strace, not root) is told on standard error, and in the file that
//! `FETCHLOGS_LEFT_OUT` names.

#[path = "../common/chance.rs"]
mod chance;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod found;
mod hosts;
mod kills;
#[path = "../common/left_out.rs"]
mod left_out;
mod many;
mod rotation;
#[path = "../common/scripted.rs"]
mod scripted;
mod signals;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/tally.rs"]
mod tally;
mod trouble;
#[path = "../common/truth.rs"]
mod truth;
mod two;
mod wire;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chance::{Chance, number, seed};
use common::{Program, holds_for, wait_until};
use fetchlogs::fetch::pointer::{Held, parse_pointer};
use left_out::{left_out, tell};
use nix::sys::signal::Signal;
use scripted::Scripted;
use site::{FETCH_LOGS, Site};
use tally::tally;
use truth::{Truth, byte, content};

/// What tests are left out of.
const FILE: &str = "tests/fetch";

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether strace can be used; else the test is left out.
fn can_trace(what: &str) -> bool {
    if left_out(FILE, &["strace"]) {
        return false;
    }
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        tell(FILE, &format!("{what}: strace can't be used"));
    }
    works
}

fn torture() -> u64 {
    number("FETCHLOGS_TORTURE", 1)
}
