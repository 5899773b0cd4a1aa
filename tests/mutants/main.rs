//! What the protective steps are worth: each is taken out of the code, one at a time, and the simulation
//! (or the tests of the room) has to notice.
//!
//! A copy of the tree is made in which every step stands beside what there is without it, and a number in
//! the environment chooses: so all of them are built once. `FETCHLOGS_MUTANT=7` tries only that one.

#[path = "../common/tally.rs"]
mod tally;

mod steps;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use steps::{Judge, STEPS, Step};
use tally::tally;

/// Whoever does not end has noticed, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Worlds that are tried before a step is called worthless, in parts of this many.
const WORLDS: [u64; 4] = [100, 500, 3000, 12_000];

/// Chooses; written to the copy as a room of its own.
const CHOICE: &str = "//! Which step is missing.\n\n\
    /// Whether it is that one.\n\
    pub fn on(number: usize) -> bool {\n\
        static CHOSEN: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();\n\
        let chosen = || std::env::var(\"FETCHLOGS_MUTANT\").ok()?.parse().ok();\n\
        *CHOSEN.get_or_init(chosen) == Some(number)\n\
    }\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of all files that have steps, each with what there is without them beside it.
fn mutated() -> BTreeMap<&'static str, String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut done: Vec<(&str, &str)> = Vec::new();
    for Step { name, file, code, .. } in STEPS {
        let read = || fs::read_to_string(root().join("src").join(file)).unwrap();
        let text = files.entry(file).or_insert_with(read);
        if done.contains(&(*file, *code)) {
            continue;
        }
        done.push((*file, *code));
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert_eq!(
            product.matches(code).count(),
            1,
            "{name}: {file} has to have this once: {code}"
        );
        let mut choice = String::from("{ ");
        for (number, one) in STEPS.iter().enumerate() {
            if (one.file, one.code) == (*file, *code) {
                let _ =
                    write!(choice, "if crate::mutants::on({number}) {{ {} }} else ", one.instead);
            }
        }
        let _ = write!(choice, "{{ {code} }} }}");
        if !code.ends_with([';', '}']) {
            choice = format!("({choice})");
        }
        *text = text.replacen(code, &choice, 1);
    }
    files
}

/// Copies what is not there yet, or is another.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            if ![".git", "target", "fuzz"].map(OsStr::new).contains(&name) {
                copy_tree(&path, &to.join(name));
            }
        } else {
            write_if_other(&to.join(name), &fs::read(&path).unwrap());
        }
    }
}

/// Leaves a file as old as it is if nothing is new in it, so that it is not built once more.
fn write_if_other(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::write(path, content).unwrap();
    }
}

/// Builds the copy; gives the test binaries by their names.
fn build() -> BTreeMap<String, PathBuf> {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    copy_tree(&root().join("tests"), &tree.join("tests"));
    copy_tree(&root().join("benches"), &tree.join("benches"));
    copy_tree(&root().join("etc"), &tree.join("etc"));
    let mut files = mutated();
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    files.insert("lib.rs", lib + "\npub mod mutants;\n");
    files.insert("mutants.rs", CHOICE.to_owned());
    let src = tree.join("src");
    copy_sources(&root().join("src"), &src, Path::new(""), &files);
    files.iter().for_each(|(name, text)| write_if_other(&src.join(name), text.as_bytes()));
    for name in ["Cargo.toml", "Cargo.lock"] {
        write_if_other(&tree.join(name), &fs::read(root().join(name)).unwrap());
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--release", "--no-run", "--lib"]).current_dir(&tree);
    for test in tests() {
        cargo.args(["--test", test]);
    }
    let built = cargo.env("CARGO_TARGET_DIR", tree.join("target")).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{said}");
    let mut binaries = BTreeMap::new();
    for line in said.lines().filter(|line| line.trim_start().starts_with("Executable")) {
        let (what, path) = line.trim_end_matches(')').split_once(" (").unwrap();
        let name = what.split('/').nth(1).unwrap_or("lib").trim_end_matches(".rs");
        let name = if what.contains("unittests") { "lib" } else { name };
        binaries.insert(name.to_owned(), tree.join(path));
    }
    binaries
}

/// The test binaries that are needed, but for the library's own.
fn tests() -> Vec<&'static str> {
    let mut names = vec!["sim"];
    for step in STEPS {
        if let Judge::Tests(name) = step.judge
            && name != "lib"
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn copy_sources(from: &Path, to: &Path, below: &Path, other: &BTreeMap<&str, String>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        let below = below.join(name);
        if path.is_dir() {
            copy_sources(&path, &to.join(name), &below, other);
        } else if !other.contains_key(below.to_str().unwrap()) {
            write_if_other(&to.join(name), &fs::read(&path).unwrap());
        }
    }
}

fn ended_well(mut child: Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

fn start(binary: &Path, args: &[&str], envs: &[(&str, String)]) -> Child {
    let mut command = Command::new(binary);
    command.args(args).current_dir(root()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove("FETCHLOGS_TALLY").envs(envs.iter().cloned()).spawn().unwrap()
}

/// Whether somebody notices that the step is missing; in how many worlds, if it is the simulation.
fn noticed(binaries: &BTreeMap<String, PathBuf>, number: usize) -> Option<String> {
    let mutant = ("FETCHLOGS_MUTANT", number.to_string());
    match STEPS[number].judge {
        Judge::Tests(name) => {
            let child = start(&binaries[name], &[], &[mutant]);
            (!ended_well(child)).then(|| format!("by the tests of {name}"))
        }
        Judge::Worlds { from } => {
            let mut first = from;
            for count in WORLDS {
                let envs = [
                    mutant.clone(),
                    ("FETCHLOGS_SIM_FIRST", first.to_string()),
                    ("FETCHLOGS_SIM_SEEDS", count.to_string()),
                ];
                if !ended_well(start(&binaries["sim"], &["seeds"], &envs)) {
                    return Some(format!("in worlds {first} to {}", first + count));
                }
                first += count;
            }
            None
        }
    }
}

#[test]
fn every_step_stands_in_the_code() {
    assert!(mutated().len() > 10);
}

#[test]
#[ignore = "builds the tree once more; tests/run runs it"]
fn every_step_that_is_taken_out_is_noticed() {
    let binaries = build();
    let only: Option<usize> = std::env::var("FETCHLOGS_MUTANT").ok().map(|n| n.parse().unwrap());
    let all_well = ended_well(start(
        &binaries["sim"],
        &["seeds"],
        &[("FETCHLOGS_SIM_SEEDS", WORLDS[0].to_string())],
    ));
    assert!(all_well, "with all steps");
    let (mut caught, mut missed) = (0, Vec::new());
    for (number, step) in STEPS.iter().enumerate() {
        if only.is_some_and(|only| only != number) {
            continue;
        }
        match noticed(&binaries, number) {
            Some(how) => {
                println!("{number:2} {}: noticed {how}", step.name);
                caught += 1;
            }
            None => missed.push(format!("{number}: {} ({})", step.name, step.file)),
        }
    }
    tally("mutants: steps taken out and noticed", caught);
    assert!(missed.is_empty(), "nobody notices without\n{}", missed.join("\n"));
}
