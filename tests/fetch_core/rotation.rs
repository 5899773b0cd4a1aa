//! What is done to a copy, and where that may have stopped.

use super::*;

#[test]
fn a_rotation_makes_an_archive_and_an_empty_copy() {
    let shelf = Shelf::with("content", 3);
    let mut standing = shelf.recover();
    standing.place.trust = Trust::Whole;
    let next = shelf.rotate(&standing, 8).unwrap();
    assert_eq!((next.generation, next.place), (Some(generation(8)), Place::default()));
    assert_eq!(next.events, [Event::Rotated { to: Inode::new(8) }]);
    assert_eq!(shelf.names(), ["log", "log.20261120132249"]);
    assert_eq!(shelf.read("log.20261120132249"), "content");
    let lines = shelf.manifest();
    assert_eq!(lines, [line_of(7, "log.20261120132249", b"content")]);
    assert_eq!((shelf.pointed().generation, shelf.pointed().durable), (generation(8), 0));
}

#[test]
fn rotations_in_one_second_never_replace_an_archive() {
    let shelf = Shelf::with("7", 1);
    let mut standing = shelf.recover();
    for next in 8..20 {
        standing = shelf.rotate(&standing, next).unwrap();
        let copy = standing.copy.as_ref().unwrap();
        let text = next.to_string();
        take(&shelf.store.fs, &copy.file, &mut standing.place, text.as_bytes());
    }
    assert_eq!(shelf.read("log.20261120132249"), "7");
    for number in 1..12 {
        assert_eq!(
            shelf.read(&format!("{}.{number}", "log.20261120132249")),
            (number + 7).to_string()
        );
    }
    assert_eq!(shelf.names().len(), 13);
    let inodes: Vec<u64> = shelf.manifest().iter().map(|line| line.inode.number()).collect();
    assert_eq!(inodes, (7..19).collect::<Vec<_>>());
}

/// What the manifest says of an archive of which everything is there.
pub(super) fn line_of(number: u64, archive: &str, content: &[u8]) -> Line {
    Line {
        time: stamp().time,
        inode: Inode::new(number),
        from: 0,
        to: content.len() as u64,
        digest: Whole::of(content),
        archive: Some(archive.into()),
        ending: Ending::Complete,
        id: None,
        seen_ns: None,
        lost: None,
        late: None,
    }
}

/// Between R2 and R6 of the rotation of a copy with this content.
fn rotating(content: &[u8]) -> State {
    let ended =
        Ended { time: stamp().time, outcome: Outcome::COMPLETE, digest: Whole::of(content) };
    State::Rotating { suffix: STAMP.to_owned(), next: generation(8), ended: Box::new(ended) }
}

/// Every state of the directory that a crash between two steps of a rotation leaves behind.
#[test]
fn a_rotation_is_finished_from_wherever_it_stopped() {
    type Step = fn(&Shelf);
    let renamed: Step = |shelf| {
        fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
    };
    let written = |len: usize| {
        move |shelf: &Shelf| {
            let line = emit_line(&line_of(7, "log.20261120132249", b"content"));
            let part = &line[..len.min(line.len())];
            fs::write(manifest_path(&shelf.store.pointer), part).unwrap();
        }
    };
    type Boxed = Box<dyn Fn(&Shelf)>;
    let mut steps: Vec<(&str, Boxed)> = Vec::new();
    for len in [0, 1, 100, usize::MAX] {
        steps.push((
            "the manifest written to, in part or all",
            Box::new(move |shelf| {
                renamed(shelf);
                written(len)(shelf);
            }),
        ));
        steps.push((
            "the manifest written to, and a new copy made",
            Box::new(move |shelf| {
                renamed(shelf);
                written(len)(shelf);
                fs::write(shelf.path("log"), "").unwrap();
            }),
        ));
    }
    let by_name: [(&str, Step); 7] = [
        ("after the pointer", |_| {}),
        ("linked, not yet unlinked", |shelf| {
            fs::hard_link(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
        }),
        ("renamed", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
        }),
        ("renamed, a new copy made", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
            fs::write(shelf.path("log"), "").unwrap();
        }),
        ("a new pointer prepared", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
            fs::write(shelf.path("log"), "").unwrap();
            fs::write(scratch_path(&shelf.store.pointer), "half").unwrap();
        }),
        ("renamed, and once more by somebody", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.old")).unwrap();
        }),
        ("somebody took the archive's name", |shelf| {
            fs::write(shelf.path("log.20261120132249"), "foreign").unwrap();
        }),
    ];
    for (what, step) in by_name {
        steps.push((what, Box::new(step)));
    }
    for (what, step) in &steps {
        for times in 1..=2 {
            let shelf = Shelf::with("content", 7);
            let state = rotating(b"content");
            shelf.point(&Pointer { state, ..shelf.pointer(7) });
            step(&shelf);
            let foreign = shelf.path("log.20261120132249").exists()
                && shelf.read("log.20261120132249") == "foreign";
            let mut standing = shelf.recover();
            for _ in 1..times {
                standing = shelf.recover();
            }
            assert_eq!(standing.generation, Some(generation(8)), "{what}");
            assert_eq!((standing.place.size, standing.place.trust), (0, Trust::Whole), "{what}");
            let archive = match *what {
                _ if foreign => "log.20261120132249.1",
                "renamed, and once more by somebody" => "log.old",
                _ => "log.20261120132249",
            };
            assert_eq!(shelf.read(archive), "content", "{what}");
            assert_eq!(shelf.manifest(), [line_of(7, archive, b"content")], "{what}");
            assert_eq!(shelf.names().len(), if foreign { 3 } else { 2 }, "{what}");
            assert!(!scratch_path(&shelf.store.pointer).exists(), "{what}");
        }
    }
}

#[test]
fn a_copy_that_somebody_else_wrote_to_is_not_rotated() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.recover();
    fs::write(&shelf.store.copy, "content and more").unwrap();
    assert!(matches!(shelf.rotate(&standing, 8), Err(StoreFault::Changed(_))));
    assert_eq!(shelf.names(), ["log"]);
}

#[test]
fn a_cut_keeps_what_did_arrive_under_another_name() {
    let shelf = Shelf::with("content", 3);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let cut = Cut { at: 3, keep: true };
    let after = shelf.store.cut(copy, generation(7), &standing.place, cut).unwrap();
    assert_eq!((after.place.size, after.place.at, after.place.trust), (3, 3, Trust::Whole));
    assert_eq!(shelf.read("log"), "con");
    assert_eq!(shelf.read("log.unverified.3-7"), "tent");
}

#[test]
fn a_checkpoint_says_how_much_is_durable_and_notices_a_copy_cut_short() {
    let shelf = Shelf::with("content", 3);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let place = Place { at: 5, ..standing.place };
    assert_eq!(shelf.store.checkpoint(copy, generation(7), &place).unwrap(), 5);
    assert_eq!(shelf.pointed().durable, 5);
    fs::write(&shelf.store.copy, "con").unwrap();
    let changed = shelf.store.checkpoint(copy, generation(7), &place);
    assert!(matches!(changed, Err(StoreFault::Changed(_))));
}

#[test]
fn a_reopened_copy_begins_where_the_renamed_one_ends() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let place = &standing.place;
    let reopen = || shelf.store.reopen(copy, generation(7), place, &stamp()).unwrap();
    assert!(reopen().is_none());
    fs::rename(shelf.path("log"), shelf.path("elsewhere")).unwrap();
    let after = reopen().unwrap();
    assert_eq!((after.place.base, after.place.size), (7, 0));
    assert_eq!((shelf.pointed().base, shelf.pointed().durable), (7, 0));
    assert_eq!(shelf.read("elsewhere"), "content");
    let reopened = Line { ending: Ending::Reopened, archive: None, ..line_of(7, "", b"content") };
    assert_eq!(shelf.manifest(), [reopened]);
}

#[test]
fn a_copy_that_was_renamed_has_its_line_whoever_noticed_it_and_however_often() {
    let reopened = Line { ending: Ending::Reopened, ..line_of(7, "log-1", b"content") };
    for noticed_before in [false, true] {
        let shelf = Shelf::with("content", 7);
        let standing = shelf.recover();
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        let pointer = fs::read(&shelf.store.pointer).unwrap();
        if noticed_before {
            let copy = standing.copy.as_ref().unwrap();
            shelf.store.reopen(copy, generation(7), &standing.place, &stamp()).unwrap();
            // A kill came between the line and the pointer.
            fs::write(&shelf.store.pointer, pointer).unwrap();
            fs::remove_file(shelf.path("log")).unwrap();
        }
        let standing = shelf.recover();
        assert_eq!((standing.place.base, standing.place.size), (7, 0));
        assert_eq!(shelf.manifest(), std::slice::from_ref(&reopened));
        let mut lines = 0;
        let path = manifest_path(&shelf.store.pointer);
        read_manifest(&shelf.store.fs, &path, |_, _| lines += 1).unwrap();
        assert_eq!(lines, 1);
    }
}
