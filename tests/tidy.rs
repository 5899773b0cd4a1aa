//! What the compiler can't hold: which room may look into which, which calls belong to which room,
//! files that nothing uses, and words that have no place in this tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may look into. `pos` is open to all.
const ROOMS: &[(&str, &[&str])] = &[
    ("agent", &["config", "sys"]),
    ("bin", &["agent", "demo", "fetch", "serve"]),
    ("config", &[]),
    ("demo", &["config", "evloop", "fetch", "proto", "serve", "status", "sys"]),
    ("evloop", &[]),
    ("fetch", &["config", "evloop", "proto", "status", "sys"]),
    ("proto", &[]),
    ("serve", &["config", "evloop", "proto", "status", "sys"]),
    ("status", &["sys"]),
    ("sys", &[]),
];

/// Cores that decide: they are told facts and time, and touch nothing.
const PURE: &[&str] = &[
    "fetch/backoff.rs",
    "fetch/due.rs",
    "fetch/haste.rs",
    "fetch/late.rs",
    "fetch/room.rs",
    "fetch/source.rs",
    "fetch/source/asking.rs",
    "fetch/source/halting.rs",
    "fetch/source/leaving.rs",
    "fetch/source/once.rs",
    "fetch/verify/lines.rs",
    "fetch/verify/proof.rs",
    "serve/allow.rs",
    "serve/crowd.rs",
    "serve/files.rs",
    "serve/order.rs",
    "serve/session.rs",
    "serve/session/finding.rs",
    "serve/session/listing.rs",
    "serve/session/mouth.rs",
    "serve/session/parting.rs",
    "serve/session/proving.rs",
    "serve/session/replaying.rs",
    "serve/session/terms.rs",
    "serve/session/wording.rs",
    "serve/tail.rs",
    "status/event.rs",
    "status/repeats.rs",
];

/// A call, and where it may stand: a file or folder below `src`.
const CALLS: &[(&str, &[&str])] = &[
    ("Instant::now", &["sys/clock.rs"]),
    ("SystemTime::now", &["sys/clock.rs"]),
    ("Local::now", &["sys/clock.rs"]),
    ("unsafe ", &["sys/"]),
    ("libc::", &["sys/", "agent/directory.rs", "serve/finder.rs", "serve/listeners.rs"]),
    ("use nix::", &["sys/", "agent/"]),
    ("socket2::", &["sys/"]),
    ("thread::sleep", &["demo/"]),
    ("println!", &["demo/", "agent/mod.rs", "fetch/cli.rs", "serve/mod.rs"]),
    ("dbg!", &[]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    (".unwrap()", &[]),
    (".expect(", &[]),
    ("panic!", &[]),
];

/// Lines a file may have before it has become two.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` whose names end in `.ext`, with their texts.
fn texts(dir: &str, ext: &str) -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, ext: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, ext, found);
            } else if path.extension().is_some_and(|end| end == ext) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(dir), ext, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no .{ext} in {dir}");
    found
}

/// The path below `src` and the code of each file, without its tests and comments.
fn code() -> Vec<(String, String)> {
    let src = root().join("src");
    texts("src", "rs")
        .into_iter()
        .map(|(path, text)| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code = if name.ends_with("/tests.rs") { "" } else { code };
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn rooms_look_only_where_they_may() {
    let mut faults = Vec::new();
    for (name, code) in code() {
        let Some((room, _)) = name.split_once('/') else { continue };
        let (_, allowed) = ROOMS.iter().find(|(known, _)| *known == room).expect(room);
        let paths = code.split("crate::").skip(1).chain(code.split("fetchlogs::").skip(1));
        for path in paths {
            let seen = path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            if seen != room && seen != "pos" && !allowed.contains(&seen) {
                faults.push(format!("src/{name} looks into {seen}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn pure_cores_touch_nothing() {
    let banned = ["crate::sys", "crate::evloop", "std::fs", "std::io", "std::thread", "log::"];
    let mut faults = Vec::new();
    for pure in PURE {
        let all = code();
        let (_, code) = all.iter().find(|(name, _)| name == pure).expect(pure);
        faults.extend(
            banned
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("src/{pure}: {word}")),
        );
    }
    assert_none(&faults);
}

#[test]
fn calls_stand_where_they_belong() {
    let mut faults = Vec::new();
    for (name, code) in code() {
        for (call, places) in CALLS {
            if code.contains(call) && !places.iter().any(|place| name.starts_with(place)) {
                faults.push(format!("src/{name}: {call}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_file_is_a_module_and_has_a_purpose_on_top() {
    let all = texts("src", "rs");
    let mut faults = Vec::new();
    for (path, text) in &all {
        if !text.starts_with("//! ") {
            faults.push(format!("{}: no purpose on top", path.display()));
        }
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let dir = path.parent().unwrap();
        if stem == "lib" || dir.ends_with("bin") {
            continue;
        }
        // `x/mod.rs` is declared where `x` is, everything else in its folder's `mod.rs`, in the file
        // named like its folder, or in `lib.rs`.
        let (name, home) = match stem {
            "mod" => (dir.file_name().unwrap().to_str().unwrap(), dir.parent().unwrap()),
            stem => (stem, dir),
        };
        let declared = [home.join("mod.rs"), home.with_extension("rs"), home.join("lib.rs")]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .any(|text| {
                let declaration = format!("mod {name};");
                text.lines().any(|line| line.trim_start_matches("pub ") == declaration)
            });
        if !declared {
            faults.push(format!("{}: no module", path.display()));
        }
    }
    assert_none(&faults);
}

#[test]
fn files_are_short_enough_to_be_read_in_one_sitting() {
    let faults: Vec<String> = texts("src", "rs")
        .iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert_none(&faults);
}

#[test]
fn nothing_unfinished_is_left() {
    let words = ["TODO", "FIXME", "XXX"];
    let mut faults = Vec::new();
    for dir in ["src", "benches", "etc", "fuzz/src", "snmp", "tests/corpora"] {
        for ext in ["rs", "md", "conf", "service"] {
            if !root().join(dir).exists() {
                continue;
            }
            for (path, text) in texts_or_none(dir, ext) {
                faults.extend(
                    words
                        .iter()
                        .filter(|word| text.contains(**word))
                        .map(|word| format!("{}: {word}", path.display())),
                );
            }
        }
    }
    assert_none(&faults);
}

fn texts_or_none(dir: &str, ext: &str) -> Vec<(PathBuf, String)> {
    std::panic::catch_unwind(|| texts(dir, ext)).unwrap_or_default()
}

/// One page lists every file of the proof that documents promise.
#[test]
fn the_documents_name_only_files_that_are_there() {
    let mut faults = BTreeSet::new();
    for document in ["README.md", "ARCHITECTURE.md", "PROTOCOL.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        for word in text.split(|c: char| c.is_whitespace() || "`()[],;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            let ours = ["src/", "tests/", "benches/", "etc/", "fuzz/", "snmp/"]
                .iter()
                .any(|dir| word.starts_with(dir));
            if ours && !word.contains('*') && !root().join(word).exists() {
                faults.insert(format!("{document}: {word}"));
            }
        }
    }
    assert_none(&faults.into_iter().collect::<Vec<_>>());
}
