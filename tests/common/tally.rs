//! What a run has tried, for the page of totals: `docs/PROOF.md` is made of it.

use std::io::Write;

/// Adds `count` of `what` to the file of FETCHLOGS_TALLY, if there is one. `what` is an area, a colon and
/// a thing in the plural: "kill -9: of fetch_logs at random moments". One write a line, so that programs
/// that run at the same time do not mix theirs.
pub fn tally(what: &str, count: u64) {
    let Some(path) = std::env::var_os("FETCHLOGS_TALLY") else { return };
    assert!(what.contains(": ") && !what.contains(['\t', '\n']), "{what:?}");
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{what}\t{count}\n").as_bytes()).unwrap();
}
