//! Which served files a change in a directory is about.
//!
//! One inotify watch a directory, however many files are served from it. A hint names a directory
//! and a file in it; whom that concerns is found by the exact name first (a current file), then by
//! the patterns (a rotated one), and remembered: an unrelated file that is written all the time
//! costs one look-up a hint. A hint only wakes; what is true the woken see for themselves.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{FileNo, Files};
use super::sentences;
use crate::sys::linux::inotify::{Hint, Watch, WatchId};

/// Names remembered in one directory; when there are more, all are forgotten.
const REMEMBERED_MAX: usize = 1024;

/// Reads from the kernel in one turn of the loop, each of up to 4 KiB of hints: a directory in
/// uproar must not keep the loop from its connections.
const READS_MAX: usize = 64;

/// The watched directories.
#[derive(Debug)]
pub struct Hints {
    /// `None` where the system has none left: then files are only looked at now and then.
    watch: Option<Watch>,
    dirs: Vec<Dir>,
    by_watch: HashMap<WatchId, usize>,
}

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    watch: Option<WatchId>,
    /// Told once that it cannot be watched.
    complained: bool,
    concerns: Concerns,
}

/// Whom the names in one directory concern.
#[derive(Debug, Default)]
struct Concerns {
    current: HashMap<OsString, Vec<FileNo>>,
    /// Served files that have patterns here.
    rotated: BTreeSet<FileNo>,
    remembered: HashMap<OsString, Box<[FileNo]>>,
}

/// Whom to wake.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// Everybody: hints were lost.
    pub all: bool,
    /// Those who follow these files.
    pub files: BTreeSet<FileNo>,
    /// There are more hints to be read.
    pub more: bool,
}

impl Hints {
    /// Watches the directories of all `files`.
    pub fn new(files: &Files) -> Hints {
        let mut dirs: Vec<Dir> = Vec::new();
        let mut by_path: HashMap<PathBuf, usize> = HashMap::new();
        let mut concerns = |path: &Path, tell: &mut dyn FnMut(&mut Concerns)| {
            let at = *by_path.entry(path.to_path_buf()).or_insert_with(|| {
                dirs.push(Dir {
                    path: path.to_path_buf(),
                    watch: None,
                    complained: false,
                    concerns: Concerns::default(),
                });
                dirs.len() - 1
            });
            tell(&mut dirs[at].concerns);
        };
        for (number, served) in files.iter() {
            if let (Some(dir), Some(name)) = (served.path.parent(), served.path.file_name()) {
                concerns(dir, &mut |one| {
                    one.current.entry(name.to_owned()).or_default().push(number)
                });
            }
            for rotated in &served.rotated {
                concerns(&rotated.dir, &mut |one| {
                    one.rotated.insert(number);
                });
            }
        }
        let watch = Watch::new().inspect_err(sentences::cannot_watch).ok();
        let mut hints = Hints { watch, dirs, by_watch: HashMap::new() };
        hints.renew();
        hints
    }

    /// Watches all directories again, which changes nothing for those that are watched: one that
    /// was removed and made again, or not there before, is found by this.
    pub fn renew(&mut self) {
        let Some(all) = &self.watch else { return };
        for (at, dir) in self.dirs.iter_mut().enumerate() {
            let watch = match all.add_dir(&dir.path) {
                Ok(watch) => Some(watch),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    if !std::mem::replace(&mut dir.complained, true) {
                        sentences::unwatched(&dir.path, &error);
                    }
                    None
                }
            };
            if watch != dir.watch {
                if let Some(before) = std::mem::replace(&mut dir.watch, watch) {
                    self.by_watch.remove(&before);
                    all.remove_dir(before);
                }
                self.by_watch.extend(watch.map(|watch| (watch, at)));
            }
        }
    }

    /// Reads the hints that wait, or so many of them as fit in a turn.
    pub fn read(&mut self, files: &Files) -> io::Result<Woken> {
        let mut woken = Woken::default();
        for _ in 0..READS_MAX {
            let Some(watch) = &self.watch else { return Ok(woken) };
            let hints = watch.read()?;
            if hints.is_empty() {
                return Ok(woken);
            }
            for hint in hints {
                match hint {
                    Hint::Overflow => woken.all = true,
                    Hint::Name(watch, name) => {
                        if let Some(dir) = self.dir(watch) {
                            woken.files.extend(dir.concerns.of(&name, &dir.path, files));
                        }
                    }
                    Hint::Directory(watch) => {
                        if let Some(dir) = self.dir(watch) {
                            woken.files.extend(dir.concerns.everybody());
                        }
                    }
                }
            }
        }
        woken.more = true;
        Ok(woken)
    }

    /// What becomes readable when hints wait.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    fn dir(&mut self, watch: WatchId) -> Option<&mut Dir> {
        self.dirs.get_mut(*self.by_watch.get(&watch)?)
    }
}

impl Concerns {
    fn of(&mut self, name: &OsStr, dir: &Path, files: &Files) -> &[FileNo] {
        // A current file is no rotated one of another, so no pattern needs to be asked.
        if let Some(current) = self.current.get(name) {
            return current;
        }
        if !self.remembered.contains_key(name) {
            let concerned = self.rotated.iter().copied().filter(|&number| {
                let mut rotated = files.get(number).rotated.iter();
                rotated.any(|rotated| rotated.dir == dir && rotated.names.matches(name))
            });
            let concerned = concerned.collect();
            if self.remembered.len() >= REMEMBERED_MAX {
                self.remembered.clear();
            }
            self.remembered.insert(name.to_owned(), concerned);
        }
        self.remembered.get(name).map_or(&[], |concerned| concerned)
    }

    fn everybody(&self) -> impl Iterator<Item = FileNo> {
        self.current.values().flatten().chain(&self.rotated).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_serve;

    fn files(dir: &Path) -> Files {
        let dir = dir.display();
        let text = format!("file {dir}/a.log\nfile {dir}/b.log {dir}/old/b.*\n");
        Files::new(parse_serve("test", text.as_bytes()).unwrap().files, Path::to_path_buf)
    }

    /// The files woken by what `change` does.
    fn woken(hints: &mut Hints, files: &Files, change: impl FnOnce()) -> Vec<FileNo> {
        change();
        let woken = hints.read(files).unwrap();
        assert!(!woken.all && !woken.more);
        woken.files.into_iter().collect()
    }

    #[test]
    fn a_change_wakes_those_who_follow_the_file_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        std::fs::create_dir(dir.join("old")).unwrap();
        let files = files(dir);
        let mut hints = Hints::new(&files);
        let mut write =
            |name: &str| woken(&mut hints, &files, || std::fs::write(dir.join(name), "x").unwrap());
        assert_eq!(write("a.log"), [0]);
        assert_eq!(write("a.log.1"), [0]);
        assert_eq!(write("b.log"), [1]);
        assert_eq!(write("b.log.1"), [0; 0]);
        assert_eq!(write("old/b.log.1"), [1]);
        assert_eq!(write("unrelated"), [0; 0]);
        assert_eq!(write("unrelated"), [0; 0]);
    }

    #[test]
    fn a_directory_made_again_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let files = files(dir);
        let mut hints = Hints::new(&files);
        let old = dir.join("old");
        for _ in 0..3 {
            std::fs::create_dir(&old).unwrap();
            hints.renew();
            let name = old.join("b.1");
            assert_eq!(woken(&mut hints, &files, || std::fs::write(&name, "x").unwrap()), [1]);
            let gone = woken(&mut hints, &files, || std::fs::remove_dir_all(&old).unwrap());
            assert_eq!(gone, [1]);
            hints.renew();
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let files = files(Path::new("/nowhere"));
        let mut concerns = Concerns { rotated: BTreeSet::from([0]), ..Concerns::default() };
        for number in 0..3 * REMEMBERED_MAX {
            let name = OsString::from(format!("a.log.{number}"));
            assert_eq!(concerns.of(&name, Path::new("/nowhere"), &files), [0]);
            assert!(concerns.remembered.len() <= REMEMBERED_MAX);
        }
    }
}
