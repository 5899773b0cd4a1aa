//! `fetch_logs --verify`: what is proved, what is not, and where it differs.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;
#[path = "common/scripted.rs"]
mod scripted;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use common::{Program, lasting_port};
use fetchlogs::fetch::manifest::{Ending, Gap, Line, emit_line, manifest_path, read_latest};
use fetchlogs::fetch::pointer::{Held, parse_pointer};
use fetchlogs::pos::{Generation, Inode, Token};
use fetchlogs::proto::answer::{Answer, File, emit_answer};
use fetchlogs::proto::ask::{Ask, parse_ask};
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::frame::{emit_heartbeat, emit_sum};
use fetchlogs::proto::refusal::{Code, Refusal, emit_refusal};
use fetchlogs::sys::fs::DiskFs;
use flate2::Compression;
use flate2::write::GzEncoder;
use mirror::{Mirror, lines, with_suffix};
use original::OriginalResponder;
use scripted::Scripted;

/// A log with three rotated generations and the current one, all of them fetched.
struct Bed {
    mirror: Mirror,
    responder: Option<Program>,
    /// What the manifest has.
    archives: Vec<Line>,
}

impl Bed {
    fn new() -> Bed {
        let mut mirror = Mirror::of(&lines("generation 1", 10_000));
        let (responder, address) = mirror.serve();
        mirror.configure(address, "");
        for number in 2..5 {
            assert_eq!(once(&mirror, &[]), Some(0));
            mirror.rotate(&lines(&format!("generation {number}"), 10_000 - number));
        }
        assert_eq!(once(&mirror, &[]), Some(0));
        let manifest = manifest_path(&mirror.pointer);
        let (archives, _) = read_latest(&DiskFs::default(), &manifest, 0).unwrap().unwrap();
        for (line, content) in archives.iter().zip(&mirror.generations) {
            assert_eq!((line.digest, line.ending), (Whole::of(content), Ending::Complete));
        }
        assert_eq!(archives.len(), 3);
        Bed { mirror, responder: Some(responder), archives }
    }

    fn name(&self, at: usize) -> String {
        self.archives[at].archive.clone().unwrap().into_string().unwrap()
    }

    fn archive(&self, at: usize) -> PathBuf {
        self.mirror.copy.with_file_name(self.name(at))
    }

    fn manifest(&self) -> PathBuf {
        manifest_path(&self.mirror.pointer)
    }

    fn write_manifest(&self) {
        let text: Vec<u8> = self.archives.iter().flat_map(emit_line).collect();
        fs::write(self.manifest(), text).unwrap();
    }

    /// The path of the rotated file that archive `at` is of.
    fn rotated(&self, at: usize) -> PathBuf {
        with_suffix(&self.mirror.log, &(3 - at).to_string())
    }

    /// The beginning of a line, up to its verdict.
    fn manifest_line(&self) -> String {
        format!("127.0.0.1 {} manifest ", self.mirror.log.display())
    }

    fn copy_line(&self) -> String {
        let len = self.mirror.generations[3].len();
        let path = self.mirror.log.display();
        format!("127.0.0.1 {path} copy {} 0-{len} ", self.mirror.inode())
    }

    fn archive_line(&self, at: usize) -> String {
        let Line { inode, from, to, archive, .. } = &self.archives[at];
        let (path, name) =
            (self.mirror.log.display(), archive.as_deref().unwrap_or("-".as_ref()).display());
        format!("127.0.0.1 {path} archive {name} {inode} {from}-{to} ")
    }

    /// What is told if the verdicts are these, on the copy and on each archive.
    fn told(&self, copy: &str, archives: [&str; 3]) -> Vec<String> {
        let mut told = vec![self.copy_line() + copy];
        told.extend((0..3).map(|at| self.archive_line(at) + archives[at]));
        told
    }

    #[track_caller]
    fn assert_told(&self, code: i32, told: &[String]) {
        assert_eq!(verify(&self.mirror), (Some(code), told.to_vec()));
    }
}

/// The generation that the pointer names.
fn held(mirror: &Mirror) -> Generation {
    match parse_pointer(&fs::read(&mirror.pointer).unwrap()) {
        Ok(Held::Pointer(pointer)) => pointer.generation,
        other => panic!("{other:?}"),
    }
}

fn once(mirror: &Mirror, options: &[&str]) -> Option<i32> {
    mirror.fetch_logs_as(&[&["--once"], options].concat()).ended().code()
}

/// The exit code, and the lines.
fn verify(mirror: &Mirror) -> (Option<i32>, Vec<String>) {
    verify_with(mirror, &[])
}

fn verify_with(mirror: &Mirror, options: &[&str]) -> (Option<i32>, Vec<String>) {
    ended(mirror.fetch_logs_as(&[&["--verify"], options].concat()))
}

fn ended(mut program: Program) -> (Option<i32>, Vec<String>) {
    let code = program.ended().code();
    (code, program.lines())
}

fn flip(path: &Path, places: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    places.iter().for_each(|&at| bytes[at] ^= 1);
    // In place: it stays the file that it was.
    fs::File::options().write(true).open(path).unwrap().write_all(&bytes).unwrap();
}

const ALL_EQUAL: [&str; 3] = ["equal"; 3];

#[test]
fn everything_that_is_equal_is_proved_beside_a_running_fetcher_and_nothing_is_touched() {
    let bed = Bed::new();
    let running = bed.mirror.fetch_logs_as(&[]);
    bed.mirror.wait_exact_by(&running);
    let names = || {
        let entries = fs::read_dir(bed.mirror.copy.parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
    assert_eq!(names(), before);
    // The copy grows; what is not on disk yet does not count.
    running.stop();
    let mut grown = fs::read(&bed.mirror.copy).unwrap();
    grown.extend_from_slice(b"not known to be durable");
    fs::write(&bed.mirror.copy, grown).unwrap();
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
}

#[test]
fn a_byte_that_was_changed_in_a_copy_or_an_archive_is_located() {
    let bed = Bed::new();
    flip(&bed.mirror.copy, &[512]);
    bed.assert_told(1, &bed.told("differs at 512-513", ALL_EQUAL));
    flip(&bed.mirror.copy, &[512]);
    let archive = bed.archive(1);
    flip(&archive, &[0, 100_000]);
    let differs = "differs at 0-100001, manifest differs";
    bed.assert_told(1, &bed.told("equal", ["equal", differs, "equal"]));
}

#[test]
fn a_byte_that_was_changed_at_the_source_is_located_and_the_manifest_tells_on_which_side() {
    let bed = Bed::new();
    flip(&bed.mirror.log, &[77]);
    let last = bed.archives[2].to as usize - 1;
    flip(&bed.rotated(2), &[last]);
    let differs = format!("differs at {last}-{}, equal to the manifest", last + 1);
    bed.assert_told(1, &bed.told("differs at 77-78", ["equal", "equal", &differs]));
}

#[test]
fn what_is_gone_at_the_source_is_proved_by_the_manifest_alone() {
    let bed = Bed::new();
    fs::remove_file(bed.rotated(0)).unwrap();
    let gone = "gone at the source, equal to the manifest";
    bed.assert_told(0, &bed.told("equal", [gone, "equal", "equal"]));
    flip(&bed.archive(0), &[5]);
    let gone = "gone at the source, manifest differs";
    bed.assert_told(1, &bed.told("equal", [gone, "equal", "equal"]));
    fs::remove_file(&bed.mirror.log).unwrap();
    let told = verify(&bed.mirror).1;
    let path = bed.mirror.log.display().to_string();
    assert!(told[0].starts_with(&format!("127.0.0.1 {path} copy ")), "{told:?}");
    assert!(told[0].ends_with(" gone at the source"), "{told:?}");
}

#[test]
fn a_generation_that_is_in_another_file_now_is_found_also_if_one_end_of_ours_is_damaged() {
    let bed = Bed::new();
    let restored = bed.mirror.log.with_file_name("restored");
    for at in 0..3 {
        fs::copy(bed.rotated(at), &restored).unwrap();
        fs::rename(&restored, bed.rotated(at)).unwrap();
    }
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
    let end = bed.archives[1].to as usize;
    flip(&bed.archive(0), &[1000]);
    flip(&bed.archive(1), &[end - 1000]);
    let (head, tail) = (
        "differs at 1000-1001, manifest differs",
        format!("differs at {}-{}, manifest differs", end - 1000, end - 999),
    );
    bed.assert_told(1, &bed.told("equal", [head, &tail, "equal"]));
}

#[test]
fn a_generation_that_was_compressed_is_proved_and_its_damage_located() {
    let bed = Bed::new();
    for at in 0..3 {
        let (plain, mut packed) =
            (bed.rotated(at), GzEncoder::new(Vec::new(), Compression::fast()));
        packed.write_all(&fs::read(&plain).unwrap()).unwrap();
        let path = with_suffix(&plain, "gz");
        fs::write(&path, packed.finish().unwrap()).unwrap();
        let modified = fs::metadata(&plain).unwrap().modified().unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        fs::remove_file(&plain).unwrap();
    }
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
    let end = bed.archives[2].to as usize;
    flip(&bed.archive(0), &[1000]);
    flip(&bed.archive(1), &[90_000, 90_010]);
    flip(&bed.archive(2), &[end - 1]);
    let differs = |from: usize, to: usize| format!("differs at {from}-{to}, manifest differs");
    let (head, middle) = (differs(1000, 1001), differs(90_000, 90_011));
    bed.assert_told(1, &bed.told("equal", [&head, &middle, &differs(end - 1, end)]));
}

#[test]
fn a_log_that_was_copied_and_truncated_is_found_in_the_copy() {
    let bed = Bed::new();
    fs::copy(&bed.mirror.log, with_suffix(&bed.mirror.log, "0")).unwrap();
    fs::write(&bed.mirror.log, lines("something else", 20_000)).unwrap();
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
}

#[test]
fn what_is_not_as_the_manifest_says_is_told() {
    let mut bed = Bed::new();
    fs::remove_file(bed.archive(0)).unwrap();
    fs::write(bed.archive(1), "short").unwrap();
    bed.archives[2].digest = Whole::of(b"");
    bed.write_manifest();
    bed.assert_told(1, &bed.told("equal", ["missing", "has 5 bytes", "manifest differs"]));
}

#[test]
fn bytes_that_were_lost_when_it_was_fetched_stay_told() {
    let mut bed = Bed::new();
    let end = bed.archives[1].to;
    bed.archives[1].lost = Some(Gap { from: end, to: Some(end + 9) });
    fs::remove_file(bed.archive(2)).unwrap();
    bed.archives[2].archive = None;
    bed.write_manifest();
    let mut told = bed.told("equal", ["equal", "equal", "missing"]);
    told.insert(3, format!("{}lost {end}-{}", bed.archive_line(1), end + 9));
    // And that somebody has shortened the manifest.
    let len = fs::metadata(bed.manifest()).unwrap().len();
    told.insert(1, format!("{}has {len} bytes", bed.manifest_line()));
    bed.assert_told(1, &told);
}

#[test]
fn a_generation_that_went_before_all_of_it_was_fetched_is_a_gap() {
    let mut bed = Bed::new();
    let (inode, have) = (bed.mirror.inode(), bed.mirror.generations[3].len());
    bed.mirror.append(b"nobody fetches this\n");
    let other = bed.mirror.log.with_file_name("other");
    fs::write(&other, "new").unwrap();
    fs::rename(&other, &bed.mirror.log).unwrap();
    let (code, told) = verify_with(&bed.mirror, &["--once"]);
    assert_eq!(code, Some(1));
    // Events come first: lost, and rotated.
    assert_eq!(told.len(), 2 + 6, "{told:?}");
    let told: Vec<&str> =
        told.iter().filter_map(|line| line.split(&format!(" {inode} ")).nth(1)).collect();
    let gone = format!("0-{have} gone at the source, equal to the manifest");
    assert_eq!(told, [gone, format!("0-{have} lost {have}-")]);
}

#[test]
fn a_line_of_the_manifest_that_was_changed_is_told_and_one_that_is_torn_is_none() {
    let bed = Bed::new();
    let whole = fs::read(bed.manifest()).unwrap();
    fs::write(bed.manifest(), [&whole[..], b"2026-11-21T13:22"].concat()).unwrap();
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
    let mut damaged = whole;
    damaged[30] ^= 1;
    fs::write(bed.manifest(), damaged).unwrap();
    let mut told = bed.told("equal", ALL_EQUAL);
    let path = bed.mirror.log.display();
    told[1] = format!("127.0.0.1 {path} manifest damaged: 1 line can't be read");
    told.push(format!("127.0.0.1 {path} archive {} not in the manifest", bed.name(0)));
    bed.assert_told(1, &told);
}

#[test]
fn an_archive_that_no_line_of_the_manifest_names_is_told() {
    let bed = Bed::new();
    let path = bed.mirror.log.display().to_string();
    let stray = |name: &str| format!("127.0.0.1 {path} archive {name} not in the manifest");
    let beside = |name: &str| fs::write(bed.mirror.copy.with_file_name(name), "x").unwrap();
    let whole = fs::read(bed.manifest()).unwrap();
    // What else lies there is none of ours.
    for name in ["1", "2026", "20261121142249x", "20261121142249.", "unverified.0-3", "gz"] {
        beside(&format!("app.log.{name}"));
    }
    beside("app.log20261121142249");
    beside("other.20261121142249");
    bed.assert_told(0, &bed.told("equal", ALL_EQUAL));
    // The last line was damaged.
    let mut damaged = whole.clone();
    let at = damaged.len() - 30;
    damaged[at] ^= 1;
    fs::write(bed.manifest(), damaged).unwrap();
    let (code, told) = verify(&bed.mirror);
    assert_eq!((code, told.last()), (Some(1), Some(&stray(&bed.name(2)))), "{told:?}");
    // A second one of the same second, and one that somebody compressed.
    beside("app.log.20261121000000.1");
    beside("app.log.20261121000000.gz");
    fs::write(bed.manifest(), whole).unwrap();
    let mut told = bed.told("equal", ALL_EQUAL);
    let strays = ["app.log.20261121000000.gz", "app.log.20261121000000.1"].map(stray);
    told.extend(strays.clone());
    bed.assert_told(1, &told);
    fs::remove_file(bed.manifest()).unwrap();
    let mut told = vec![bed.copy_line() + "equal", bed.manifest_line() + "missing"];
    told.extend(strays);
    told.extend((0..3).map(|at| stray(&bed.name(at))));
    bed.assert_told(1, &told);
}

#[test]
fn an_archive_that_was_compressed_here_is_proved_under_the_name_that_it_has_now() {
    let mut bed = Bed::new();
    let pack = |at: usize| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&fs::read(bed.archive(at)).unwrap()).unwrap();
        fs::write(with_suffix(&bed.archive(at), "gz"), packed.finish().unwrap()).unwrap();
        fs::remove_file(bed.archive(at)).unwrap();
    };
    (0..3).for_each(pack);
    fs::remove_file(bed.rotated(0)).unwrap();
    flip(&bed.rotated(1), &[512]);
    let packed: Vec<PathBuf> = (0..3).map(|at| with_suffix(&bed.archive(at), "gz")).collect();
    let whole = fs::read(&packed[2]).unwrap();
    fs::write(&packed[2], &whole[..whole.len() / 2]).unwrap();
    let line = bed.archive_line(2);
    for (line, packed) in bed.archives.iter_mut().zip(&packed) {
        line.archive = packed.file_name().map(OsString::from);
    }
    let gone = "gone at the source, equal to the manifest";
    let changed = "differs at 512-513, equal to the manifest";
    let (code, told) = verify(&bed.mirror);
    assert_eq!(code, Some(1));
    assert_eq!(told[..3], bed.told("equal", [gone, changed, ""])[..3]);
    let cannot = format!("cannot verify: cannot unpack {}: ", packed[2].display());
    assert!(told[3].starts_with(&(line + &cannot)), "{told:?}");
    fs::write(&packed[2], whole).unwrap();
    flip(&bed.rotated(1), &[512]);
    bed.assert_told(0, &bed.told("equal", [gone, "equal", "equal"]));
}

#[test]
fn a_part_of_a_generation_is_proved_as_that_part() {
    let mut bed = Bed::new();
    // A local rotation cut the first generation in two.
    let (whole, name) = (bed.archives[0].clone(), bed.name(0));
    let content = fs::read(bed.archive(0)).unwrap();
    let cut = content.len() / 3;
    let parts = [
        (0..cut, name.clone(), Ending::Reopened),
        (cut..content.len(), format!("{name}.part"), Ending::Complete),
    ];
    let parts = parts.map(|(range, name, ending)| {
        fs::write(bed.mirror.copy.with_file_name(&name), &content[range.clone()]).unwrap();
        let digest = Whole::of(&content[range.clone()]);
        let (from, to) = (range.start as u64, range.end as u64);
        Line { from, to, digest, archive: Some(name.into()), ending, ..whole.clone() }
    });
    bed.archives.splice(0..1, parts);
    bed.write_manifest();
    let told: Vec<String> = (0..4).map(|at| bed.archive_line(at) + "equal").collect();
    bed.assert_told(0, &[vec![bed.copy_line() + "equal"], told].concat());
}

#[test]
fn a_copy_that_was_begun_at_the_end_is_proved_from_there() {
    let old = lines("old", 1000);
    let mut mirror = Mirror::of(&old);
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "start=end");
    assert_eq!(once(&mirror, &[]), Some(0));
    let start = format!("127.0.0.1 {} copy {} ", mirror.log.display(), mirror.inode());
    let from = old.len();
    assert_eq!(verify(&mirror), (Some(0), vec![format!("{start}{from}-{from} equal")]));
    mirror.append(&lines("new", 1000));
    assert_eq!(once(&mirror, &[]), Some(0));
    let to = mirror.generations[0].len();
    assert_eq!(verify(&mirror), (Some(0), vec![format!("{start}{from}-{to} equal")]));
    flip(&mirror.copy, &[10]);
    let differs = format!("{start}{from}-{to} differs at {}-{}", from + 10, from + 11);
    assert_eq!(verify(&mirror), (Some(1), vec![differs]));
}

#[test]
fn a_copy_that_was_fetched_in_protocol_1_is_asked_for_by_its_number() {
    let mirror = Mirror::of(&[lines("line", 1000), vec![7], lines("line", 10)].concat());
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "protocol=1");
    assert_eq!(once(&mirror, &[]), Some(0));
    let (code, told) = verify(&mirror);
    assert_eq!(code, Some(1));
    assert!(told[0].ends_with(" cannot verify: it is asked for in protocol 1"), "{told:?}");
    mirror.configure(address, "");
    assert_eq!(held(&mirror).id, None);
    let at = lines("line", 1000).len();
    let (code, told) = verify(&mirror);
    assert_eq!(code, Some(1));
    assert!(told[0].ends_with(&format!(" differs at {at}-{}", at + 1)), "{told:?}");
}

#[test]
fn nothing_is_proved_where_nothing_was_fetched_or_nobody_answers() {
    let mirror = Mirror::of(b"content");
    let path = mirror.log.display().to_string();
    let nobody = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    mirror.configure(nobody, "");
    assert_eq!(verify(&mirror), (Some(1), vec![format!("127.0.0.1 {path} copy missing")]));
    fs::write(&mirror.copy, "content").unwrap();
    let (code, told) = verify(&mirror);
    assert_eq!(code, Some(1));
    let start = format!("127.0.0.1 {path} copy cannot verify: there is no pointer ");
    assert!(told[0].starts_with(&start), "{told:?}");
    fs::remove_file(&mirror.copy).unwrap();

    let original = OriginalResponder::start(&[&mirror.log]);
    mirror.configure(original.address, "");
    assert_eq!(once(&mirror, &[]), Some(0));
    let start = format!("127.0.0.1 {path} copy {} 0-7 cannot verify: ", mirror.inode());
    let why = "connection closed: a responder of protocol 1 can't prove what it has";
    assert_eq!(verify(&mirror), (Some(1), vec![format!("{start}{why}")]));
    mirror.configure(nobody, "");
    assert_eq!(verify(&mirror), (Some(1), vec![format!("{start}Connection refused")]));
}

#[test]
fn a_copy_that_does_not_fit_its_pointer_is_not_proved() {
    let mirror = Mirror::of(&lines("line", 100));
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror, &[]), Some(0));
    let start = format!("127.0.0.1 {} copy ", mirror.log.display());
    let copy = fs::read(&mirror.copy).unwrap();
    let len = copy.len();
    fs::File::options().write(true).open(&mirror.copy).unwrap().set_len(5).unwrap();
    let short = format!("{start}{} 0-{len} has 5 bytes", mirror.inode());
    assert_eq!(verify(&mirror), (Some(1), vec![short]));
    let other = with_suffix(&mirror.copy, "other");
    fs::write(&other, &copy).unwrap();
    fs::rename(&other, &mirror.copy).unwrap();
    let why = format!("{start}cannot verify: it is not the file that its pointer names");
    assert_eq!(verify(&mirror), (Some(1), vec![why]));
}

#[test]
fn the_receipt_is_everything_fetched_and_then_proved() {
    let mut bed = Bed::new();
    bed.mirror.append(&lines("more", 10));
    let (code, told) = verify_with(&bed.mirror, &["--once"]);
    assert_eq!((code, told), (Some(0), bed.told("equal", ALL_EQUAL)));
    // A source that could not be completed is none, whatever can be proved.
    bed.responder.take().unwrap().stop();
    let (code, told) = verify_with(&bed.mirror, &["--once"]);
    assert_eq!(code, Some(1));
    let verdicts: Vec<&String> =
        told.iter().filter(|line| line.ends_with("cannot verify: Connection refused")).collect();
    assert_eq!(verdicts.len(), 4, "{told:?}");
}

#[test]
fn the_receipt_is_not_given_while_a_generation_is_missing() {
    let mut mirror = Mirror::of(&lines("old", 1000).repeat(5000));
    let writer = fs::File::options().append(true).open(&mirror.log).unwrap();
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    let fetcher = mirror.fetch_logs_as(&["--once", "--verify"]);
    mirror.rotate_while_fetched(&fetcher, &lines("new", 100));
    let (code, told) = ended(fetcher);
    // The event, and then a line for each generation.
    assert_eq!((code, told.len()), (Some(0), 3), "{told:?}");
    assert!(told[0].contains(" rotated to "), "{told:?}");
    assert!(told[1..].iter().all(|line| line.ends_with(" equal")), "{told:?}");
    assert_eq!(mirror.kept(), mirror.generations);
    drop(writer);
}

/// The mirror of seven bytes, and a responder that says what a test wants to a question for them.
fn scripted() -> (Mirror, Scripted) {
    let mirror = Mirror::of(b"content");
    let (responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror, &[]), Some(0));
    responder.stop();
    let scripted = Scripted::new();
    mirror.configure(scripted.address(), "");
    (mirror, scripted)
}

fn same(from: u64) -> Vec<u8> {
    emit_answer(&Answer {
        inode: Inode::new(7),
        file: File::Same,
        id: Token::parse(b"x").unwrap(),
        boot: Token::parse(b"boot").unwrap(),
        from,
        size: 7,
        mtime_ns: 1,
        name: None,
        tail: None,
    })
}

#[test]
fn a_responder_may_take_its_time_as_long_as_it_lives() {
    let (mirror, responder) = scripted();
    let verifying = mirror.fetch_logs_as(&["--verify", "--idle-timeout", "1s"]);
    let busy = Refusal::new(Code::Busy, "too many digests");
    responder.asked().send(emit_refusal(&busy)).close();
    let mut asked = responder.asked();
    assert!(matches!(parse_ask(&asked.line), Ok(Ask::Digest(_))));
    for piece in
        [b"W\n".to_vec(), b"W\n".to_vec(), same(0), emit_heartbeat(7, 1), emit_heartbeat(7, 1)]
    {
        // Less than the reply-timeout and the idle-timeout, and all together more.
        common::holds_for(std::time::Duration::from_millis(500), "it waits", || true);
        assert!(!asked.gone());
        asked.send(piece);
    }
    asked.send(emit_sum(0..7, Whole::of(b"content")));
    let (code, told) = ended(verifying);
    assert!(code == Some(0) && told[0].ends_with(" 0-7 equal"), "{told:?}");
}

#[test]
fn whatever_else_a_responder_says_proves_nothing() {
    let refusal = emit_refusal(&Refusal::new(Code::NotServed, "not yours"));
    for (reply, why) in [
        (refusal, "refused: not-served not yours"),
        (b"O 7\n".to_vec(), "bad status line \"O 7\""),
        (same(1), "contradiction: from= is not the offset asked for"),
        (
            [same(0), b"D 7\ncontent".to_vec()].concat(),
            "contradiction: data where a digest was asked for",
        ),
        (
            [same(0), emit_sum(0..6, Whole::of(b"conten"))].concat(),
            "contradiction: the digest of another range",
        ),
        ([same(0), emit_heartbeat(7, 1)].concat(), "connection closed"),
        (b"W\n".to_vec(), "timeout"),
    ] {
        let (mirror, responder) = scripted();
        let verifying = mirror.fetch_logs_as(&["--verify"]);
        let mut asked = responder.asked();
        asked.send(reply);
        if why != "timeout" {
            asked.close();
        }
        let (code, told) = ended(verifying);
        assert_eq!((code, told.len()), (Some(1), 1));
        assert!(told[0].ends_with(&format!(" 0-7 cannot verify: {why}")), "{told:?}");
    }
}
