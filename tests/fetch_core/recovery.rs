//! What is found on the disk at a start.

use super::*;

#[test]
fn nothing_there_is_a_first_contact_and_makes_nothing() {
    let shelf = Shelf::new();
    let standing = shelf.recover();
    assert!(standing.copy.is_none() && standing.generation.is_none());
    assert!(standing.events.is_empty() && shelf.names().is_empty());
}

#[test]
fn a_pointer_that_can_not_be_used_is_told_and_the_copy_compared() {
    for (bytes, why) in [("", "it is empty"), ("junk", "it holds no inode: \"junk\"")] {
        let shelf = Shelf::with("content", 7);
        fs::write(&shelf.store.pointer, bytes).unwrap();
        let standing = shelf.recover();
        assert_eq!((standing.generation, standing.place.trust), (None, Trust::Nothing));
        let (path, why) = (shelf.store.pointer.clone(), why.to_owned());
        assert_eq!(standing.events, [Event::PointerUnusable { path, why }]);
        assert_eq!(shelf.read("log"), "content");
    }
}

#[test]
fn a_pointer_of_the_original_is_believed_with_the_copy_as_it_is() {
    let shelf = Shelf::with("content", 7);
    fs::write(&shelf.store.pointer, "7\n").unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.generation, standing.place.size), (Some(generation(7)), 7));
    assert_eq!(standing.place.trust, Trust::Whole);
    assert_eq!(shelf.pointed().durable, 7);
}

#[test]
fn a_checkpoint_does_not_make_what_a_power_loss_left_behind_it_believed() {
    let shelf = Shelf::with("one two", 3);
    let copy = shelf.recover().copy.unwrap();
    let (torn, doubtful) = [Rest::Torn, Rest::Doubtful].map(|rest| Trust::Durable { rest }).into();
    let place = Place { at: 5, ..place(3, 7, torn) };
    shelf.store.checkpoint(&copy, generation(7), &place).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.durable, standing.place.trust), (5, doubtful));
}

/// Found by the simulation: a sync failed, and the process recovered and was ended before any pointer could be
/// written. The next one believed the rest of the copy, in which the cache had dropped bytes, and kept zeros as
/// what had arrived.
#[test]
fn after_a_failed_sync_a_later_process_does_not_believe_what_was_written_either() {
    let shelf = Shelf::with("one two", 3);
    shelf.store.recover_from_fault(&stamp()).unwrap();
    assert_eq!((shelf.pointed().durable, shelf.pointed().boot.as_str()), (3, BOOT_UNKNOWN));
    // What did arrive is kept apart, not thrown away.
    assert_eq!(shelf.recover().place.trust, Trust::Durable { rest: Rest::Doubtful });
}

#[test]
fn after_a_failed_sync_not_even_what_was_written_is_believed() {
    let shelf = Shelf::with("one two", 3);
    let standing = shelf.store.recover_from_fault(&stamp()).unwrap();
    assert_eq!(standing.place.trust, Trust::Durable { rest: Rest::Doubtful });
    let mut life = Life::at(Some(7), standing.place);
    life.ask();
    // What follows begins, and nothing of the old generation can be compared any more.
    let cut = Cut { at: 3, keep: true };
    // It was asked for from the beginning, and is said to have ended there.
    let shorter = Event::Shorter { inode: Inode::new(7), ended: 0, have: 3 };
    let outcome = Outcome { ending: Ending::Short, lost: Some(Gap { from: 3, to: None }) };
    let rotate = Job::Rotate { next: generation(8), cut: Some(cut), outcome };
    let outputs = life.status("O 8");
    assert_eq!(outputs, [Output::Tell(shorter), lost(7, 3), Output::Do(rotate)]);
}

/// Found by the simulation: a process was killed before anything was durable, and the log that it followed had
/// been copied and emptied. The next one asked for the first byte, by a time of change from before that, and was
/// given the copy: what had arrived became an archive, and was fetched once more behind what is older.
#[test]
fn where_nothing_is_durable_what_arrived_is_told_until_no_file_has_it() {
    let known = Generation { id: Token::parse(b"a"), ..generation(7) };
    let recovered = |rest| {
        let mut life = Life::with(TIMING);
        let place = place(0, 1000, Trust::Durable { rest });
        life.source.handle_standing(life.now, Some(known), place);
        life
    };
    let mut found = recovered(Rest::Arrived);
    assert_eq!(found.ask(), "/log 7 744\n");
    // Compared by the digest: what is before it is right.
    found.source.handle_answer(found.now, &answer(File::Same, b"a", 744, 1000));
    assert_eq!((found.source.place().at, found.source.place().right()), (744, 744));
    found.broken();
    assert_eq!(found.ask(), "/log 7 488\n");
    for follows in [File::Next, File::Lost(Why::Digest), File::Lost(Why::Gone)] {
        let mut life = recovered(Rest::Arrived);
        assert_eq!(life.ask(), "/log 7 744\n");
        life.source.handle_answer(life.now, &answer(follows, b"b", 0, 9));
        assert_eq!(life.outputs(), [Output::Close]);
        // Nothing is told as lost before it is asked for by what is durable.
        assert_eq!(life.ask(), "/log 7 0\n");
        life.source.handle_answer(life.now, &answer(follows, b"b", 0, 9));
        assert!(is_job(&life.outputs()));
    }
    // What may be anything says nothing.
    for rest in [Rest::Doubtful, Rest::Torn] {
        assert_eq!(recovered(rest).ask(), "/log 7 0\n");
    }
}

#[test]
fn how_much_of_a_copy_is_believed_depends_on_its_pointer() {
    let cases: [(u64, &str, Trust); 4] = [
        (7, BOOT, Trust::Whole),
        (7, "another", Trust::Whole),
        (3, BOOT, Trust::Durable { rest: Rest::Arrived }),
        (3, "another", Trust::Durable { rest: Rest::Torn }),
    ];
    for (durable, boot, trust) in cases {
        let shelf = Shelf::with("content", 0);
        shelf.point(&Pointer { boot: boot.to_owned(), ..shelf.pointer(durable) });
        let standing = shelf.recover();
        assert_eq!((standing.place.durable, standing.place.trust), (durable, trust));
        assert!(standing.events.is_empty());
    }
}

#[test]
fn a_copy_that_is_shorter_or_another_than_the_pointer_says_is_doubted() {
    let shelf = Shelf::with("content", 9);
    let standing = shelf.recover();
    assert_eq!(standing.place.trust, Trust::Nothing);
    assert_eq!(
        standing.events[0].to_string(),
        format!(
            "copy {} has 7 bytes, its pointer says 9: comparing it from its beginning",
            shelf.store.copy.display()
        )
    );
    let shelf = Shelf::with("content", 7);
    fs::write(shelf.path("new"), "foreign").unwrap();
    fs::rename(shelf.path("new"), shelf.path("log")).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.generation, standing.place.trust), (Some(generation(7)), Trust::Nothing));
    assert!(standing.events[0].to_string().contains("is not the file that its pointer names"));
    assert_eq!(shelf.read("log"), "foreign");
}

#[test]
fn a_copy_emptied_in_place_is_doubted_and_fetched_again() {
    let shelf = Shelf::with("content", 7);
    fs::write(&shelf.store.copy, "").unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.base, standing.place.size), (0, 0));
    assert!(matches!(standing.events[..], [Event::CopyDoubted { .. }]), "{:?}", standing.events);
}

#[test]
fn a_copy_that_is_missing_is_fetched_again_and_one_that_was_renamed_goes_on() {
    let shelf = Shelf::with("content", 7);
    fs::remove_file(&shelf.store.copy).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.base, standing.place.size), (0, 0));
    assert!(matches!(standing.events[..], [Event::CopyDoubted { .. }]));
    for made_new in [false, true] {
        let shelf = Shelf::with("content", 7);
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        if made_new {
            fs::write(shelf.path("log"), "").unwrap();
        }
        let standing = shelf.recover();
        assert_eq!((standing.place.base, standing.place.size), (7, 0));
        assert_eq!(standing.place.before, Sample::of(b"content"));
        assert_eq!(standing.events, [Event::CopyReopened { base: 7 }]);
        let Pointer { base, before, .. } = shelf.pointed();
        assert_eq!((base, before), (7, Sample::of(b"content")));
        assert_eq!(shelf.read("log-1"), "content");
    }
}

#[test]
fn the_end_of_a_renamed_copy_counts_as_far_as_the_source_has_it() {
    for (arrives, base) in [(&b"tent"[..], 7), (b"te..", 5), (b"....", 3)] {
        let shelf = Shelf::with("content", 3);
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        let standing = shelf.recover();
        let copy = standing.copy.unwrap();
        assert!(standing.renamed && standing.events.is_empty());
        let mut life = Life::at(Some(7), standing.place);
        life.source.handle_renamed();
        let compare = |life: &mut Life| {
            assert_eq!(life.ask(), "/log 7 0\n");
            life.status("O 7");
            life.data(3 - life.source.place().at);
            let took = take(&shelf.store.fs, &copy.file, life.source.place_mut(), arrives);
            let agreed = matches!(took, Took::All);
            life.source.handle_data(life.now, took, base - 3, false);
            life.source.handle_drained();
            (agreed, life.outputs())
        };
        let (agreed, mut outputs) = compare(&mut life);
        if !agreed {
            // What differs is synced first.
            assert_eq!(outputs, [Output::Close, Output::Do(Job::Checkpoint)]);
            life.source.handle_checkpointed(life.now, base);
            outputs = compare(&mut life).1;
        }
        assert!(outputs.contains(&Output::Do(Job::Reopen)), "{outputs:?}");
        assert_eq!(outputs.contains(&Output::Close), !agreed);
        let place = *life.source.place();
        let reopened = shelf.store.reopen(&copy, generation(7), &place, &stamp()).unwrap().unwrap();
        assert_eq!((reopened.place.base, reopened.place.size), (base, 0));
        assert_eq!(reopened.place.before, Sample::of(&b"content"[..base as usize]));
        // The file is somebody's.
        assert_eq!(shelf.read("log-1"), "content");
    }
}

/// Nothing can be compared with it any more once something else follows.
#[test]
fn the_end_of_a_renamed_copy_is_left_behind_if_its_generation_is_complete_without_it() {
    let durable = Trust::Durable { rest: Rest::Arrived };
    let mut life = Life::at(Some(7), place(1000, 1016, durable));
    life.source.handle_renamed();
    life.ask();
    life.status("O 7");
    life.data(256);
    life.closed();
    assert_eq!(life.ask(), "/log 7 1000\n");
    assert_eq!(life.status("O 8"), [Output::Close, Output::Do(Job::Reopen)]);
    assert_eq!(life.source.place().size, 1000);
}

#[test]
fn what_is_no_regular_file_is_never_written_to() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "precious").unwrap();
    for make in [(|path| fs::create_dir(path).unwrap()) as fn(&PathBuf), |path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()
    }] {
        for as_pointer in [false, true] {
            let shelf = Shelf::new();
            make(if as_pointer { &shelf.store.pointer } else { &shelf.store.copy });
            assert!(shelf.store.recover(&stamp()).is_err());
        }
    }
    for as_pointer in [false, true] {
        let shelf = Shelf::new();
        let path = if as_pointer { &shelf.store.pointer } else { &shelf.store.copy };
        std::os::unix::fs::symlink(outside.path(), path).unwrap();
        assert!(shelf.store.recover(&stamp()).is_err());
    }
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "precious");
}

#[test]
fn missing_directories_are_made_and_a_file_in_their_place_is_told() {
    let mut shelf = Shelf::new();
    shelf.store.copy = shelf.path("a/b/c/log");
    shelf.store.pointer = shelf.path("d/log.ptr");
    shelf.store.lock().unwrap();
    assert!(shelf.path("a/b/c").is_dir() && shelf.path("d").is_dir());
    fs::write(shelf.path("file"), "").unwrap();
    shelf.store.copy = shelf.path("file/below/log");
    let fault = shelf.store.lock().unwrap_err().to_string();
    assert!(fault.starts_with("cannot make directory ") && fault.ends_with("Not a directory"));
}

#[test]
fn one_copy_has_one_keeper_by_whatever_name_its_directory_goes() {
    let shelf = Shelf::new();
    fs::create_dir(shelf.path("real")).unwrap();
    std::os::unix::fs::symlink("real", shelf.path("link")).unwrap();
    let at = |dir: &str, fs: DiskFs| {
        let (copy, pointer) = (shelf.path(dir).join("log"), shelf.path(dir).join("ptr"));
        Store::new(fs, copy, pointer, BOOT.into())
    };
    let fs = DiskFs::default();
    let held = at("real", fs.clone()).lock().unwrap();
    for fs in [fs.clone(), DiskFs::default()] {
        let refused = at("link", fs).lock().unwrap_err();
        assert!(matches!(refused, StoreFault::Locked(_)), "{refused}");
    }
    drop(held);
    at("link", fs).lock().unwrap();
}
