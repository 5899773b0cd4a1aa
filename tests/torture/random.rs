//! kill -9 of both ends at random moments, under every kind of rotation.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::chance::{Chance, number};
use crate::common::{Program, inode};
use crate::left_out::left_out;
use crate::stage::{Log, Stage};
use crate::tally::tally;
use crate::{FILE, side_by_side, torture};

/// Kills of each end in a run for every change, and of one stage: a log's life must not be so long that
/// its rotated files are all that is looked at.
const KILLS: u64 = 500;
const KILLS_A_STAGE: u64 = 25;

/// As many sources make their checkpoints together.
const GROUP: usize = 10;

/// How a log is rotated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Rename,
    CopyTruncate,
    LateLines,
    Compress,
}

/// What one stage sees.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kinds: &'static [Kind],
    logs: usize,
    /// Rotated files are deleted once they are here, so that their numbers are used again.
    reuse: bool,
}

const fn plan(kinds: &'static [Kind], logs: usize, reuse: bool) -> Plan {
    Plan { kinds, logs, reuse }
}

const PLANS: [Plan; 8] = [
    plan(&[Kind::Rename], 1, false),
    plan(&[Kind::CopyTruncate], 1, false),
    plan(&[Kind::Rename, Kind::CopyTruncate], 1, false),
    plan(&[Kind::LateLines, Kind::Rename], 1, false),
    plan(&[Kind::Compress, Kind::Rename], 1, false),
    plan(&[Kind::Rename, Kind::CopyTruncate], 1, true),
    plan(&[Kind::Rename, Kind::CopyTruncate], GROUP, false),
    plan(&[Kind::Rename, Kind::LateLines], GROUP, true),
];

/// What was done, by its name.
type Counts = BTreeMap<String, u64>;

/// What was done in one stage, in its order: told if it fails.
#[derive(Debug)]
struct History {
    _seed: u64,
    _plan: Plan,
    done: Vec<String>,
}

/// Any bytes, of every value.
fn bytes(chance: &mut Chance, len: u64) -> Vec<u8> {
    let words = (0..len.div_ceil(4)).flat_map(|_| (chance.below(1 << 32) as u32).to_le_bytes());
    words.take(len as usize).collect()
}

/// Something is done to a log.
fn live(log: &mut Log, plan: &Plan, chance: &mut Chance, counts: &mut Counts) -> String {
    let len = match chance.below(4) {
        0 => 0,
        1 => chance.below(100),
        2 => chance.below(3000),
        _ => chance.below(60_000),
    };
    let content = bytes(chance, len);
    if chance.below(5) > 0 {
        log.append(&content);
        return format!("append {len}");
    }
    let mut kind = plan.kinds[chance.below(plan.kinds.len() as u64) as usize];
    if kind == Kind::Compress && !log.is_begun_on_disk() {
        // Before that a fetcher that was killed has nothing to know a compressed generation by, and says so.
        kind = Kind::Rename;
    }
    *counts.entry(format!("rotations under kill -9: {kind:?}")).or_default() += 1;
    match kind {
        Kind::Rename => log.rotate(&content),
        Kind::CopyTruncate => log.copytruncate(&content),
        Kind::Compress => log.rotate_and_compress(&content),
        Kind::LateLines => {
            let late = chance.below(2000);
            log.rotate_with_late_lines(&bytes(chance, late), &content);
        }
    }
    format!("{kind:?} {len}, inode {}", inode(&log.path))
}

/// One end: its process, and what the ones before it said.
struct End<'a> {
    start: &'a dyn Fn(&Stage) -> Program,
    running: Program,
    kills: u64,
}

impl End<'_> {
    /// Kills it, at times while it stands still, and makes sure that it said nothing that it must not.
    fn kill(&mut self, chance: &mut Chance, history: &History) {
        if chance.below(8) == 0 {
            self.running.signal(Signal::SIGSTOP);
            std::thread::sleep(Duration::from_micros(chance.below(10_000)));
        }
        self.running.kill();
        self.kills += 1;
        self.judge(history);
    }

    fn judge(&self, history: &History) {
        let told = || format!("{}{}", self.running.stdout(), self.running.stderr());
        assert_eq!(self.running.said(" lost "), 0, "{history:?}\n{}", told());
        assert!(!self.running.stderr().contains("panicked"), "{history:?}\n{}", told());
    }

    fn restart(&mut self, stage: &Stage) {
        self.running = (self.start)(stage);
    }
}

/// An empty log can't be told from the one before it, which was empty as well: then nobody can see
/// whether the fetcher has come to it.
fn end_in_a_line(stage: &mut Stage) {
    for log in &mut stage.logs {
        let line = format!("line {} of all\n", log.generations.len());
        log.append(line.as_bytes());
    }
}

/// One stage, from its first line to the proof.
fn stage(seed: u64, plan: &Plan, port: u16) -> Counts {
    let mut chance = Chance::new(seed);
    let mut counts = Counts::new();
    let mut history = History { _seed: seed, _plan: *plan, done: Vec::new() };
    let mut stage = Stage::of(plan.logs, port);
    let sync = ["50ms", "5s", "always", "never"][chance.below(4) as usize];
    let soon = plan.logs > 1 || plan.kinds.contains(&Kind::Compress);
    let sync = if soon { "50ms" } else { sync };
    stage.options = ["--sync", sync, "--recheck", "1s"].map(str::to_owned).to_vec();
    let serve = |stage: &Stage| Program::spawn(&mut stage.serve_logs());
    let fetch = |stage: &Stage| Program::spawn(stage.fetch_logs().env("RUST_LOG", "info"));
    let mut ends = [&serve as &dyn Fn(&Stage) -> Program, &fetch].map(|start| End {
        start,
        running: start(&stage),
        kills: 0,
    });
    stage.wait_exact(|| format!("{history:?}\n{}", ends[1].running.stdout()));
    while ends.iter().any(|end| end.kills < KILLS_A_STAGE) {
        for _ in 0..chance.below(4) {
            let at = chance.below(stage.logs.len() as u64) as usize;
            let done = live(&mut stage.logs[at], plan, &mut chance, &mut counts);
            history.done.push(format!("log {at}: {done}"));
            std::thread::sleep(Duration::from_micros(chance.below(15_000)));
        }
        if plan.logs > 1 {
            // All of them are due together.
            for log in &mut stage.logs {
                log.append(b"one more\n");
            }
        }
        if chance.below(8) == 0 {
            let end = &ends[chance.below(2) as usize];
            end.running.signal(Signal::SIGSTOP);
            std::thread::sleep(Duration::from_micros(chance.below(20_000)));
            end.running.signal(Signal::SIGCONT);
            *counts.entry("SIGSTOP and SIGCONT: of either end".to_owned()).or_default() += 1;
        }
        let both = chance.below(4) == 0;
        let which = chance.below(2) as usize;
        let killed: Vec<usize> = if both { vec![0, 1] } else { vec![which] };
        killed.iter().for_each(|&end| ends[end].kill(&mut chance, &history));
        history.done.push(format!("killed {killed:?}"));
        if chance.below(2) == 0 {
            let at = chance.below(stage.logs.len() as u64) as usize;
            let done = live(&mut stage.logs[at], plan, &mut chance, &mut counts);
            history.done.push(format!("log {at}: {done}"));
        }
        killed.iter().for_each(|&end| ends[end].restart(&stage));
        let many = if plan.reuse { 3 } else { 12 };
        if stage.logs.iter().any(|log| log.rotated() >= many) {
            end_in_a_line(&mut stage);
            stage.wait_exact(|| format!("{history:?}\n{}", ends[1].running.stdout()));
            if plan.reuse {
                stage.logs.iter_mut().for_each(Log::forget_rotated);
                history.done.push("exact, the rotated ones deleted".to_owned());
            }
        }
    }
    end_in_a_line(&mut stage);
    stage.wait_exact(|| format!("{history:?}\n{}", ends[1].running.stdout()));
    for end in &ends {
        end.judge(&history);
    }
    let [responder, fetcher] = ends;
    *counts.entry("kill -9: of serve_logs at random moments".into()).or_default() +=
        responder.kills;
    *counts.entry("kill -9: of fetch_logs at random moments".into()).or_default() += fetcher.kills;
    fetcher.running.stop();
    stage.prove(|| format!("{history:?}"));
    counts
}

#[test]
fn killed_at_random_moments_under_every_rotation_all_is_there_once_and_proved() {
    let gzip = !left_out(FILE, &["gzip"]);
    let first = number("FETCHLOGS_SEED", u64::from(std::process::id()) << 20);
    eprintln!("FETCHLOGS_SEED={first}");
    let stages = KILLS.div_ceil(KILLS_A_STAGE) * torture();
    let plans = (first..first + stages).map(|seed| (seed, PLANS[(seed % 8) as usize]));
    let plans = plans.filter(|(_, plan)| gzip || !plan.kinds.contains(&Kind::Compress));
    let counts = Mutex::new(Counts::new());
    side_by_side(plans.collect(), 8, |(seed, plan), port| {
        for (what, count) in stage(seed, &plan, port) {
            *counts.lock().unwrap().entry(what).or_default() += count;
        }
    });
    for (what, count) in counts.into_inner().unwrap() {
        eprintln!("{what}\t{count}");
        tally(&what, count);
    }
}
