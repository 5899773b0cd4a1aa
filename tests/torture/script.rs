//! One rotation, the same each time, with one of the two programs traced.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::{PATIENCE, Program, wait_until};
use crate::stage::{Log, Stage};
use crate::tracer::{Act, Call, Ended, Traced};

/// One of the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    ServeLogs,
    FetchLogs,
}

impl Which {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Which::ServeLogs => "serve_logs",
            Which::FetchLogs => "fetch_logs",
        }
    }
}

/// What became of the traced program, before it was asked to end or then.
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// It ended before it was asked to.
    pub early: bool,
    /// When it was asked to.
    pub asked: Option<Instant>,
    /// What it wrote on standard output and standard error.
    pub told: String,
}

/// Both programs on a stage.
pub struct Play {
    stage: Stage,
    which: Which,
    traced: Option<Traced>,
    /// The other program, and what takes the place of the traced one when that has ended.
    others: Vec<Program>,
    outcome: Option<Outcome>,
    asked: Option<Instant>,
}

fn bytes(len: u32, from: u32) -> Vec<u8> {
    (from..from + len).flat_map(|number| format!("line {number} of all\n").into_bytes()).collect()
}

fn command(stage: &Stage, which: Which) -> std::process::Command {
    let mut command = match which {
        Which::ServeLogs => stage.serve_logs(),
        Which::FetchLogs => stage.fetch_logs(),
    };
    command.env("RUST_LOG", "info");
    command
}

impl Play {
    /// So many logs, and `which` of the programs to be traced.
    pub fn new(which: Which, logs: usize, port: u16) -> Play {
        let mut stage = Stage::of(logs, port);
        stage.options = ["--sync", "20ms", "--recheck", "200ms"].map(str::to_owned).to_vec();
        Play { stage, which, traced: None, others: Vec::new(), outcome: None, asked: None }
    }

    /// Has the logs fetched and rotated, with one program traced, which asks about each of its calls. When
    /// that has ended, another one takes its place. In the end all is there once, and proved.
    pub fn rotation(
        mut self,
        what: &str,
        decide: impl FnMut(&Call) -> Act + Send + 'static,
    ) -> Outcome {
        self.traced = Some(Traced::start(command(&self.stage, self.which), decide));
        let other = match self.which {
            Which::ServeLogs => Which::FetchLogs,
            Which::FetchLogs => Which::ServeLogs,
        };
        self.others.push(Program::spawn(&mut command(&self.stage, other)));
        for step in 0..4 {
            for log in &mut self.stage.logs {
                match step {
                    0 => log.append(&bytes(1000, 0)),
                    1 => log.append(&bytes(20, 5000)),
                    2 => log.rotate(&bytes(500, 10_000)),
                    _ => log.append(&bytes(30, 20_000)),
                }
            }
            self.settle(what);
        }
        self.end(what)
    }

    /// Waits until all that was written is here and on disk.
    fn settle(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.stage.logs.iter().all(Log::is_settled) {
            self.replace(true);
            assert!(Instant::now() < until, "{what}: not settled\n{}", self.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A traced program that has ended is replaced by one that is not traced.
    fn replace(&mut self, early: bool) {
        let ended = self.traced.as_ref().is_some_and(|traced| traced.try_ended().is_some());
        if ended && let Some(mut traced) = self.traced.take() {
            let ended = traced.ended();
            let told = format!("{}{}", traced.stdout(), traced.stderr());
            self.outcome = Some(Outcome { ended, early, asked: self.asked, told });
            self.others.push(Program::spawn(&mut command(&self.stage, self.which)));
        }
    }

    fn told(&self) -> String {
        let traced = self.traced.iter().map(|one| format!("{}{}", one.stdout(), one.stderr()));
        let others = self.others.iter().map(|one| format!("{}{}", one.stdout(), one.stderr()));
        traced.chain(others).collect::<Vec<_>>().join("\n---\n")
    }

    /// The traced one is asked to end; another one proves what is there.
    fn end(mut self, what: &str) -> Outcome {
        if let Some(traced) = &self.traced {
            self.asked = Some(Instant::now());
            traced.signal(Signal::SIGTERM);
            wait_until(&format!("{what}: it ends"), || traced.try_ended().is_some());
        }
        self.replace(false);
        self.settle(what);
        self.stage.wait_exact(|| format!("{what}\n{}", self.told()));
        let told = self.told();
        let outcome = self.outcome.take().expect("it has ended");
        for told in [&told, &outcome.told] {
            assert!(!told.contains(" lost "), "{what}: {told}");
            assert!(!told.contains("panicked"), "{what}: {told}");
        }
        // The fetcher, which holds the locks; it may have just been started.
        let at = if self.which == Which::FetchLogs { self.others.len() - 1 } else { 0 };
        self.others.remove(at).kill();
        self.others.last_mut().expect("the responder").told("listening on ");
        self.stage.prove(|| what.to_owned());
        outcome
    }
}
