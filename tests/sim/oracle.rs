//! What must be true of the disk, whatever happened.
//!
//! The copy and its archives, in the order of their creation, are *pieces* of the generations: see
//! [`crate::align`].
//!
//! The manifest has one line that counts for every archive, and its digest and its length are those of
//! the archive; but not yet for one whose rotation is not over. All of its lines are good, but for a
//! torn end that no power loss can have left in front of a line.
//!
//! At any time all archives have to be so, and of the copy what the pointer calls durable. The rest
//! of the copy is open after a power loss or a failed sync, until it was compared.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fetchlogs::fetch::manifest::{Ending, Line, manifest_path, parse_line};
use fetchlogs::fetch::pointer::{Held, Pointer, State, parse_pointer, scratch_path};

use fetchlogs::pos::FileId;
use fetchlogs::proto::digest::Whole;

use crate::align::{Loss, Truth};
use crate::disk::{Node, NodeNo};
use crate::fs::{Names, Shared};
use crate::world::World;

/// What this run allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// fetchlogs 1.1 skips generations and late lines without a word.
    pub silent_gaps: bool,
    /// A generation of which nothing had come may be replaced by another under its number: protocol 1
    /// has nothing to tell the two apart by.
    pub silent_when_empty: bool,
    /// Somebody renames copies.
    pub continued: bool,
    /// Protocol 2 is spoken to one of ours: what some file still has is not left out, and what none has is
    /// not left out in silence.
    pub exact: bool,
    /// Archives grow: what is behind the end that their line says is never believed.
    pub late: bool,
    /// The last one that is whole gets all that came late, since nothing is taken away at its source.
    pub late_whole: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// A life has ended, somehow.
    LifeEnded,
    /// The rest of the copy is open.
    Doubtful,
    /// All is in step.
    InStep,
}

pub struct Piece<'a> {
    pub path: &'a Path,
    node: &'a Node,
    pub bytes: &'a [u8],
    is_copy: bool,
    /// What the manifest says of it.
    pub line: Option<Line>,
}

pub fn judge(
    shared: &Shared,
    names: &Names,
    world: &World,
    lost: &[Loss],
    rules: Rules,
    moment: Moment,
) -> Result<(), String> {
    if let Some((path, _)) =
        shared.foreign_names.iter().find(|(path, node)| shared.disk.names.get(*path) != Some(node))
    {
        return Err(format!("{} was somebody's and is no more", Path::new(path).display()));
    }
    let pointer = read_pointer(shared, names)?;
    let mut pieces = pieces(shared, names);
    if pointer.is_none() && pieces.iter().any(|piece| !piece.bytes.is_empty()) {
        return Err("there are bytes and no pointer".to_owned());
    }
    if let Some(pointer) = &pointer {
        check_pointer(shared, names, pointer, rules)?;
        for piece in pieces.iter_mut().filter(|_| moment == Moment::Doubtful) {
            // Whatever its name is by now: somebody may have renamed it.
            let known = match piece.node.id == pointer.copy {
                true => pointer.durable as usize,
                _ if piece.is_copy => 0,
                _ => piece.bytes.len(),
            };
            piece.bytes = piece.bytes.get(..known).unwrap_or(piece.bytes);
        }
    }
    check_manifest(shared, names, &mut pieces, pointer.as_ref(), rules)?;
    let truth = Truth { world, lost, rules };
    truth.check_losses()?;
    let reached = truth.align(&pieces)?;
    if moment == Moment::InStep && rules.late_whole {
        check_late(shared, names, &pieces, world)?;
    }
    if moment == Moment::InStep && !reached.iter().flatten().any(|&at| truth.is_all(at)) {
        let newest = reached.iter().flatten().max();
        return Err(format!("not in step: {newest:?} of {}", world.generations.len() - 1));
    }
    Ok(())
}

/// The copy and its archives have all that there was at `at`: so much of a generation, known by its serial
/// number, and all before it.
pub fn judge_has(
    shared: &Shared,
    names: &Names,
    world: &World,
    lost: &[Loss],
    rules: Rules,
    (serial, length): (usize, usize),
) -> Result<(), String> {
    let number = world.generations.iter().position(|one| one.serial == serial);
    let at = (number.unwrap_or_default(), length);
    let mut pieces = pieces(shared, names);
    check_manifest(shared, names, &mut pieces, read_pointer(shared, names)?.as_ref(), rules)?;
    let reached = Truth { world, lost, rules }.align(&pieces)?;
    // Where nothing came behind it, an empty generation is as good as the one before. And where a power loss has
    // cut a file since to what is had, there is no more.
    let has = |&had: &(usize, usize)| {
        let (number, length) = had;
        let one = &world.generations[number];
        let cut = one.ends.contains(&length) && length >= world.to_be_had(number);
        had >= at
            || (cut || length >= one.due())
                && (number + 1..=at.0).all(|later| world.generations[later].bytes.is_empty())
    };
    if reached.iter().flatten().any(has) || at.0 == 0 && at.1 == 0 {
        return Ok(());
    }
    Err(format!("{:?} of {at:?}", reached.iter().flatten().max()))
}

/// What the responder was told of is in the pointer, whatever ended the life; unless the copy is by
/// now another.
pub fn judge_acknowledged(
    shared: &Shared,
    names: &Names,
    acknowledged: Option<(FileId, u64)>,
) -> Result<(), String> {
    match (read_pointer(shared, names)?, acknowledged) {
        (Some(pointer), Some((copy, position)))
            if pointer.copy == copy && pointer.base + pointer.durable < position =>
        {
            Err(format!("{position} was acknowledged, and the pointer is {pointer:?}"))
        }
        _ => Ok(()),
    }
}

fn read_pointer(shared: &Shared, names: &Names) -> Result<Option<Pointer>, String> {
    let Some(node) = shared.disk.at(&names.pointer) else { return Ok(None) };
    match parse_pointer(node.bytes()) {
        Ok(Held::Pointer(pointer)) => Ok(Some(*pointer)),
        other => Err(format!("the pointer holds {other:?}")),
    }
}

fn check_pointer(
    shared: &Shared,
    names: &Names,
    pointer: &Pointer,
    rules: Rules,
) -> Result<(), String> {
    let named = shared.disk.names.iter().find(|(path, number)| {
        shared.disk.nodes[number].id == pointer.copy && **path != scratch_path(&names.pointer)
    });
    let Some((path, number)) = named else {
        return Err(format!("no file is the copy of the pointer {pointer:?}"));
    };
    let size = shared.disk.nodes[number].bytes().len() as u64;
    if size < pointer.durable {
        return Err(format!("{} has {size} bytes of {}", path.display(), pointer.durable));
    }
    if pointer.state == State::Adopting && !rules.continued {
        return Err("a copy of ours is adopted".to_owned());
    }
    Ok(())
}

/// The last archive that is whole has all that was ever written to its generation.
fn check_late(
    shared: &Shared,
    names: &Names,
    pieces: &[Piece<'_>],
    world: &World,
) -> Result<(), String> {
    let Some(node) = shared.disk.at(&manifest_path(&names.pointer)) else { return Ok(()) };
    let lines = node.bytes().split_inclusive(|&b| b == b'\n').filter_map(parse_line);
    let complete = |line: &Line| line.ending == Ending::Complete;
    let last = lines.filter(complete).filter_map(|line| line.archive).next_back();
    let is_last = |piece: &&Piece<'_>| piece.path.file_name() == last.as_deref();
    let Some(piece) = pieces.iter().find(is_last) else { return Ok(()) };
    match world.generations.iter().any(|one| one.bytes.ends_with(piece.bytes)) {
        true => Ok(()),
        false => Err(format!("{} lacks what came late", piece.path.display())),
    }
}

fn check_manifest(
    shared: &Shared,
    names: &Names,
    pieces: &mut [Piece<'_>],
    pointer: Option<&Pointer>,
    rules: Rules,
) -> Result<(), String> {
    let node = shared.disk.at(&manifest_path(&names.pointer));
    let mut counted: BTreeMap<OsString, Line> = BTreeMap::new();
    let mut bad = 0;
    for text in node.map_or(&[][..], |node| node.bytes()).split_inclusive(|&b| b == b'\n') {
        match parse_line(text) {
            Some(_) if bad > 0 => return Err("the manifest has a line behind a bad one".to_owned()),
            Some(line) => {
                let Some(name) = line.archive.clone() else { continue };
                let late = line.late.is_some() && rules.late;
                // A copy that somebody renamed stays the copy until the pointer names a new one, and may grow
                // and end by then in any way.
                let is_copy = |before: &Line| before.ending == Ending::Reopened;
                if counted.insert(name, line).is_some_and(|before| !late && !is_copy(&before)) {
                    return Err("an archive has two lines".to_owned());
                }
            }
            None => bad += 1,
        }
    }
    for piece in pieces.iter_mut().filter(|piece| !piece.is_copy) {
        if pointer.is_some_and(|pointer| pointer.copy == piece.node.id) {
            continue;
        }
        let name = piece.path.file_name().unwrap_or_default();
        // An honest exception: a copy that somebody renamed before it was anything's.
        if piece.bytes.is_empty() && name.to_string_lossy().contains("moved") {
            continue;
        }
        let Some(line) = counted.remove(name) else {
            return Err(format!("no line for {}", piece.path.display()));
        };
        let len = (line.to - line.from) as usize;
        let ahead = rules.late && piece.bytes.len() > len;
        piece.bytes = if ahead { &piece.bytes[..len] } else { piece.bytes };
        let digest = if ahead { Whole::of(piece.bytes) } else { piece.node.whole() };
        if len != piece.bytes.len() || line.digest != digest {
            return Err(format!("{} is not what its line says: {line:?}", piece.path.display()));
        }
        piece.line = Some(line);
    }
    Ok(())
}

/// The archives and the copy, in order of creation, and so of their names.
fn pieces<'a>(shared: &'a Shared, names: &Names) -> Vec<Piece<'a>> {
    let pointer = &names.pointer;
    let aside: [PathBuf; 3] = [pointer.clone(), scratch_path(pointer), manifest_path(pointer)];
    let copy = names.copy.as_os_str().as_bytes();
    let is_piece = |path: &OsStr| {
        path.as_bytes().starts_with(copy)
            && memchr::memmem::find(path.as_bytes(), b"unverified").is_none()
            && aside.iter().all(|aside| aside.as_os_str() != path)
    };
    let mut files: Vec<(NodeNo, &OsStr)> = shared
        .disk
        .names
        .iter()
        .filter(|(path, number)| is_piece(path) && !shared.foreign.contains(number))
        .map(|(path, &number)| (number, path.as_os_str()))
        .collect();
    files.sort_unstable();
    files
        .into_iter()
        .map(|(number, path)| {
            let node = &shared.disk.nodes[&number];
            let is_copy = path == names.copy.as_os_str();
            Piece { path: Path::new(path), node, bytes: node.bytes(), is_copy, line: None }
        })
        .collect()
}

/// Bytes that have a place in a generation.
pub fn bytes_judged(shared: &Shared, names: &Names) -> u64 {
    pieces(shared, names).iter().map(|piece| piece.bytes.len() as u64).sum()
}
