//! Every input that fuzzing has kept is tried again, and changed in a few hundred ways.
//!
//! The targets are those that libFuzzer runs (`fuzz/run`), the inputs are in `tests/corpora/inputs`.

#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/tally.rs"]
mod tally;
mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use chance::Chance;
use tally::tally;
use targets::{LEN_MAX, TARGETS, Target};

#[global_allocator]
static COUNTING: targets::memory::Counting = targets::memory::Counting;

/// Inputs that may be kept for a target: what takes longer to replay than to find is of no use.
const INPUTS_MAX: usize = 200;

/// So many are told.
const FAULTS_MAX: usize = 5;

/// Changed inputs of each target.
const CHANGED: u64 = 3000;

fn inputs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpora/inputs")
}

/// The inputs that are kept for a target, by name.
fn kept(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(inputs().join(target.name)).expect(target.name);
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut kept: Vec<_> =
        paths.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
    kept.sort();
    kept
}

/// Tries all that is kept for the target, and each of it changed; gives how many inputs that were.
fn replay(target: &Target) -> u64 {
    let kept = kept(target);
    assert!(!kept.is_empty() && kept.len() <= INPUTS_MAX, "{}: {}", target.name, kept.len());
    let mut tried = 0;
    let mut faults = Vec::new();
    let mut check = |what: &dyn Fn() -> String, data: &[u8]| {
        tried += 1;
        if faults.len() < FAULTS_MAX
            && catch_unwind(AssertUnwindSafe(|| target.check(data))).is_err()
        {
            faults.push(format!("{}: {}", what(), data.escape_ascii()));
        }
    };
    for (path, data) in &kept {
        assert!(data.len() <= LEN_MAX, "{}", path.display());
        check(&|| path.display().to_string(), data);
    }
    let mut chance = Chance::new(target.name.len() as u64);
    let mut below = |end: usize| chance.below(end as u64) as usize;
    for _ in 0..CHANGED {
        let (path, data) = &kept[below(kept.len())];
        let (_, other) = &kept[below(kept.len())];
        let changed = change(data, other, &mut below);
        check(&|| format!("{}, changed", path.display()), &changed);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    tried
}

/// `data` with one to four changes, as a fuzzer makes them.
fn change(data: &[u8], other: &[u8], below: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"\n",
        b" ",
        b"0",
        b"-1",
        b"9223372036854775807",
        b"18446744073709551616",
        b"%00",
        b"\xff",
    ];
    let mut data = data.to_vec();
    for _ in 0..=below(4) {
        let at = below(data.len() + 1);
        let end = (at + below(20)).min(data.len());
        match below(6) {
            0 if at < data.len() => data[at] ^= 1 << below(8),
            1 if at < data.len() => data[at] = below(256) as u8,
            2 => drop(data.drain(at..end)),
            3 => drop(data.splice(at..at, WORDS[below(WORDS.len())].iter().copied())),
            4 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            _ => {
                let from = below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data.truncate(LEN_MAX);
    data
}

macro_rules! each_target {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let target = Target::named(stringify!($name)).unwrap();
                tally("fuzzing: inputs kept and changed inputs replayed", replay(target));
            }
        )*

        #[test]
        fn every_target_is_replayed_and_no_input_is_nobodys() {
            let replayed: BTreeSet<&str> = [$(stringify!($name)),*].into();
            assert_eq!(replayed, TARGETS.iter().map(|target| target.name).collect());
            let entries = std::fs::read_dir(inputs()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let names: Vec<String> = names.collect();
            assert!(names.iter().map(String::as_str).collect::<BTreeSet<_>>() == replayed, "{names:?}");
        }
    };
}

each_target!(
    agent, asked, fetch_conf, fetcher, globs, heard, manifest, names, pointer, responder,
    serve_conf, unpack,
);
