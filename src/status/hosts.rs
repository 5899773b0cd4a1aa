//! One status file per host: `OK`, or `ERR` and how many sources and the first fault.
//!
//! `SNMP_DIR/HOST` is what `snmp_from_file` shows. It is replaced as a whole, so nobody ever reads
//! half of it, and touched at least every [`TOUCH_INTERVAL`]: a monitor takes a file that is older
//! than 120 s for a fetcher that is dead.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::clock;

/// Longest time between two touches of a status file.
pub const TOUCH_INTERVAL: Duration = Duration::from_secs(45);

/// The unfinished file. Not made of the host's name, which may be as long as a file's can be.
const SCRATCH: &str = ".fetch_logs.new";

/// Longest text of a status in bytes: what a `pass_persist` agent can pass on.
const TEXT_BYTES_MAX: usize = 250;

/// All status files.
#[derive(Debug)]
pub struct Hosts {
    dir: PathBuf,
    written: BTreeMap<String, String>,
}

/// How a host is: a count and the first of the faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its sources.
    pub sources: usize,
    /// Those of them in error.
    pub failing: usize,
    /// What is wrong with the first of these, `PATH: FAULT`.
    pub first: Option<String>,
}

impl Health {
    /// The text of the status file, newline included, in printable ASCII.
    pub fn text(&self) -> String {
        let Some(first) = &self.first else { return "OK\n".to_owned() };
        let whole = format!("ERR {} of {} sources: {first}", self.failing, self.sources);
        let mut text: String =
            whole.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        text.truncate(TEXT_BYTES_MAX);
        text.push('\n');
        text
    }
}

impl Hosts {
    /// Keeps its files in `dir`, which is made if it is missing. Status files of hosts that a fetcher
    /// before us knew count as ours, so that [`Hosts::show`] removes those that are gone.
    pub fn new(dir: &Path) -> io::Result<Hosts> {
        if let Err(error) = std::fs::create_dir_all(dir) {
            // What is there already is no fault, if it is a directory; else why nobody knows what it is.
            let there = error.kind() == io::ErrorKind::AlreadyExists;
            if !there || !std::fs::metadata(dir)?.is_dir() {
                return Err(error);
            }
        }
        let mut written = BTreeMap::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(host) = entry.file_name().into_string() else { continue };
            if let Some(text) = status_text(&entry.path()).filter(|_| !host.starts_with('.')) {
                written.insert(host, text);
            }
        }
        Ok(Hosts { dir: dir.to_path_buf(), written })
    }

    /// Brings the files in line with `health`, the state of every host that has sources. Files of
    /// hosts that were there before and have none any more are removed. Gives what failed; the next
    /// call tries it again.
    pub fn show(&mut self, health: &BTreeMap<String, Health>) -> Vec<io::Error> {
        let mut failed = Vec::new();
        let gone: Vec<String> =
            self.written.keys().filter(|host| !health.contains_key(*host)).cloned().collect();
        for host in gone {
            match std::fs::remove_file(self.dir.join(&host)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => failed.push(error),
                _ => drop(self.written.remove(&host)),
            }
        }
        for (host, health) in health {
            let text = health.text();
            if self.written.get(host) == Some(&text) {
                continue;
            }
            match self.replace(host, &text) {
                Ok(()) => drop(self.written.insert(host.clone(), text)),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// Renews the time of every file; one that somebody removed is written again.
    pub fn touch(&mut self) -> Vec<io::Error> {
        let mut failed = Vec::new();
        for (host, text) in &self.written {
            let touched = OpenOptions::new()
                .write(true)
                .open(self.dir.join(host))
                .and_then(|file| file.set_modified(clock::system()));
            let touched = match touched {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.replace(host, text),
                other => other,
            };
            failed.extend(touched.err());
        }
        failed
    }

    /// A leading dot hides the unfinished file from the agent, and no host's name begins with one.
    fn replace(&self, host: &str, text: &str) -> io::Result<()> {
        let scratch = self.dir.join(SCRATCH);
        let written = File::create(&scratch).and_then(|mut file| file.write_all(text.as_bytes()));
        let replaced = written.and_then(|()| std::fs::rename(&scratch, self.dir.join(host)));
        if replaced.is_err() {
            // Best effort: the next attempt replaces it.
            let _ = std::fs::remove_file(&scratch);
        }
        replaced
    }
}

/// What a status file holds; `None` for any other file, which is not ours to remove.
fn status_text(path: &Path) -> Option<String> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > TEXT_BYTES_MAX as u64 + 1 {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.strip_suffix('\n')?;
    let ours = line == "OK" || line == "ERR" || line.starts_with("ERR ");
    (ours && !line.contains('\n')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn health(sources: usize, faults: &[&str]) -> Health {
        let first = faults.first().map(|&fault| fault.to_owned());
        Health { sources, failing: faults.len(), first }
    }

    #[test]
    fn a_status_is_ok_or_how_many_sources_and_the_first_fault() {
        assert_eq!(health(3, &[]).text(), "OK\n");
        assert_eq!(
            health(3, &["/var/log/a: ERR read: timeout", "x"]).text(),
            "ERR 2 of 3 sources: /var/log/a: ERR read: timeout\n"
        );
        let long = health(1, &[&"\u{e9}\n".repeat(400)]).text();
        assert!(long.len() == TEXT_BYTES_MAX + 1 && long[..TEXT_BYTES_MAX].is_ascii());
    }

    #[test]
    fn files_follow_the_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let snmp = dir.path().join("made/for/it");
        let mut hosts = Hosts::new(&snmp).unwrap();
        let mut all: BTreeMap<String, Health> =
            [("a".to_owned(), health(1, &[])), ("b".to_owned(), health(1, &["f"]))].into();
        assert!(hosts.show(&all).is_empty());
        assert_eq!(std::fs::read_to_string(snmp.join("a")).unwrap(), "OK\n");
        assert_eq!(std::fs::read_to_string(snmp.join("b")).unwrap(), "ERR 1 of 1 sources: f\n");
        all.remove("b");
        assert!(hosts.show(&all).is_empty());
        assert!(!snmp.join("b").exists());
        std::fs::write(snmp.join("notes"), "not a status").unwrap();
        std::fs::write(snmp.join("left"), "ERR 1 of 1 sources: x\n").unwrap();
        let mut hosts = Hosts::new(&snmp).unwrap();
        assert!(hosts.show(&all).is_empty());
        assert!(snmp.join("notes").exists() && !snmp.join("left").exists());
        std::fs::remove_file(snmp.join("notes")).unwrap();
        std::fs::remove_file(snmp.join("a")).unwrap();
        assert!(hosts.touch().is_empty());
        assert_eq!(std::fs::read_dir(&snmp).unwrap().count(), 1);
        let long_ago = SystemTime::UNIX_EPOCH;
        File::options().write(true).open(snmp.join("a")).unwrap().set_modified(long_ago).unwrap();
        assert!(hosts.touch().is_empty());
        assert!(std::fs::metadata(snmp.join("a")).unwrap().modified().unwrap() > long_ago);
    }
}
