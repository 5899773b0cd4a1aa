//! Our side of a proof: copies and archives, read beside a fetcher that may be at work on them.
//!
//! Nothing is locked and nothing is written. A pointer and a copy fit if the pointer names the file that
//! was opened, and still does after that; else the fetcher has just rotated, and both are read again.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bytes::{Bytes, cannot};
use super::lines::Extent;
use crate::fetch::pointer::{Held, Pointer, State, read_pointer};
use crate::pos::{Generation, Offset};
use crate::sys::fs::{DiskFs, Fs, may_be};

/// A rotation takes as long as the disk takes to sync; then what is found does not fit.
pub(super) const LOOKS_MAX: u32 = 100;
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What there is of a source's copy.
#[derive(Debug)]
pub enum Copy {
    /// A generation, as far as the pointer says that it is on disk.
    Held {
        /// Which.
        generation: Generation,
        /// The part of it.
        range: Range<Offset>,
        /// The copy.
        bytes: Bytes,
    },
    /// Nothing was fetched yet, or the copy is gone.
    Missing,
    /// The copy has fewer bytes than the pointer says.
    Short {
        /// What it should have.
        extent: Extent,
        /// How many it has.
        bytes: Offset,
    },
    /// It can't be read, or it is not known what it is; why.
    Unknown(String),
}

/// The archive that the pointer at `path` says the copy is becoming; its line in the manifest is still to
/// come.
pub fn becoming(fs: &DiskFs, copy: &Path, path: &Path) -> Option<OsString> {
    let Ok(Some(Held::Pointer(pointer))) = read(fs, path) else { return None };
    let State::Rotating { suffix, .. } = &pointer.state else { return None };
    archive_path(copy, suffix).file_name().map(OsStr::to_owned)
}

/// `suffix` behind the name of `copy` and a dot.
fn archive_path(copy: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(copy.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    copy.with_file_name(name)
}

/// What there is of the copy at `copy`, whose pointer is at `pointer`.
pub fn read_copy(fs: &DiskFs, copy: &Path, pointer: &Path) -> Copy {
    let mut found = Copy::Missing;
    for _ in 0..LOOKS_MAX {
        match look(fs, copy, pointer) {
            Ok((fits, copy)) => {
                found = copy;
                if fits {
                    break;
                }
            }
            Err(why) => return Copy::Unknown(why),
        }
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    found
}

/// How many bytes the manifest had when the pointer was written; 0 if nobody knows.
pub fn manifest_had(fs: &DiskFs, pointer: &Path) -> u64 {
    match read(fs, pointer) {
        Ok(Some(Held::Pointer(pointer))) => pointer.manifest,
        _ => 0,
    }
}

/// What there is, and whether it all fits together.
fn look(fs: &DiskFs, copy: &Path, pointer: &Path) -> Result<(bool, Copy), String> {
    let held = read(fs, pointer)?;
    let (generation, base, state) = match &held {
        None => return Ok(without_pointer(fs, copy, pointer)),
        Some(Held::Original(inode)) if inode.number() == 0 => return Ok((true, Copy::Missing)),
        Some(Held::Original(inode)) => (Generation::of(*inode), 0, &State::Active),
        Some(Held::Pointer(pointer)) => (pointer.generation, pointer.base, &pointer.state),
    };
    let path = match state {
        State::Adopting => {
            let why = "it is still being compared with its source";
            return Ok((true, Copy::Unknown(why.to_owned())));
        }
        // The rename may have been done, or not.
        State::Rotating { suffix, .. } if is_there(fs, &archive_path(copy, suffix)) => {
            archive_path(copy, suffix)
        }
        State::Active | State::Rotating { .. } => copy.to_path_buf(),
    };
    let Some((bytes, size)) = Bytes::open(fs, &path, base)? else {
        return Ok((false, Copy::Missing));
    };
    let durable = match &held {
        Some(Held::Pointer(pointer)) => {
            if !names(fs, pointer, &bytes)? {
                let why = "it is not the file that its pointer names";
                return Ok((false, Copy::Unknown(why.to_owned())));
            }
            pointer.durable
        }
        _ => size,
    };
    let range = base..base + durable;
    let fits = same_copy(&held, &read(fs, pointer)?);
    if size < durable {
        let extent = Extent { inode: generation.inode, range };
        return Ok((fits, Copy::Short { extent, bytes: size }));
    }
    Ok((fits, Copy::Held { generation, range, bytes }))
}

fn without_pointer(fs: &DiskFs, copy: &Path, pointer: &Path) -> (bool, Copy) {
    if is_there(fs, copy) {
        let why = format!("there is no pointer {}", pointer.display());
        return (false, Copy::Unknown(why));
    }
    (true, Copy::Missing)
}

fn is_there(fs: &DiskFs, path: &Path) -> bool {
    fs.facts_at(path).is_ok_and(|facts| facts.is_some())
}

fn read(fs: &DiskFs, path: &Path) -> Result<Option<Held>, String> {
    let held = read_pointer(fs, path).map_err(|error| cannot("read pointer", path, &error))?;
    held.transpose().map_err(|why| format!("pointer {} can't be used, {why}", path.display()))
}

fn names(fs: &DiskFs, pointer: &Pointer, bytes: &Bytes) -> Result<bool, String> {
    let facts = fs.facts(&bytes.file).map_err(|error| cannot("look at", &bytes.path, &error))?;
    Ok(may_be(&facts, &pointer.copy))
}

/// Whether both name one copy of one generation, however far.
fn same_copy(before: &Option<Held>, after: &Option<Held>) -> bool {
    match (before, after) {
        (Some(Held::Pointer(before)), Some(Held::Pointer(after))) => {
            (before.copy, before.base) == (after.copy, after.base)
                && before.generation.inode == after.generation.inode
        }
        (before, after) => before == after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::manifest::{Ended, Outcome, parse_time};
    use crate::fetch::pointer::emit_pointer;
    use crate::pos::Inode;
    use crate::proto::asked::Sample;
    use crate::proto::digest::Whole;

    /// A copy of ten bytes, of which the pointer calls seven durable; they belong at 100.
    struct Bed {
        dir: tempfile::TempDir,
    }

    impl Bed {
        fn new(state: State) -> Bed {
            let bed = Bed { dir: tempfile::tempdir().unwrap() };
            std::fs::write(bed.path("copy"), "0123456789").unwrap();
            let fs = DiskFs::default();
            let copy = fs.facts(&fs.open(&bed.path("copy")).unwrap()).unwrap().id;
            let generation = Generation::of(Inode::new(7));
            let boot = "boot".to_owned();
            let (before, manifest, masked) = (None, 812, 0);
            let (base, durable) = (100, 7);
            let pointer =
                Pointer { generation, base, before, masked, durable, copy, manifest, boot, state };
            std::fs::write(bed.path("pointer"), emit_pointer(&pointer)).unwrap();
            bed
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn read(&self) -> Copy {
            read_copy(&DiskFs::for_reading(), &self.path("copy"), &self.path("pointer"))
        }

        #[track_caller]
        fn assert_held(&self, expected: Range<Offset>, content: &[u8]) {
            let Copy::Held { generation, range, mut bytes } = self.read() else {
                panic!("{:?}", self.read());
            };
            assert_eq!((generation.inode, &range), (Inode::new(7), &expected));
            let digest = bytes.digest(&DiskFs::for_reading(), &range);
            assert_eq!(digest, Ok(Whole::of(content)));
        }
    }

    fn rotating() -> State {
        let time = parse_time("2026-11-21T13:22:49Z").unwrap();
        let ended = Ended { time, outcome: Outcome::COMPLETE, digest: Whole::of(b"") };
        let next = Generation::of(Inode::new(8));
        State::Rotating { suffix: "20261121142249".to_owned(), next, ended: Box::new(ended) }
    }

    #[test]
    fn what_the_pointer_calls_durable_is_what_is_held() {
        let bed = Bed::new(State::Active);
        bed.assert_held(100..107, b"0123456");
        let Copy::Held { mut bytes, .. } = bed.read() else { panic!("{:?}", bed.read()) };
        let fs = DiskFs::for_reading();
        assert_eq!(bytes.digest(&fs, &(102..104)), Ok(Whole::of(b"23")));
        assert_eq!(bytes.digest(&fs, &(103..103)), Ok(Whole::of(b"")));
        assert_eq!(bytes.sample(&fs, 107, 3), Ok(Sample::of(b"456")));
        assert_eq!(bytes.sample(&fs, 0, 0), Ok(None));
    }

    #[test]
    fn a_copy_that_is_being_rotated_is_found_under_either_name() {
        let bed = Bed::new(rotating());
        bed.assert_held(100..107, b"0123456");
        std::fs::rename(bed.path("copy"), bed.path("copy.20261121142249")).unwrap();
        bed.assert_held(100..107, b"0123456");
        std::fs::write(bed.path("copy"), "").unwrap();
        bed.assert_held(100..107, b"0123456");
    }

    #[test]
    fn the_pointer_says_how_long_the_manifest_was() {
        let bed = Bed::new(State::Active);
        let had = || manifest_had(&DiskFs::for_reading(), &bed.path("pointer"));
        assert_eq!(had(), 812);
        std::fs::write(bed.path("pointer"), "7\n").unwrap();
        assert_eq!(had(), 0);
    }

    #[test]
    fn a_copy_that_is_not_compared_yet_proves_nothing() {
        assert!(matches!(Bed::new(State::Adopting).read(), Copy::Unknown(_)));
    }

    #[test]
    fn a_copy_of_the_original_is_held_as_far_as_it_goes() {
        let bed = Bed::new(State::Active);
        std::fs::write(bed.path("pointer"), "7\n").unwrap();
        bed.assert_held(0..10, b"0123456789");
        std::fs::write(bed.path("pointer"), "0\n").unwrap();
        assert!(matches!(bed.read(), Copy::Missing));
        std::fs::write(bed.path("pointer"), "rubbish\n").unwrap();
        assert!(matches!(bed.read(), Copy::Unknown(_)));
    }

    #[test]
    fn a_copy_that_is_swapped_while_it_is_looked_at_is_looked_at_again() {
        let bed = Bed::new(State::Active);
        // As a rotation leaves it for a moment: the name is another file's.
        std::fs::rename(bed.path("copy"), bed.path("away")).unwrap();
        std::fs::write(bed.path("copy"), "").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::park_timeout(LOOK_INTERVAL * 3);
                std::fs::rename(bed.path("away"), bed.path("copy")).unwrap();
            });
            bed.assert_held(100..107, b"0123456");
        });
    }
}
