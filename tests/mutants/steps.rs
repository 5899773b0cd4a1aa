//! The protective steps that are taken out, one at a time: where each stands in the code, what stands
//! there instead, and what has to notice.

/// Who has to notice that a step is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judge {
    /// The simulation, in one of the first worlds from this seed on.
    Worlds { from: u64 },
    /// The tests of this binary; those in `src` for `lib`.
    Tests(&'static str),
}

/// One step.
pub struct Step {
    /// What it does for us.
    pub name: &'static str,
    /// Below `src`.
    pub file: &'static str,
    /// The code: an expression or statements, once in the file.
    pub code: &'static str,
    /// What stands there instead.
    pub instead: &'static str,
    pub judge: Judge,
}

const fn step(
    name: &'static str,
    file: &'static str,
    code: &'static str,
    instead: &'static str,
) -> Step {
    Step { name, file, code, instead, judge: Judge::Worlds { from: 0 } }
}

impl Step {
    /// Only rare worlds notice it, this one among them.
    const fn from(self, seed: u64) -> Step {
        Step { judge: Judge::Worlds { from: seed }, ..self }
    }

    /// Not a matter of the simulation.
    const fn noticed_by(self, tests: &'static str) -> Step {
        Step { judge: Judge::Tests(tests), ..self }
    }
}

/// All of them.
pub const STEPS: &[Step] = &[
    // ---- what the fetcher makes durable, and in which order ----
    step(
        "a checkpoint syncs the copy",
        "fetch/checkpoint.rs",
        r#"self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        self.point(generation, &after(place), copy.id, State::Active)?;"#,
        "self.point(generation, &after(place), copy.id, State::Active)?;",
    ),
    step(
        "the copy is synced before the pointer tells of it",
        "fetch/checkpoint.rs",
        r#"self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        self.point(generation, &after(place), copy.id, State::Active)?;"#,
        r#"self.point(generation, &after(place), copy.id, State::Active)?; self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;"#,
    ),
    step(
        "a checkpoint tells no more than was compared",
        "fetch/checkpoint.rs",
        "Place { durable: place.right(), ..*place }",
        "Place { durable: place.size, ..*place }",
    ),
    step(
        "the new pointer is synced before it gets its name",
        "fetch/pointer.rs",
        "fs.sync_data(&scratch)",
        "Ok::<(), io::Error>(())",
    ),
    step(
        "the pointer is replaced as a whole",
        "fetch/pointer.rs",
        "write_scratch(fs, path, pointer)?",
        "remove_if_there(fs, path)?; write_scratch(fs, path, pointer)?",
    ),
    step(
        "the pointer's new name is synced",
        "fetch/pointer.rs",
        "fs.sync_dir(dir_of(path))",
        "Ok(())",
    ),
    step(
        "a group writes its copies out",
        "fetch/checkpoint.rs",
        "[write_out, sync, rename, sync_names]",
        "[sync, sync, rename, sync_names]",
    )
    .from(840),
    step(
        "a group is synced before its pointers get their names",
        "fetch/checkpoint.rs",
        "[write_out, sync, rename, sync_names]",
        "[write_out, rename, sync, sync_names]",
    ),
    // ---- a rotation of the copy ----
    step(
        "what nobody can compare any more is written again (R1)",
        "fetch/store/rotation.rs",
        r#"self.write_again(&copy.file, &self.copy, place.right(), place.size)?;
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;"#,
        r#"self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;"#,
    ),
    step(
        "the copy is synced (R1)",
        "fetch/store/rotation.rs",
        r#"self.write_again(&copy.file, &self.copy, place.right(), place.size)?;
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;"#,
        "self.write_again(&copy.file, &self.copy, place.right(), place.size)?;",
    ),
    step(
        "it is announced in the pointer (R2)",
        "fetch/store/rotation.rs",
        "self.point(generation, &durable, copy.id, state.clone())?;",
        "",
    ),
    step(
        "the archive's name is synced (R3b)",
        "fetch/store/rotation.rs",
        r#"self.fs.sync_dir(dir).doing("sync directory", dir)?;"#,
        "",
    )
    .from(3600),
    step(
        "the manifest gets a line",
        "fetch/store/rotation.rs",
        "self.append(&line)?",
        "Vec::new()",
    ),
    step(
        "the new copy's name is synced (R5)",
        "fetch/store.rs",
        r#"self.fs.sync_dir(dir).doing("sync directory", dir)?;"#,
        "",
    ),
    step(
        "one that was begun is finished first",
        "fetch/store/recovery.rs",
        "self.finish_rotation(pointer, &archive, *next, ended)",
        "let _ = (archive, next, ended); self.recover_active(pointer, rest, stamp)",
    ),
    // ---- a recovery ----
    step(
        "it syncs the names that it builds on",
        "fetch/store/recovery.rs",
        r#"self.fs.sync_dir(dir_of(path)).doing("sync directory", dir_of(path))?;"#,
        "",
    )
    .from(600),
    step(
        "a start of the machine is noticed",
        "fetch/store/recovery.rs",
        "*boot == *self.boot",
        "true",
    ),
    step(
        "what is behind the durable part is compared",
        "fetch/store/recovery.rs",
        "size == pointer.durable",
        "true",
    ),
    step(
        "the copy is the file that its pointer names",
        "fetch/store/recovery.rs",
        "copy.id != pointer.copy",
        "false",
    ),
    step(
        "the copy has all that its pointer says",
        "fetch/store/recovery.rs",
        "size < pointer.durable",
        "false",
    )
    .noticed_by("fetch_core"),
    step(
        "it follows a step that failed",
        "fetch/source.rs",
        r#"self.job = None;
        self.recover_after(now, fault);"#,
        "let _ = now; self.end_job(); self.outputs.push_back(Output::Fail(fault));",
    ),
    // ---- bytes that arrive ----
    step(
        "what was compared is written again",
        "fetch/copy.rs",
        "write_all_at(fs, file, &mine[..equal], place.at)?;",
        "",
    ),
    step(
        "a difference is noticed",
        "fetch/copy.rs",
        r#"if equal < there {
                    return Took::Differs;
                }"#,
        "place.at += (there - equal) as u64;",
    ),
    step(
        "they go to their place",
        "fetch/copy.rs",
        "fs.write_at(file, bytes, place.at)",
        "fs.write_at(file, bytes, place.durable)",
    ),
    // ---- what is asked for, and what an answer means ----
    step(
        "256 bytes are asked for again",
        "fetch/source/asking.rs",
        "self.with_overlap(self.place.size)",
        "self.place.size",
    ),
    step(
        "after a start what is behind the durable part is asked for",
        "fetch/source/asking.rs",
        "self.with_overlap(self.place.right())",
        "self.place.size",
    ),
    step(
        "another generation makes the copy an archive",
        "fetch/source/asking.rs",
        "self.rotate_complete(known, generation, from)",
        "{ self.generation = Some(Generation { inode: generation.inode, ..known }); self.follow(now); }",
    ),
    step(
        "a lost generation is told",
        "fetch/source/leaving.rs",
        r#"self.outputs.push_back(Output::Tell(event));
        Gap { from, to }"#,
        "Gap { from, to }",
    ),
    step(
        "an end short of the copy is not believed",
        "fetch/source/leaving.rs",
        "from < kept",
        "false",
    ),
    step(
        "bytes that were heard of and never came are told",
        "fetch/source/leaving.rs",
        "(known.heard > self.place.base + kept)",
        "false",
    )
    .noticed_by("fetch_core"),
    step(
        "bytes that the current file lost are told",
        "fetch/source/leaving.rs",
        "from < known.heard",
        "false",
    )
    .noticed_by("fetch_core"),
    step(
        "what was found and differs is made durable before it is judged",
        "fetch/source/leaving.rs",
        "!self.assured",
        "false",
    )
    .noticed_by("fetch_core"),
    step(
        "what was durable when a copy was found says whose its end is",
        "fetch/source/leaving.rs",
        "self.found_durable > 0",
        "self.place.durable > 0",
    )
    .noticed_by("fetch_core"),
    step(
        "what comes late to a file that is followed again is left to the source",
        "fetch/late/ended.rs",
        "self.again && !self.other",
        "false",
    ),
    step(
        "an end that is not known to be right is kept apart",
        "fetch/source/leaving.rs",
        "Some(Cut { at: self.place.right(), keep: true })",
        "None",
    ),
    // ---- late bytes ----
    step(
        "an archive is compared with its line",
        "fetch/store/late.rs",
        "size < len || self.digest(&archive.file, &path, len)? != line.digest",
        "size < len",
    )
    .noticed_by("manifest"),
    step(
        "an archive is synced before its line",
        "fetch/store/late.rs",
        r#"self.fs.sync_data(&archive.file).doing("sync", &path)?;"#,
        "",
    ),
    // ---- the responder ----
    step(
        "a file is read to its end before it has ended",
        "serve/tail.rs",
        "view.size > self.sent",
        "view.size > self.sent && !self.moved",
    ),
    step(
        "writers are waited for",
        "serve/tail.rs",
        "!is_over(writers, self.quiet_for(now), linger)",
        "let _ = (writers, linger); false",
    ),
    step(
        "a file that has become shorter has ended",
        "serve/tail.rs",
        "shrunk || !view.intact",
        "!view.intact",
    )
    .noticed_by("lib"),
    step(
        "what was sent last is looked at again",
        "serve/seam.rs",
        "before == self.bytes && ahead == self.ahead",
        "let _ = (before, ahead); true",
    )
    .noticed_by("lib"),
    step(
        "names count when they were the same twice",
        "serve/finder/candidates.rs",
        "agree(&before, &after)",
        "let _ = (&before, &after); true",
    ),
    step(
        "what follows is the next one",
        "serve/finder/content.rs",
        "candidates.iter().enumerate().skip(ended + 1)",
        "candidates.iter().enumerate().skip((ended + 1).max(candidates.len() - 1))",
    ),
    step(
        "what follows is the next one, in protocol 1",
        "serve/finder.rs",
        "candidates.iter().enumerate().skip(at + 1)",
        "candidates.iter().enumerate().skip((at + 1).max(candidates.len() - 1))",
    ),
    step(
        "a generation has the digests",
        "serve/finder/content/fits.rs",
        "!self.has(buffer, file, begin, &sample)?",
        "let _ = (begin, &sample, &buffer, file); false",
    ),
    step(
        "who tells no digest is known by the identity",
        "serve/finder/content/fits.rs",
        "id == told(&own)",
        "let _ = (id, own, &told); true",
    ),
    step(
        "a copy that was made before an emptying is found",
        "serve/finder/content.rs",
        "self.copied_before(candidates, at, &opened, wanted, buffer)?",
        "None::<Placed<L::File>>",
    )
    .noticed_by("lib"),
    step(
        "a plain copy is no generation",
        "serve/finder/copies.rs",
        "copy.size >= bytes_min",
        "false",
    )
    .noticed_by("regress"),
    step(
        "births are asked for what is older",
        "serve/order.rs",
        "!by_birth && self.modified_ns > other.modified_ns",
        "let _ = by_birth; self.modified_ns > other.modified_ns",
    ),
    step(
        "of a damaged file the rest is lost",
        "serve/finder/content.rs",
        "Some(File::Lost(Why::Gone))",
        "Some(File::Next)",
    )
    .noticed_by("lib"),
    // ---- the other rooms ----
    step("an end is where the data ended", "proto/frame.rs", "offset == self.offset", "true")
        .noticed_by("lib"),
    step(
        "two lines keep nothing in one place",
        "config/claims.rs",
        "!std::ptr::eq(owner, claim)",
        "false",
    )
    .noticed_by("config"),
    step(
        "an event for somebody gone is nobody else's",
        "evloop/slots.rs",
        "place.occupant.as_mut().filter(|_| place.generation == slot.generation)",
        "place.occupant.as_mut()",
    )
    .noticed_by("lib"),
    step(
        "no link is followed",
        "sys/linux/beneath.rs",
        "OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC",
        "OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC",
    )
    .noticed_by("lib"),
    step(
        "a fault that lasts is told at intervals",
        "status/repeats.rs",
        "trouble.knows(fault) && now < trouble.told + REPEAT_INTERVAL",
        "false",
    )
    .noticed_by("lib"),
    step(
        "a stale file is no verdict",
        "agent/verdict.rs",
        "distance(now, *modified) > stale",
        "false",
    )
    .noticed_by("lib"),
];
