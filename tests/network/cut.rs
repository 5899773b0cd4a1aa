//! What happens at any byte of an exchange: the copy is exact, or it is told that it is not.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::chance::Chance;
use crate::chance::{number, seed};
use crate::common::{Dir, Program, lasting_port, wait_until};
use crate::proxy::{Fault, Pace, Plan, Proxy, Way};
use crate::tally::tally;

/// Sources of one fetcher: fewer than a listener lets wait (std listens with a backlog of 128).
const BATCH: usize = 100;

/// A host with one log, rotated once, and its responder.
struct Host {
    dir: Dir,
    _responder: Program,
    address: std::net::SocketAddr,
    generations: [Vec<u8>; 2],
}

impl Host {
    /// Whose generations have so many bytes, of every value.
    fn new(lens: [u64; 2], chance: &mut Chance) -> Host {
        let dir = Dir::new();
        let generations =
            lens.map(|len| (0..len).map(|_| chance.below(256) as u8).collect::<Vec<u8>>());
        dir.write("app.log.1", &generations[0]);
        dir.write("app.log", &generations[1]);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], lasting_port()));
        let conf = dir.config(
            "serve.conf",
            &format!(
                "listen {address}\nallow 127.0.0.0/8\nfile BASE/app.log BASE/app.log.*[0-9]*\n\
                 heartbeat 1s\nlinger 100ms\n"
            ),
        );
        let mut responder = Program::start(env!("CARGO_BIN_EXE_serve_logs"), &[conf.as_os_str()]);
        responder.told("listening on ");
        Host { dir, _responder: responder, address, generations }
    }
}

/// A centre that has fetched all sources of a proxy.
struct Centre {
    dir: Dir,
    sources: usize,
    stdout: String,
    success: bool,
}

/// Fetches a source for each of the plans until everything is there.
fn fetch(host: &Host, proxy: &Proxy, sources: usize) -> Centre {
    let dir = Dir::in_memory();
    let log = host.dir.path("app.log");
    let line = |source: usize| {
        let ((host, port), log) = (proxy.address(source), log.display());
        format!("{host} {port} {log} BASE/{source} BASE/{source}.ptr start=history\n")
    };
    dir.config("fetch.conf", &(0..sources).map(line).collect::<String>());
    fs::create_dir(dir.path("snmp")).unwrap();
    let mut fetcher = run(&dir, "--once");
    // A machine that is busy with other things is slow, but something goes on.
    let mut seen = usize::MAX;
    while fetcher.try_ended().is_none() {
        wait_until("something goes on", || {
            let lines = fetcher.lines().len();
            std::mem::replace(&mut seen, lines) != lines || fetcher.try_ended().is_some()
        });
    }
    let success = fetcher.ended().success();
    Centre { success, stdout: fetcher.stdout() + &fetcher.stderr(), dir, sources }
}

fn run(dir: &Dir, what: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
    command.args(["--reconnect", "30ms", "--reply-timeout", "3s", "--idle-timeout", "3s", what]);
    Program::spawn(command.args([dir.path("snmp"), dir.path("fetch.conf")]))
}

impl Centre {
    /// The archives and the copy of each source.
    fn kept(&self) -> BTreeMap<usize, BTreeMap<String, Vec<u8>>> {
        let mut kept: BTreeMap<usize, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for entry in fs::read_dir(self.dir.path("")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let mut parts = name.splitn(2, '.');
            let source = parts.next().unwrap().parse::<usize>();
            let rest = parts.next().unwrap_or("copy").to_owned();
            if let (Ok(source), false) = (source, rest.starts_with("ptr")) {
                let content = fs::read(self.dir.path(&name)).unwrap();
                kept.entry(source).or_default().insert(rest, content);
            }
        }
        kept
    }

    /// Every source has one archive and the copy, all of them and nothing else.
    fn assert_exact(&self, host: &Host, plans: &[Option<Plan>]) {
        assert!(self.success, "{}", self.stdout);
        assert!(!self.stdout.contains(" lost "), "{}", self.stdout);
        let kept = self.kept();
        assert_eq!(kept.len(), self.sources);
        for (source, files) in kept {
            let files: Vec<&Vec<u8>> = files.values().collect();
            let exact = files.len() == 2
                && *files[0] == host.generations[0]
                && *files[1] == host.generations[1];
            let lens: Vec<usize> = files.iter().map(|file| file.len()).collect();
            assert!(exact, "{:?} left {lens:?}\n{}", plans[source], self.stdout);
        }
    }
}

/// Has all plans carried out, in batches, and gives how many came to something.
fn fetch_all(host: &Host, plans: &[Option<Plan>], judge: impl Fn(&Centre, &[Option<Plan>])) -> u64 {
    let mut happened = 0;
    for plans in plans.chunks(BATCH) {
        let proxy = Proxy::new(host.address, Pace::AsTheyCome, plans.to_vec());
        let centre = fetch(host, &proxy, plans.len());
        judge(&centre, plans);
        happened += proxy.happened();
    }
    happened
}

/// A plan for each of the first bytes in both directions, every `step`.
fn at_each_byte(step: usize, fault: impl Fn(u64) -> Fault) -> Vec<Option<Plan>> {
    let plan = |way, at| Some(Plan { way, at, fault: fault(at) });
    let answers = (0..4096).step_by(step).map(|at| plan(Way::Answering, at));
    answers.chain((0..600).step_by(step).map(|at| plan(Way::Asking, at))).collect()
}

#[test]
fn cut_at_any_byte_of_an_exchange_the_copy_is_exact() {
    let mut chance = Chance::new(seed());
    let host = Host::new([1500, 2500], &mut chance);
    for round in 0..number("FETCHLOGS_NETWORK", 1) {
        let first = round + chance.below(2);
        let ways =
            |at: u64| if (at + first).is_multiple_of(2) { Fault::Closed } else { Fault::Reset };
        let plans = at_each_byte(1, ways);
        let cut = fetch_all(&host, &plans, |centre, plans| centre.assert_exact(&host, plans));
        // A request may be shorter than that.
        assert!(cut > 4096 + 300, "only {cut} of {} cuts", plans.len());
        tally("network: connections cut, at every byte", cut);
    }
}

#[test]
fn an_end_that_falls_silent_at_any_byte_is_left_in_bounded_time() {
    let mut chance = Chance::new(seed());
    let host = Host::new([1500, 2500], &mut chance);
    for _ in 0..number("FETCHLOGS_NETWORK", 1) {
        let plans = at_each_byte(9, |_| Fault::Silent);
        let silent = fetch_all(&host, &plans, |centre, plans| centre.assert_exact(&host, plans));
        assert!(silent > 450, "only {silent} fell silent");
        tally("network: connections half open", silent);
    }
}

#[test]
fn a_stall_and_pieces_of_any_length_change_nothing() {
    let mut chance = Chance::new(seed());
    let host = Host::new([1500, 2500], &mut chance);
    // Shorter than what an end waits for.
    let plans = at_each_byte(31, |_| Fault::Stalled(Duration::from_millis(300)));
    let stalled = fetch_all(&host, &plans, |centre, plans| centre.assert_exact(&host, plans));
    tally("network: stalls", stalled);
    let long = Host::new([200_000, 500_000], &mut chance);
    for (pace, host) in [(Pace::Split, &host), (Pace::Gathered, &long), (Pace::Slow, &long)] {
        let plans = vec![None; 4];
        let proxy = Proxy::new(host.address, pace, plans.clone());
        fetch(host, &proxy, plans.len()).assert_exact(host, &plans);
        tally("network: exchanges in other pieces", 4);
    }
}

/// Whether these are the bytes of a generation, as far as they go.
fn is_a_part(host: &Host, bytes: &[u8]) -> bool {
    host.generations.iter().any(|generation| generation.starts_with(bytes))
}

/// What is proved is right, and what is not right is told.
fn assert_told(centre: &Centre, host: &Host, proof: &str, plans: &[Option<Plan>]) {
    let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in proof.lines() {
        let source = line.split(' ').next().unwrap();
        said.entry(source.to_owned()).or_default().push(line);
    }
    for (source, files) in centre.kept() {
        let lines = &said[&format!("127.1.{}.{}", source / 256, source % 256)];
        for (name, content) in files {
            let what = if name == "copy" { " copy ".to_owned() } else { format!(".{name} ") };
            let of_it = lines.iter().filter(|line| line.contains(&what));
            let equal = of_it.clone().any(|line| line.ends_with(" equal"));
            let told = lines.iter().any(|line| !line.ends_with(" equal"));
            let right = is_a_part(host, &content);
            assert!(
                if equal { right } else { right || told || name.starts_with("unverified") },
                "{:?}: {name} is {right}\n{}",
                plans[source],
                lines.join("\n")
            );
        }
    }
}

#[test]
fn a_byte_that_was_altered_on_its_way_is_found_by_verify() {
    let mut chance = Chance::new(seed());
    let host = Host::new([1500, 2500], &mut chance);
    let step = if number("FETCHLOGS_NETWORK", 1) > 1 { 1 } else { 5 };
    for _ in 0..number("FETCHLOGS_NETWORK", 1) {
        let bits = chance.below(8);
        let plans = at_each_byte(step, |at| Fault::Flipped(((at + bits) % 8) as u8));
        let differ = std::sync::atomic::AtomicU64::new(0);
        let altered = fetch_all(&host, &plans, |centre, plans| {
            let mut proving = run(&centre.dir, "--verify");
            wait_until("it is proved", || proving.try_ended().is_some());
            proving.ended();
            let proof = proving.stdout();
            assert_told(centre, &host, &proof, plans);
            let found = proof.lines().filter(|line| line.contains(" differs at ")).count();
            differ.fetch_add(found as u64, std::sync::atomic::Ordering::Relaxed);
        });
        let differ = differ.into_inner();
        eprintln!("{altered} bytes altered, {differ} copies differ and are found");
        // Most bytes are bytes of the log.
        assert!(differ * 2 > altered, "of {altered} only {differ} were found");
        tally("network: bytes altered on their way", altered);
    }
}
