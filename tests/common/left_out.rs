//! Tests that need a program which is not installed pass, and say so: on standard error, and in the
//! file of FETCHLOGS_LEFT_OUT, from which `tests/run` tells it at its end.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where a program is. It may live in a directory that is not everybody's PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/usr/bin"]);
    directories.map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

/// Whether a test of `file` has to be left out because one of the programs is missing; that is told.
pub fn left_out(file: &str, needed: &[&str]) -> bool {
    let missing = needed.iter().find(|name| program(name).is_none());
    if let Some(missing) = missing {
        tell(file, &format!("{missing} is not installed"));
    }
    missing.is_some()
}

/// Tells, once a process, why something in `file` was left out.
pub fn tell(file: &str, why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("{file}: {why}\n");
    if !TOLD.lock().unwrap().insert(line.clone()) {
        return;
    }
    eprint!("{line}");
    if let Some(path) = std::env::var_os("FETCHLOGS_LEFT_OUT") {
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
