//! Every case of finding, on a real file system.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::config::parse_serve;
use crate::pos::Writers;
use crate::sys::logs::DiskLogs;

const LINGER: Duration = Duration::from_secs(60);

/// A directory with a served file `log` and its rotations `log.*`.
pub(super) struct Bed {
    _dir: TempDir,
    pub(super) base: PathBuf,
    pub(super) files: Files,
    logs: DiskLogs,
}

/// Verdict, inode and first byte of an answer.
type Answer = Option<(Verdict, Inode, Offset)>;

impl Bed {
    pub(super) fn new() -> Bed {
        Bed::serving("file BASE/log\n")
    }

    pub(super) fn serving(config: &str) -> Bed {
        crate::sys::signal::ignore_sigio().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let text = config.replace("BASE", base.to_str().unwrap());
        let config = parse_serve("test", format!("allow 127.0.0.1\n{text}").as_bytes()).unwrap();
        let files = Files::new(config.files, DiskLogs::resolve);
        Bed { _dir: dir, base, files, logs: DiskLogs::new().unwrap() }
    }

    /// Writes a file that was last changed `age` seconds ago, and gives its inode.
    pub(super) fn file(&self, name: &str, content: &str, age: u64) -> Inode {
        fs::write(self.base.join(name), content).unwrap();
        self.aged(name, age)
    }

    /// Lets a file be last changed `age` seconds ago, and gives its inode.
    pub(super) fn aged(&self, name: &str, age: u64) -> Inode {
        let time = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(self.base.join(name)).unwrap().set_modified(time).unwrap();
        self.inode(name)
    }

    pub(super) fn inode(&self, name: &str) -> Inode {
        Inode::new(fs::metadata(self.base.join(name)).unwrap().ino())
    }

    /// Waits until the clock of the file system has gone on.
    pub(super) fn tick(&self) {
        let now = || {
            fs::write(self.base.join("clock"), "x").unwrap();
            fs::metadata(self.base.join("clock")).unwrap().modified().unwrap()
        };
        let begun = now();
        while now() < begun + Duration::from_millis(10) {}
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.base.join(from), self.base.join(to)).unwrap();
    }

    pub(super) fn finder(&self) -> Finder<'_, DiskLogs> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Finder {
            logs: &self.logs,
            files: &self.files,
            linger: LINGER,
            wall_ns: wall.as_nanos() as u64,
        }
    }

    fn first(&self) -> Answer {
        self.answer(None)
    }

    fn ask(&self, inode: Inode, offset: Offset) -> Answer {
        self.answer(Some(Position { inode, offset }))
    }

    /// The answer that would be given after `later`, if nothing happened until then.
    fn ask_in(&self, later: Duration, inode: Inode, offset: Offset) -> Answer {
        let mut finder = self.finder();
        finder.wall_ns += later.as_nanos() as u64;
        self.answer_of(&finder, Some(Position { inode, offset }))
    }

    fn answer(&self, have: Option<Position>) -> Answer {
        self.answer_of(&self.finder(), have)
    }

    fn answer_of(&self, finder: &Finder<'_, DiskLogs>, have: Option<Position>) -> Answer {
        let found = finder.find(self.files.get(0), have).ok()?;
        assert_eq!(found.facts.id.inode, found.status.inode.number());
        Some((found.status.verdict, found.status.inode, found.from))
    }
}

fn found(inode: Inode, from: Offset) -> Answer {
    Some((Verdict::Found, inode, from))
}

fn lost(inode: Inode) -> Answer {
    Some((Verdict::Lost, inode, 0))
}

type AtOpen = dyn Fn(&Path) -> io::Result<()>;

/// Files of a file system that tells no births, or with one that may not be looked at, and why.
pub(super) struct Odd {
    logs: DiskLogs,
    births: bool,
    denied: Option<(&'static str, i32)>,
    /// This file is written anew after so many reads.
    pub(super) rewrites: Option<(PathBuf, Cell<u32>)>,
    /// What happens before a file is opened.
    pub(super) at_open: Box<AtOpen>,
}

impl Odd {
    pub(super) fn new(births: bool, denied: Option<(&'static str, i32)>) -> Odd {
        let logs = DiskLogs::new().unwrap();
        Odd { logs, births, denied, rewrites: None, at_open: Box::new(|_| Ok(())) }
    }

    pub(super) fn finder<'a>(&'a self, bed: &'a Bed) -> Finder<'a, Odd> {
        let Finder { files, linger, wall_ns, .. } = bed.finder();
        Finder { logs: self, files, linger, wall_ns }
    }

    fn seen(&self, mut facts: FileFacts) -> FileFacts {
        facts.id.birth_ns = facts.id.birth_ns.filter(|_| self.births);
        facts
    }
}

impl Logs for Odd {
    type File = fs::File;
    fn open(&self, path: &Path) -> io::Result<fs::File> {
        (self.at_open)(path)?;
        self.logs.open(path)
    }
    fn names(&self, dir: &Path, most: usize) -> io::Result<Vec<OsString>> {
        self.logs.names(dir, most)
    }
    fn facts(&self, file: &fs::File) -> io::Result<FileFacts> {
        Ok(self.seen(self.logs.facts(file)?))
    }
    fn generation(&self, file: &fs::File) -> Option<u32> {
        self.logs.generation(file).filter(|_| self.births)
    }
    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        match self.denied {
            Some((name, error)) if path.ends_with(name) => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(self.logs.facts_at(path)?.map(|facts| self.seen(facts))),
        }
    }
    fn read_at(&self, file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.logs.read_at(file, buf, offset);
        if let Some((path, left)) = &self.rewrites {
            if left.get() == 1 {
                fs::write(path, b"something else altogether, and longer").unwrap();
            }
            left.set(left.get().saturating_sub(1));
        }
        read
    }
    fn wall_ns(&self) -> u64 {
        self.logs.wall_ns()
    }
    fn writers(&self, file: &fs::File) -> Writers {
        self.logs.writers(file)
    }
}

#[test]
fn first_contact_begins_the_current_file() {
    let bed = Bed::new();
    assert_eq!(bed.first(), None);
    bed.file("log.1", "older", 10);
    assert_eq!(bed.first(), None);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.first(), found(log, 0));
}

#[test]
fn the_current_file_goes_on_where_the_fetcher_is_even_at_its_end() {
    let bed = Bed::new();
    let log = bed.file("log", "content", 1000);
    assert_eq!(bed.ask(log, 0), found(log, 0));
    assert_eq!(bed.ask(log, 3), found(log, 3));
    assert_eq!(bed.ask(log, 7), found(log, 7));
}

#[test]
fn the_answer_repeats_the_inode_as_it_was_asked_for_with_its_zeros() {
    let bed = Bed::new();
    let log = bed.file("log", "content", 0).renamed();
    assert_eq!(bed.ask(log, 3), found(log, 3));
    assert!(log.to_string().starts_with('0'));
}

#[test]
fn a_rotated_file_is_sent_to_its_end() {
    let bed = Bed::new();
    let old = bed.file("log.3", "content", 1000);
    bed.file("log.2", "content", 900);
    bed.file("log", "content", 0);
    assert_eq!(bed.ask(old, 3), found(old, 3));
}

#[test]
fn after_a_rotated_file_comes_the_next_one_and_never_simply_the_current() {
    let bed = Bed::new();
    let chain: Vec<Inode> = [("log.3", 300), ("log.2", 200), ("log.1", 100), ("log", 0)]
        .map(|(name, age)| bed.file(name, "content", age))
        .into();
    for pair in chain.windows(2) {
        assert_eq!(bed.ask(pair[0], 7), found(pair[1], 0));
    }
}

#[test]
fn rotations_within_one_tick_of_the_clock_are_ordered_by_their_names() {
    let bed = Bed::new();
    let [one, two, ten] = ["log.1", "log.2", "log.10"].map(|name| bed.file(name, "content", 5));
    let time = fs::metadata(bed.base.join("log.1")).unwrap().modified().unwrap();
    for name in ["log.2", "log.10"] {
        let file = File::options().write(true).open(bed.base.join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(ten, 7), found(two, 0));
    assert_eq!(bed.ask(two, 7), found(one, 0));
    assert_eq!(bed.ask(one, 7), found(log, 0));
}

#[test]
fn a_line_that_comes_late_to_an_old_file_does_not_make_it_a_newer_one() {
    let bed = Bed::new();
    let chain = ["log.3", "log.2", "log.1", "log"].map(|name| {
        fs::write(bed.base.join(name), "content").unwrap();
        bed.inode(name)
    });
    for pair in chain.windows(2) {
        assert_eq!(bed.ask(pair[0], 7), found(pair[1], 0));
    }
    let late = File::options().append(true).open(bed.base.join("log.3")).unwrap();
    late.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
    drop(late);
    for pair in chain.windows(2) {
        assert_eq!(bed.ask(pair[0], 7), found(pair[1], 0), "none is skipped, none sent again");
    }
}

#[test]
fn a_rotated_file_that_is_still_written_is_followed() {
    let bed = Bed::new();
    let old = bed.file("log.1", "content", 5);
    let log = bed.file("log", "new", 0);
    let writer = File::options().append(true).open(bed.base.join("log.1")).unwrap();
    assert_eq!(bed.ask(old, 7), found(old, 7));
    drop(writer);
    assert_eq!(bed.ask(old, 7), found(log, 0));
}

#[test]
fn a_writer_that_is_quiet_for_the_linger_time_does_not_hold_the_rotation_up() {
    let bed = Bed::new();
    let old = bed.file("log.1", "content", LINGER.as_secs() + 1);
    let log = bed.file("log", "new", 0);
    let writer = File::options().append(true).open(bed.base.join("log.1")).unwrap();
    assert_eq!(bed.ask(old, 7), found(old, 7), "it was quiet, but lost its name just now");
    assert_eq!(bed.ask_in(LINGER + Duration::from_secs(1), old, 7), found(log, 0));
    writer.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    assert_eq!(bed.ask(old, 7), found(old, 7), "a time that lies ahead counts as now");
}

#[test]
fn between_the_rename_and_the_creation_the_renamed_file_is_followed() {
    let bed = Bed::new();
    let old = bed.file("log", "content", 1000);
    bed.rename("log", "log.1");
    assert_eq!(bed.ask(old, 7), found(old, 7));
    let log = bed.file("log", "", 0);
    assert_eq!(bed.ask(old, 7), found(log, 0));
}

#[test]
fn a_successor_is_known_as_soon_as_it_can_be_served() {
    let bed = Bed::new();
    bed.file("log.2", "content", 1000);
    let facts = bed.logs.facts_at(&bed.base.join("log.2")).unwrap().unwrap();
    let has_successor = || bed.finder().has_successor(bed.files.get(0), &facts);
    assert!(!has_successor());
    bed.file("log.1.gz", "compressed", 900);
    assert!(!has_successor());
    bed.file("log.0", "content", 100);
    assert!(has_successor());
}

#[test]
fn a_compressed_successor_is_stepped_over_and_told_as_lost() {
    let bed = Bed::new();
    let old = bed.file("log.3", "content", 300);
    bed.file("log.2.gz", "compressed", 200);
    let next = bed.file("log.1", "content", 100);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(old, 7), lost(next));
    assert_eq!(bed.ask(next, 7), found(log, 0));
}

#[test]
fn a_file_that_is_just_being_compressed_is_still_served() {
    let bed = Bed::new();
    let old = bed.file("log.2", "content", 200);
    let next = bed.file("log.1", "content", 100);
    bed.file("log.1.gz", "comp", 0);
    bed.file("log", "content", 0);
    assert_eq!(bed.ask(old, 7), found(next, 0));
}

#[test]
fn a_compressed_file_is_never_the_one_asked_for() {
    let bed = Bed::new();
    let compressed = bed.file("log.1.gz", "compressed", 100);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(compressed, 2), lost(log));
}

#[test]
fn a_file_truncated_in_place_is_another_generation_under_another_name() {
    let bed = Bed::new();
    let log = bed.file("log", "content", 0);
    bed.file("log", "new", 0);
    assert_eq!(bed.inode("log"), log);
    assert_eq!(bed.ask(log, 7), lost(log.renamed()));
    assert_eq!(bed.ask(log.renamed(), 3), found(log.renamed(), 3));
    assert_eq!(bed.ask(log.renamed(), 7), lost(log));
}

#[test]
fn a_rotated_file_that_is_too_short_is_another_generation_and_not_skipped() {
    let bed = Bed::new();
    let old = bed.file("log.1", "cut", 100);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(old, 7), lost(old.renamed()));
    assert_eq!(bed.ask(old.renamed(), 3), found(log, 0));
}

#[test]
fn a_generation_that_is_gone_is_lost_and_the_current_file_begins() {
    let bed = Bed::new();
    bed.file("log.1", "content", 100);
    let log = bed.file("log", "content", 0);
    let gone = Inode::new(log.number() + 1_000_000);
    assert_eq!(bed.ask(gone, 7), lost(log));
    fs::remove_file(bed.base.join("log")).unwrap();
    assert_eq!(bed.ask(gone, 7), None);
}

#[test]
fn rotated_files_may_be_in_other_directories() {
    let bed = Bed::serving(
        "file BASE/log BASE/old/log-* BASE/log.[0-9]*\n".replace("[0-9]", "").as_str(),
    );
    fs::create_dir(bed.base.join("old")).unwrap();
    let oldest = bed.file("old/log-20260101", "content", 300);
    let old = bed.file("old/log-20260102", "content", 200);
    let late = bed.file("log.1", "content", 100);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(oldest, 7), found(old, 0));
    assert_eq!(bed.ask(old, 7), found(late, 0));
    assert_eq!(bed.ask(late, 7), found(log, 0));
}

#[test]
fn another_served_file_is_no_rotation_of_this_one() {
    let bed = Bed::serving("file BASE/log BASE/log*\nfile BASE/log.err\n");
    let old = bed.file("log.1", "content", 200);
    bed.file("log.err", "content", 100);
    let log = bed.file("log", "content", 0);
    assert_eq!(bed.ask(old, 7), found(log, 0));
}

#[test]
fn a_second_name_of_a_file_is_not_a_second_generation() {
    let bed = Bed::new();
    let old = bed.file("log.2", "content", 100);
    fs::hard_link(bed.base.join("log.2"), bed.base.join("log.1")).unwrap();
    let log = bed.file("log", "content", 0);
    fs::hard_link(bed.base.join("log"), bed.base.join("log.0")).unwrap();
    assert_eq!(bed.ask(old, 7), found(log, 0));
    assert_eq!(bed.ask(log, 7), found(log, 7));
}

#[test]
fn links_directories_and_pipes_are_neither_current_nor_rotated() {
    let bed = Bed::new();
    let old = bed.file("log.9", "content", 300);
    bed.file("elsewhere", "secret", 200);
    symlink("elsewhere", bed.base.join("log.2")).unwrap();
    fs::create_dir(bed.base.join("log.1")).unwrap();
    nix::unistd::mkfifo(&bed.base.join("log.0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("elsewhere", bed.base.join("log")).unwrap();
    assert_eq!(bed.first(), None);
    assert_eq!(bed.ask(bed.inode("elsewhere"), 0), None);
    assert_eq!(bed.ask(old, 7), found(old, 7));
    fs::remove_file(bed.base.join("log")).unwrap();
    fs::create_dir(bed.base.join("log")).unwrap();
    assert_eq!(bed.first(), None);
}

#[test]
fn a_directory_that_became_a_link_leads_nowhere() {
    let bed = Bed::serving("file BASE/logs/log\n");
    fs::create_dir(bed.base.join("logs")).unwrap();
    let log = bed.file("logs/log", "content", 0);
    assert_eq!(bed.first(), found(log, 0));
    bed.rename("logs", "moved");
    symlink("moved", bed.base.join("logs")).unwrap();
    assert_eq!(bed.first(), None);
    assert_eq!(bed.ask(log, 3), None);
}

#[test]
fn no_rotation_is_skipped_while_files_are_being_rotated() {
    let bed = Bed::new();
    let start = bed.file("log.8", "content", 1000);
    let next = bed.file("log.7", "content", 900);
    bed.file("log", "content", 0);
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..2_000 {
                for (from, to) in [(8, 9), (7, 8), (8, 7), (9, 8)] {
                    bed.rename(&format!("log.{from}"), &format!("log.{to}"));
                }
            }
        });
        let mut answers = 0;
        while !rotating.is_finished() {
            if let Some(answer) = bed.ask(start, 7) {
                assert_eq!(Some(answer), found(next, 0));
                answers += 1;
            }
        }
        assert!(answers > 0);
    });
}

#[test]
fn more_rotated_files_than_can_be_looked_at_are_no_reason_to_call_one_lost() {
    let bed = Bed::new();
    let log = bed.file("log", "content", 0);
    let gone = Inode::new(log.number() + 1_000_000);
    for number in 0..=10_000 {
        File::create(bed.base.join(format!("log.{number}"))).unwrap();
    }
    assert_eq!(bed.ask(gone, 7), None);
    let busy = bed.finder().find(bed.files.get(0), Some(Position { inode: gone, offset: 7 }));
    assert_eq!(busy.unwrap_err().code, Code::Busy);
    assert_eq!(bed.ask(log, 7), found(log, 7));
    fs::remove_file(bed.base.join("log.0")).unwrap();
    assert_eq!(bed.ask(gone, 7), lost(log));
}

/// Found by the simulation: a log of a few bytes was copied, and what follows the one before was asked for before
/// it was emptied. The copy was sent as the next, and the log behind it: its bytes came twice.
#[test]
fn a_short_log_that_is_not_yet_emptied_is_not_sent_behind_its_copy() {
    let bed = Bed::new();
    let first = bed.file("log.2", "first", 300);
    let log = bed.file("log", "short", 100);
    bed.tick();
    let copy = bed.file("log.1", "short", 0);
    assert_eq!(bed.ask(first, 5), found(log, 0));
    // Once it is, or was written to again, the copy is what follows.
    for now in ["", "short", "short and more"] {
        bed.file("log", now, 0);
        assert_eq!(bed.ask(first, 5), found(copy, 0), "{now}");
    }
}
