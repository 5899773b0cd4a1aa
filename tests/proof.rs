//! The page of totals, `docs/PROOF.md`: made of what the runs have counted (`docs/runs.tsv`, to which
//! `tests/prove` adds) and of what the tests say of the faults that were found. Nobody writes it by hand.
//!
//! A line of `docs/runs.tsv` has the day, the commit, what was tried and how often, between tabs. A test of
//! a fault has a comment that begins with how it was found: "Found by killing: ...".
//!
//! `UPDATE_GOLDENS=1 cargo test --test proof` makes the page anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What was tried in one area, over all runs.
#[derive(Default)]
struct Total<'a> {
    count: u64,
    runs: u64,
    last: (&'a str, &'a str),
}

/// A fault that was found, and the test that would find it again.
struct Finding {
    how: String,
    what: String,
    test: String,
    file: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn totals(runs: &str) -> BTreeMap<&str, BTreeMap<&str, Total<'_>>> {
    let mut areas: BTreeMap<_, BTreeMap<_, Total<'_>>> = BTreeMap::new();
    for line in runs.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [day, commit, what, count] = words[..] else { panic!("not a line of a run: {line:?}") };
        let (area, thing) = what.split_once(": ").expect("an area and a thing");
        let total = areas.entry(area).or_default().entry(thing).or_default();
        total.count += count.parse::<u64>().expect("a count");
        total.runs += 1;
        total.last = (day, commit);
    }
    areas
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// All "Found by" comments of a file, each with the name of what follows it.
fn findings_of(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut comment = String::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(more) = line.strip_prefix("///") {
            comment.push_str(more.trim_end());
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| !comment.is_empty()) {
            let name = name.split('(').next().unwrap_or_default();
            let found =
                comment.split_once("Found by ").and_then(|(_, found)| found.split_once(": "));
            if let Some((how, what)) = found {
                findings.push(Finding {
                    how: how.to_owned(),
                    what: what.to_owned(),
                    test: name.to_owned(),
                    file: file.to_owned(),
                });
            }
            comment.clear();
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    findings
}

fn findings() -> Vec<Finding> {
    let mut files = Vec::new();
    sources(&root().join("tests"), &mut files);
    sources(&root().join("src"), &mut files);
    files.sort();
    let of_file = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        findings_of(name, &fs::read_to_string(path).unwrap())
    };
    let mut all: Vec<Finding> = files.iter().flat_map(of_file).collect();
    all.sort_by(|one, other| one.how.cmp(&other.how));
    all
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn page(runs: &str, findings: &[Finding]) -> String {
    let mut page = String::from(
        "# What was tried\n\n\
         Made by `tests/prove` of what the runs have counted and of what the tests say of the faults that were\n\
         found; not written by hand. CONTRIBUTING.md has the commands of each area. In none of the runs\n\
         counted here was a violation left: one that is found becomes a test, is mended, and is listed below.\n",
    );
    for (area, things) in totals(runs) {
        let _ = write!(page, "\n## {}\n\n", area);
        page.push_str("| | in all | runs | the last |\n|---|---:|---:|---|\n");
        for (thing, Total { count, runs, last: (day, commit) }) in things {
            let _ = writeln!(page, "| {thing} | {} | {runs} | {day}, {commit} |", grouped(count));
        }
    }
    let _ = write!(
        page,
        "\n## Faults found\n\n{}, each with the test that failed then.\n",
        findings.len()
    );
    let mut how = "";
    for finding in findings {
        if finding.how != how {
            how = &finding.how;
            let _ = write!(page, "\n### By {how}\n\n");
        }
        let _ = writeln!(page, "* {} (`{}` in {})", finding.what, finding.test, finding.file);
    }
    page
}

#[test]
fn the_page_of_totals_is_made_of_the_runs_and_of_the_tests() {
    let runs = fs::read_to_string(root().join("docs/runs.tsv")).unwrap();
    let made = page(&runs, &findings());
    let path = root().join("docs/PROOF.md");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == made, "docs/PROOF.md is old: UPDATE_GOLDENS=1 cargo test --test proof");
}

#[test]
fn a_total_is_the_sum_of_all_runs_and_a_finding_is_told_with_its_test() {
    let runs =
        "2026-01-02\tabc\tkill -9: of one end\t1200\n2026-01-03\tdef\tkill -9: of one end\t34\n";
    let text = "/// Found by killing: a byte\n/// was lost.\n#[test]\nfn nothing_is_lost() {\n}\n\
                /// Nothing.\nfn other() {}\n";
    let made = page(runs, &findings_of("tests/x.rs", text));
    assert!(made.contains("| of one end | 1,234 | 2 | 2026-01-03, def |"), "{made}");
    assert!(made.contains("* a byte was lost. (`nothing_is_lost` in tests/x.rs)"), "{made}");
    assert!(!made.contains("other"), "{made}");
}
