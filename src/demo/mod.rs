//! The main job on this machine, for somebody who wants to see it: `fetch_logs --demo`.
//!
//! A real responder and a real fetcher run in threads of this process and talk over loopback. The
//! logs are those of this machine that may be read, and one that the demonstration writes and
//! rotates by itself. Everything is left in one folder: configurations, copies, pointers, status.
//!
//! * [`logs`] which files are shown, and the log that is written for it
//! * [`scene`] both ends, running
//! * [`compare`] whether the copies are what they should be

pub mod compare;
pub mod logs;
pub mod scene;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::sys::cause::cause;
use crate::sys::{clock, signal};
use compare::{Tally, compare_all};
use logs::{OwnLog, find_logs};
use scene::{Progress, Scene};

/// How often progress is looked at, and how often it is shown while nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// With `--once`, everything must be fetched within this.
const ONCE_PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demonstration until Ctrl-C or, if `once`, until everything is fetched. The exit code is 0
/// if all copies are right.
pub fn run(once: bool) -> ExitCode {
    match show(once) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Names what failed, for the operator.
fn cannot(what: impl Display) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("cannot {what}: {}", cause(&error))
}

fn show(once: bool) -> Result<bool, String> {
    let stop = Arc::new(AtomicBool::new(false));
    signal::raise_flag(&stop).map_err(cannot("catch signals"))?;
    let folder = make_folder()?;
    let logs = find_logs();
    let own = OwnLog::start(&folder.join("source"), once).map_err(cannot("write a log"))?;
    let scene = Scene::start(&folder, &logs, own.path())?;
    println!(
        "demo: a responder at 127.0.0.1:{}, a fetcher, {} logs of this machine and one that is written now",
        scene.port(),
        logs.len()
    );
    println!(
        "demo: everything is in {}{}",
        folder.display(),
        if once { "" } else { "; Ctrl-C ends it" }
    );

    let start = clock::now();
    let mut shown = Shown::default();
    let complete = loop {
        let (now, stopped) = (clock::now(), stop.load(Ordering::Relaxed));
        let progress = scene.progress();
        let complete = once && own.finished() && progress.complete(own.rotations());
        if complete || stopped || now >= shown.next(start) {
            shown.show(start, now, &progress);
        }
        if stopped || complete {
            break complete;
        }
        if once && now > start + ONCE_PATIENCE {
            println!("demo: not everything was fetched within {} s", ONCE_PATIENCE.as_secs());
            break false;
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    own.stop();
    let pairs = scene.end()?;
    let tally = compare_all(&pairs);
    println!("demo: {tally}");
    println!("demo: the copies are in {}", folder.join("copies").display());
    let Tally { different, .. } = tally;
    Ok(different.is_empty() && (complete || !once))
}

/// A new folder for everything, named after the time.
fn make_folder() -> Result<PathBuf, String> {
    let name =
        format!("fetchlogs-demo-{}-{}", clock::wall().format("%Y%m%d%H%M%S"), std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).map_err(cannot(format_args!("make {}", folder.display())))?;
    folder.canonicalize().map_err(cannot(format_args!("find {}", folder.display())))
}

/// The line of progress that was shown last.
#[derive(Default)]
struct Shown {
    at: Option<Instant>,
    bytes: u64,
}

impl Shown {
    fn next(&self, start: Instant) -> Instant {
        self.at.unwrap_or(start) + SHOW_INTERVAL
    }

    fn show(&mut self, start: Instant, now: Instant, progress: &Progress) {
        let secs = now.duration_since(self.at.unwrap_or(start)).as_secs_f64().max(1e-3);
        let rate = progress.bytes.saturating_sub(self.bytes) as f64 / secs;
        println!(
            "demo: {:5.1} s  {} of {} sources in step  {} copied  {}/s  lag {}",
            now.duration_since(start).as_secs_f64(),
            progress.in_step,
            progress.sources,
            Amount(progress.bytes),
            Amount(rate as u64),
            Amount(progress.lag),
        );
        (self.at, self.bytes) = (Some(now), progress.bytes);
    }
}

/// A number of bytes for people.
struct Amount(u64);

impl Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes @ ..1024 => write!(f, "{bytes} B"),
            bytes @ ..1_048_576 => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
            bytes => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}
