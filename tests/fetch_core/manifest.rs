//! Lines of the manifest, and late bytes.

use super::rotation::line_of;
use super::*;

/// Late bytes for an archive, interrupted after each step: what the manifest says is what counts.
#[test]
fn late_bytes_are_recorded_once_wherever_it_stopped_before() {
    let late = |place: &mut Place, shelf: &Shelf, archive: &OpenCopy<DiskFs>| {
        assert!(matches!(take(&shelf.store.fs, &archive.file, place, b" late"), Took::All));
    };
    for stopped in ["never", "after a part", "after a part, torn", "before the line", "in the line"]
    {
        let shelf = Shelf::with("content", 7);
        let standing = shelf.rotate(&shelf.recover(), 8).unwrap();
        let line = *standing.ended.unwrap();
        assert_eq!(shelf.recover().ended.as_deref(), Some(&line));
        let path = shelf.path("log.20261120132249");
        let append = |bytes: &[u8]| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        match stopped {
            "after a part" => append(b" l"),
            "after a part, torn" => append(b" l\0\0\0\0\0\0"),
            "before the line" | "in the line" => append(b" late"),
            _ => {}
        }
        if stopped == "in the line" {
            let manifest = manifest_path(&shelf.store.pointer);
            let mut bytes = fs::read(&manifest).unwrap();
            bytes.extend(&emit_line(&line)[..100]);
            fs::write(&manifest, bytes).unwrap();
        }
        let archive = shelf.store.open_archive(&line).unwrap();
        let mut place = shelf.store.verify_archive(&archive, &line).unwrap().unwrap();
        assert_eq!((place.durable, place.at), (7, 7));
        if stopped == "after a part, torn" {
            let took = take(&shelf.store.fs, &archive.file, &mut place, b" late");
            assert!(matches!(took, Took::Differs));
        } else {
            late(&mut place, &shelf, &archive);
        }
        let record = |line: &Line, place: &Place| {
            shelf.store.record_late(&archive, line, place, &stamp()).unwrap().unwrap()
        };
        let mut grown = record(&line, &place).unwrap();
        if stopped == "after a part, torn" {
            assert_eq!((grown.to, grown.late), (9, Some(2)));
            assert_eq!(shelf.read("log.20261120132249"), "content l");
            let mut place = shelf.store.verify_archive(&archive, &grown).unwrap().unwrap();
            assert!(matches!(take(&shelf.store.fs, &archive.file, &mut place, b"ate"), Took::All));
            grown = record(&grown, &place).unwrap();
        }
        assert_eq!(shelf.read("log.20261120132249"), "content late", "{stopped}");
        assert_eq!(shelf.manifest(), std::slice::from_ref(&grown), "{stopped}");
        assert_eq!(shelf.recover().ended.as_deref(), Some(&grown), "{stopped}");
    }
}

#[test]
fn a_line_that_is_there_though_it_failed_is_found_before_an_archive_is_cut() {
    let shelf = Shelf::with("content", 7);
    let line = *shelf.rotate(&shelf.recover(), 8).unwrap().ended.unwrap();
    assert!(shelf.store.later_line(&line).unwrap().is_none());
    let archive = shelf.store.open_archive(&line).unwrap();
    let mut place = shelf.store.verify_archive(&archive, &line).unwrap().unwrap();
    assert!(matches!(take(&shelf.store.fs, &archive.file, &mut place, b" late"), Took::All));
    let grown = shelf.store.record_late(&archive, &line, &place, &stamp()).unwrap().unwrap();
    assert_eq!(shelf.store.later_line(&line).unwrap(), grown);
    assert_eq!(shelf.manifest(), [grown.clone().unwrap()]);
    assert!(shelf.store.later_line(&grown.unwrap()).unwrap().is_none());
}

#[test]
fn an_archive_that_is_gone_or_changed_gets_no_late_bytes() {
    let shelf = Shelf::with("content", 7);
    let line = *shelf.rotate(&shelf.recover(), 8).unwrap().ended.unwrap();
    let archive = shelf.store.open_archive(&line).unwrap();
    let place = shelf.store.verify_archive(&archive, &line).unwrap().unwrap();
    let grown = Place { at: 8, size: 8, ..place };
    // Its length is not what was written.
    assert!(shelf.store.record_late(&archive, &line, &grown, &stamp()).unwrap().is_err());
    let path = shelf.path("log.20261120132249");
    fs::write(&path, "CONTENT").unwrap();
    assert!(shelf.store.verify_archive(&archive, &line).unwrap().is_none());
    fs::remove_file(&path).unwrap();
    assert!(shelf.store.record_late(&archive, &line, &place, &stamp()).unwrap().is_err());
    assert!(shelf.store.open_archive(&line).is_none());
    fs::write(&path, "short").unwrap();
    assert!(shelf.store.open_archive(&line).is_none());
    assert_eq!(shelf.read("log.20261120132249"), "short");
}

#[test]
fn a_line_is_appended_behind_the_good_ones_and_only_once() {
    let shelf = Shelf::new();
    let path = shelf.path("manifest");
    let (one, two) = (line_of(7, "a", b"a"), line_of(8, "b", b"b"));
    let good = [emit_line(&one), emit_line(&two)].concat();
    append_line(&shelf.store.fs, &path, &one, 0).unwrap();
    for torn in ["", "2026-11-20T12:2", "\0\0\0\0\n\0", &"\0".repeat(5000)] {
        let mut bytes = emit_line(&one);
        bytes.extend(torn.as_bytes());
        fs::write(&path, &bytes).unwrap();
        for _ in 0..2 {
            append_line(&shelf.store.fs, &path, &two, 0).unwrap();
            assert_eq!(fs::read(&path).unwrap(), good);
        }
    }
    // A kill and a new second later it is the same line.
    let later = Line { time: parse_time("2026-11-20T12:22:50Z").unwrap(), ..two };
    append_line(&shelf.store.fs, &path, &later, 0).unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
    let grown = Line { to: 2, late: Some(1), ..one };
    append_line(&shelf.store.fs, &path, &grown, 0).unwrap();
    let (lines, extent) = read_latest(&shelf.store.fs, &path, 0).unwrap().unwrap();
    assert_eq!(lines[0], grown);
    assert_eq!(extent, Extent { whole: extent.size, size: extent.size, ..Extent::default() });
}

#[test]
fn what_is_damaged_in_a_manifest_stays_and_new_lines_go_behind_it() {
    let shelf = Shelf::new();
    let path = shelf.path("manifest");
    let (one, two) = (emit_line(&line_of(7, "a", b"a")), line_of(8, "b", b"b"));
    let mut damaged = one.clone();
    damaged[30] ^= 1;
    let cases: [(&[u8], &[u8], u64); 5] = [
        (&damaged, b"", 0),
        (b"a note of somebody\n", b"", 0),
        (b"a note of somebody", b"\n", 0),
        (&one[..one.len() - 1], b"\n", one.len() as u64 - 1),
        (&damaged[..50], b"\n", 40),
    ];
    for (there, between, had) in cases {
        for before in [&b""[..], &one] {
            let there = [before, there].concat();
            fs::write(&path, &there).unwrap();
            let had = if had > 0 { had + before.len() as u64 } else { 0 };
            let expected = [&there[..], between, &emit_line(&two)].concat();
            for _ in 0..2 {
                append_line(&shelf.store.fs, &path, &two, had).unwrap();
                let now = fs::read(&path).unwrap();
                assert_eq!(now.escape_ascii().to_string(), expected.escape_ascii().to_string());
            }
        }
    }
}

#[test]
fn a_manifest_that_is_damaged_or_shorter_than_it_was_is_told_at_the_start_and_at_rotations() {
    for (change, told) in [
        ("missing", " bytes, and not "),
        ("cut", " bytes, and not "),
        ("damaged", "log.ptr.manifest is damaged: lines that can't be read: 1"),
        ("nothing", ""),
    ] {
        let shelf = Shelf::with("content", 7);
        shelf.rotate(&shelf.recover(), 8).unwrap();
        let manifest = manifest_path(&shelf.store.pointer);
        let mut bytes = fs::read(&manifest).unwrap();
        assert_eq!(shelf.pointed().manifest, bytes.len() as u64);
        match change {
            "missing" => fs::remove_file(&manifest).unwrap(),
            "cut" => fs::write(&manifest, &bytes[..100]).unwrap(),
            "damaged" => {
                bytes[100] ^= 1;
                fs::write(&manifest, &bytes).unwrap();
            }
            _ => {}
        }
        let is_told = |standing: &Standing<DiskFs>| {
            let events: Vec<String> = standing.events.iter().map(Event::to_string).collect();
            let found = events.iter().find(|event| event.contains("manifest "));
            found.map_or(told.is_empty(), |event| event.contains(told) && !told.is_empty())
        };
        // As another process would.
        let (copy, pointer) = (shelf.store.copy.clone(), shelf.store.pointer.clone());
        let store = Store::new(DiskFs::default(), copy, pointer, BOOT.into());
        let shelf = Shelf { dir: shelf.dir, store };
        let mut standing = shelf.recover();
        assert!(is_told(&standing), "{change}");
        for next in 9..11 {
            standing = shelf.rotate(&standing, next).unwrap();
            assert!(is_told(&standing), "{change}");
        }
        let short = fs::metadata(&manifest).unwrap().len() < shelf.pointed().manifest;
        assert_eq!(short, matches!(change, "missing" | "cut"));
    }
}

#[test]
fn a_name_that_the_manifest_has_is_not_given_again() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.rotate(&shelf.recover(), 8).unwrap();
    fs::rename(shelf.path("log.20261120132249"), shelf.path("moved")).unwrap();
    shelf.rotate(&standing, 9).unwrap();
    assert_eq!(shelf.names(), ["log", "log.20261120132249.1", "moved"]);
}
