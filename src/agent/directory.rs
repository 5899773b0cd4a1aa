//! The status directory, read so that a hundred thousand hosts don't keep snmpd waiting.
//!
//! A scan lists the directory and asks the kernel about each name; only a file whose inode, size or
//! times changed is read again. Nothing here can block on what someone put into the directory:
//! links are not followed, and what is no regular file is left out.

use super::table::{Host, Hosts, index_of};
use super::verdict::{Found, first_line};
use std::collections::HashMap;
use std::fs::{DirEntry, Metadata, OpenOptions};
use std::io::{self, Read};
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Most hosts that are shown; the memory for them is some 70 MB.
pub const HOSTS_MAX: usize = 100_000;

/// Most bytes read of a status file; its first line is expected within.
pub const FILE_BYTES_MAX: usize = 4096;

/// A file changed this recently is read again, changed or not: times tick in milliseconds, so the
/// next change may bear the time of this one.
const SETTLED: Duration = Duration::from_secs(2);

/// A status directory and what the last scan of it saw.
pub struct Directory {
    path: PathBuf,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    hosts: Hosts,
    /// Of the files that need not be read again until this changes.
    stamps: HashMap<Vec<u32>, Stamp>,
}

/// What changes when a file does; the change time also tells of a change of permissions.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Directory {
    /// The directory at `path`, which nobody has looked at yet and which need not exist.
    pub fn new(path: PathBuf) -> Directory {
        Directory { path, seen: Seen::default() }
    }

    /// Its path, for texts.
    pub fn path_text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The hosts of the last scan.
    pub fn hosts(&self) -> &Hosts {
        &self.seen.hosts
    }

    /// Looks at everything. An error, in the system's words, means that [`Directory::hosts`] are not
    /// all there are; more than `hosts_max` are one.
    pub fn scan(&mut self, now: SystemTime, hosts_max: usize) -> Result<(), String> {
        let old = std::mem::take(&mut self.seen);
        for entry in std::fs::read_dir(&self.path).map_err(|e| cause(&e))? {
            let entry = entry.map_err(|e| cause(&e))?;
            let index = index_of(entry.file_name().as_bytes());
            let again = self.seen.hosts.contains_key(&index);
            if entry.file_name().as_bytes().starts_with(b".") || again && !is_plain(&entry) {
                continue;
            }
            let Some(host) = self.seen.note(&index, &entry, &old, now) else { continue };
            if !again && self.seen.hosts.len() >= hosts_max {
                self.seen.stamps.remove(&index);
                return Err(format!("more than {hosts_max} files"));
            }
            self.seen.hosts.insert(index, host);
        }
        Ok(())
    }

    /// Looks at one host now, whatever the last scan saw.
    pub fn look(&self, name: &str) -> Host {
        let path = self.path.join(name);
        let found = match std::fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_file() => read(&path, &facts),
            Ok(facts) => unreadable("stat", "Not a regular file".into(), facts.modified().ok()),
            Err(e) => unreadable("stat", cause(&e), None),
        };
        Host { path: path.to_string_lossy().into_owned(), found }
    }
}

impl Seen {
    /// The host behind a directory entry; `None` for what is no status file or is gone already.
    fn note(
        &mut self,
        index: &[u32],
        entry: &DirEntry,
        old: &Seen,
        now: SystemTime,
    ) -> Option<Host> {
        let path = entry.path();
        let found = match entry.metadata() {
            Ok(facts) if facts.is_file() => {
                let stamp = Stamp::of(&facts);
                let unchanged = old.stamps.get(index) == Some(&stamp);
                let found = match old.hosts.get(index).filter(|_| unchanged) {
                    Some(host) => host.found.clone(),
                    None => read(&path, &facts),
                };
                if stamp.is_settled(now) && matches!(found, Found::Line { .. }) {
                    self.stamps.insert(index.to_vec(), stamp);
                }
                found
            }
            Ok(_other_kind) => return None,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => unreadable("stat", cause(&e), None),
        };
        Some(Host { path: path.to_string_lossy().into_owned(), found })
    }
}

impl Stamp {
    fn of(facts: &Metadata) -> Stamp {
        Stamp {
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }

    /// Whether a later change would show. The change time is the kernel's clock, nobody sets it.
    fn is_settled(&self, now: SystemTime) -> bool {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i128::from(since.as_secs()) > i128::from(self.changed.0) + i128::from(SETTLED.as_secs())
    }
}

/// Whether an address is spelled as we would: of two spellings of one host this file counts.
fn is_plain(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let address = name.to_str().and_then(|name| name.parse::<Ipv6Addr>().ok());
    address.is_some_and(|address| *name == *address.to_string())
}

/// Reads the first line of the file at `path`, of which `facts` were known a moment ago.
///
/// O_NONBLOCK: should a FIFO have taken the name meanwhile, opening it must not wait for a writer.
fn read(path: &Path, facts: &Metadata) -> Found {
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
    };
    let attempt = open().and_then(|file| {
        let facts = file.metadata()?;
        let mut contents = Vec::new();
        file.take(FILE_BYTES_MAX as u64).read_to_end(&mut contents)?;
        Ok(Found::Line { text: first_line(&contents), modified: facts.modified()? })
    });
    attempt.unwrap_or_else(|e| unreadable("read", cause(&e), facts.modified().ok()))
}

fn unreadable(verb: &'static str, cause: String, modified: Option<SystemTime>) -> Found {
    Found::Unreadable { verb, cause, modified }
}

/// The system's words for an error, without its number.
fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn text_of(directory: &Directory, name: &str) -> String {
        match &directory.hosts()[&index_of(name.as_bytes())].found {
            Found::Line { text, .. } => text.clone(),
            Found::Unreadable { cause, .. } => cause.clone(),
        }
    }

    #[test]
    fn a_file_that_lies_still_is_kept_and_one_that_changed_is_read_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("192.0.2.7");
        std::fs::write(&path, "OK\n").unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let (now, later) = (SystemTime::now(), SystemTime::now() + SETTLED * 3);
        let mut directory = Directory::new(temp.path().into());
        directory.scan(now, 1).unwrap();
        assert_eq!(directory.seen.stamps.len(), 0, "changed just now: to be read again");
        directory.scan(later, 1).unwrap();
        directory.scan(later, 1).unwrap();
        assert_eq!(directory.seen.stamps.len(), 1);
        assert_eq!(text_of(&directory, "192.0.2.7"), "OK");
        let before = directory.seen.stamps.clone();
        while directory.seen.stamps == before {
            // The kernel's times tick in milliseconds: until this is another one, write again.
            std::fs::write(&path, "ER\n").unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            directory.scan(later, 1).unwrap();
        }
        assert_eq!(text_of(&directory, "192.0.2.7"), "ER", "same size, same time of modification");
    }

    #[test]
    fn more_hosts_than_allowed_are_a_fault_and_the_rest_is_shown() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(temp.path().join(name), "OK\n").unwrap();
        }
        let mut directory = Directory::new(temp.path().into());
        assert_eq!(directory.scan(SystemTime::now(), 3), Ok(()));
        assert_eq!(directory.scan(SystemTime::now(), 2), Err("more than 2 files".into()));
        assert_eq!(directory.hosts().len(), 2);
    }

    #[test]
    fn a_directory_that_is_gone_leaves_no_host() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("a"), "OK\n").unwrap();
        let mut directory = Directory::new(temp.path().into());
        directory.scan(SystemTime::now(), 9).unwrap();
        drop(temp);
        let fault = directory.scan(SystemTime::now(), 9);
        assert_eq!(fault, Err("No such file or directory".into()));
        assert!(directory.hosts().is_empty());
    }
}
