//! The pointer file: how far one source is, and that it is so on disk.
//!
//! One line. The first word is the inode, so fetchlogs 1.1 reads ours; the second is the position in
//! the generation up to which the copy is durable; the rest are `key=value` fields, the last of them
//! a checksum of all before it:
//!
//! ```text
//! 1835021 40960 v=1 base=0 copy=262147.3917.1763644969000000000 boot=9f0c... state=active crc32=0a1b2c3d
//! ```
//!
//! Where `base` is not 0, `before=` is the digest of up to 64 KiB of the generation before it, as a request
//! tells it. `masked=` is how many bytes of the copy came in protocol 1, `manifest=` how many bytes the manifest has had. What a protocol 2 responder told of the generation stands in `id=` (its identity), `seen=` (when it
//! was changed last) and `heard=` (how many bytes it had). A pointer of fetchlogs 1.1 is the inode alone.

use std::io;
use std::path::{Path, PathBuf};

use super::manifest::{Ended, Ending, Gap, Outcome, emit_time, or_none, parse_time};
use crate::pos::{FileId, Generation, Inode, Offset, Token, parse_number, parse_offset};
use crate::proto::asked::Sample;
use crate::proto::digest::Whole;
use crate::proto::printable;
use crate::sys::fs::{Fs, dir_of, write_all_at};

/// What is known of a source when everything in memory is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// The generation that the copy holds.
    pub generation: Generation,
    /// Where in the generation the copy's first byte belongs: not 0 after a local rotation of the
    /// copy in the middle of a generation.
    pub base: Offset,
    /// The generation's bytes just before that, as far as they were known.
    pub before: Option<Sample>,
    /// Bytes at the front of the copy that came in protocol 1, if others follow.
    pub masked: Offset,
    /// Bytes at the front of the copy that are on disk and right.
    pub durable: Offset,
    /// Who the copy is.
    pub copy: FileId,
    /// How many bytes the manifest has had.
    pub manifest: u64,
    /// This machine's boot when the pointer was written, or [`BOOT_UNKNOWN`].
    pub boot: String,
    /// What was being done.
    pub state: State,
}

/// What was being done when the pointer was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The copy grows.
    Active,
    /// The copy was found without a pointer that fits, and is being compared with the source. Until
    /// that is done it may turn out to be something else, and must not be cut.
    Adopting,
    /// The copy is being renamed to its name and `.suffix`; `next` begins after that.
    Rotating {
        /// What the archive's name adds to the copy's.
        suffix: String,
        /// The generation after this one.
        next: Generation,
        /// What the manifest will say of the archive.
        ended: Box<Ended>,
    },
}

/// What a pointer file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    /// A pointer of ours.
    Pointer(Box<Pointer>),
    /// A pointer of fetchlogs 1.1: the inode alone.
    Original(Inode),
}

/// Longest pointer file in bytes; ours have 160 to 800.
pub const POINTER_BYTES_MAX: usize = 4096;

/// Stands for the boot in the pointer to a copy whose end may be anything, since a power loss or a
/// failed sync left it so and it is not compared yet. No boot is called that.
pub const BOOT_UNKNOWN: &str = "-";

const VERSION: &str = "1";

/// Writes the line.
pub fn emit_pointer(pointer: &Pointer) -> Vec<u8> {
    let mut line = format!(
        "{} {} v={VERSION} base={} copy={} boot={}",
        pointer.generation.inode,
        pointer.base + pointer.durable,
        pointer.base,
        pointer.copy,
        pointer.boot
    );
    if let Some(before) = pointer.before {
        line.push_str(&format!(" before={before}"));
    }
    if pointer.masked > 0 {
        line.push_str(&format!(" masked={}", pointer.masked));
    }
    if pointer.manifest > 0 {
        line.push_str(&format!(" manifest={}", pointer.manifest));
    }
    push_known(&mut line, "", &pointer.generation);
    match &pointer.state {
        State::Active => line.push_str(" state=active"),
        State::Adopting => line.push_str(" state=adopting"),
        State::Rotating { suffix, next, ended } => {
            line.push_str(&format!(" state=rotating suffix={suffix} next={}", next.inode));
            push_known(&mut line, "next-", next);
            push_ended(&mut line, ended);
        }
    }
    let checksum = crc32fast::hash(line.as_bytes());
    line.push_str(&format!(" crc32={checksum:08x}\n"));
    line.into_bytes()
}

/// What a protocol 2 responder told of a generation, each key after `prefix`.
fn push_known(line: &mut String, prefix: &str, generation: &Generation) {
    if let Some(id) = generation.id {
        line.push_str(&format!(" {prefix}id={id}"));
    }
    if let Some(seen_ns) = generation.seen_ns {
        line.push_str(&format!(" {prefix}seen={seen_ns}"));
    }
    if generation.heard > 0 {
        line.push_str(&format!(" {prefix}heard={}", generation.heard));
    }
}

fn push_ended(line: &mut String, ended: &Ended) {
    let Ended { time, outcome: Outcome { ending, lost }, digest } = ended;
    line.push_str(&format!(" time={} end={}", emit_time(*time), ending.as_str()));
    if let Some(gap) = lost {
        line.push_str(&format!(" lost={gap}"));
    }
    line.push_str(&format!(" blake3={digest}"));
}

/// Reads what a pointer file holds. The error says what is wrong with it, for the operator.
pub fn parse_pointer(bytes: &[u8]) -> Result<Held, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".to_owned());
    }
    let refuse = |why: &str| format!("{why}: \"{}\"", printable(bytes.trim_ascii()));
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not text"))?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if let [inode] = words[..] {
        let inode = Inode::parse(inode.as_bytes()).ok_or_else(|| refuse("it holds no inode"))?;
        return Ok(Held::Original(inode));
    }
    let damaged = || refuse("it is damaged");
    let (line, checksum) = text.rsplit_once(" crc32=").ok_or_else(damaged)?;
    if checksum != format!("{:08x}\n", crc32fast::hash(line.as_bytes())) {
        return Err(refuse("its checksum is wrong"));
    }
    parse_checked(line).ok_or_else(|| refuse("it was written by another version"))
}

/// Reads a line whose checksum is right, so that anything odd in it is of another version.
fn parse_checked(line: &str) -> Option<Held> {
    let mut words = line.split(' ');
    let inode = Inode::parse(words.next()?.as_bytes())?;
    let position = parse_offset(words.next()?.as_bytes())?;
    let fields: Vec<(&str, &str)> =
        words.map(|word| word.split_once('=')).collect::<Option<_>>()?;
    let field = |key: &str| fields.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    if field("v")? != VERSION {
        return None;
    }
    let base = parse_offset(field("base")?.as_bytes())?;
    let generation = |inode: Inode, [id, seen, heard]: [&str; 3]| {
        Some(Generation {
            inode,
            id: or_none(field(id), |text| Token::parse(text.as_bytes()))?,
            seen_ns: or_none(field(seen), |text| parse_number(text.as_bytes()))?,
            heard: or_none(field(heard), |text| parse_offset(text.as_bytes()))?.unwrap_or(0),
        })
    };
    let ended = || {
        let ending = Ending::parse(field("end")?)?;
        let lost = or_none(field("lost"), Gap::parse)?;
        let (time, digest) = (parse_time(field("time")?)?, field("blake3")?);
        let digest = Whole::parse(digest.as_bytes())?;
        Some(Box::new(Ended { time, outcome: Outcome { ending, lost }, digest }))
    };
    let state = match field("state")? {
        "active" => State::Active,
        "adopting" => State::Adopting,
        "rotating" => State::Rotating {
            suffix: field("suffix").filter(|s| !s.is_empty() && !s.contains('/'))?.to_owned(),
            next: generation(
                Inode::parse(field("next")?.as_bytes())?,
                ["next-id", "next-seen", "next-heard"],
            )?,
            ended: ended()?,
        },
        _ => return None,
    };
    Some(Held::Pointer(Box::new(Pointer {
        generation: generation(inode, ["id", "seen", "heard"])?,
        base,
        before: or_none(field("before"), |text| Sample::parse(text.as_bytes()))?
            .filter(|sample| sample.len <= base),
        masked: or_none(field("masked"), |text| parse_offset(text.as_bytes()))?.unwrap_or(0),
        durable: position.checked_sub(base)?,
        copy: field("copy")?.parse().ok()?,
        manifest: or_none(field("manifest"), |text| parse_number(text.as_bytes()))?.unwrap_or(0),
        boot: field("boot")?.to_owned(),
        state,
    })))
}

/// The name under which a new pointer is prepared, beside the old one.
pub fn scratch_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".fetch_logs.new");
    path.with_file_name(name)
}

/// Replaces the pointer as a whole. When this returns, the new pointer is on disk under its name.
///
/// The new content is made durable under another name before it takes the old one's place: without
/// that, XFS and btrfs left an empty pointer after a power loss. Then the directory is made durable:
/// without that, the data's rename was found after a power loss and the pointer's was not. After an
/// error the old pointer or the new one is valid, and only reading it again tells which.
pub fn replace_pointer<F: Fs>(fs: &F, path: &Path, pointer: &Pointer) -> io::Result<()> {
    let scratch = write_scratch(fs, path, pointer)?;
    if let Err(error) = fs.sync_data(&scratch) {
        discard_scratch(fs, path);
        return Err(error);
    }
    fs.rename(&scratch_path(path), path)?;
    fs.sync_dir(dir_of(path))
}

/// Prepares the new pointer beside the old one; it is not durable yet.
pub fn write_scratch<F: Fs>(fs: &F, path: &Path, pointer: &Pointer) -> io::Result<F::File> {
    let scratch = scratch_path(path);
    remove_if_there(fs, &scratch)?;
    let prepared = fs.create_new(&scratch).and_then(|file| {
        write_all_at(fs, &file, &emit_pointer(pointer), 0)?;
        Ok(file)
    });
    prepared.inspect_err(|_| discard_scratch(fs, path))
}

/// Best effort: the next attempt and the next start remove it as well.
pub fn discard_scratch<F: Fs>(fs: &F, path: &Path) {
    let _ = fs.remove(&scratch_path(path));
}

/// Reads the pointer file; `None` if there is none.
pub fn read_pointer<F: Fs>(fs: &F, path: &Path) -> io::Result<Option<Result<Held, String>>> {
    let file = match fs.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; POINTER_BYTES_MAX];
    let mut len = 0;
    while len < bytes.len() {
        match fs.read_at(&file, &mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(parse_pointer(&bytes[..len])))
}

/// Removes a name that may be missing.
pub fn remove_if_there<F: Fs>(fs: &F, path: &Path) -> io::Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::DiskFs;

    fn example(state: State) -> Pointer {
        Pointer {
            generation: Generation::of(Inode::new(1835021).renamed()),
            base: 100,
            before: Sample::of(b"the end of what came before"),
            masked: 12,
            durable: 40860,
            copy: FileId {
                inode: 262147,
                generation: Some(3917),
                birth_ns: Some(1_763_644_969_000_000_000),
            },
            manifest: 812,
            boot: "9f0c2d1e-0000-4000-8000-000000000000".to_owned(),
            state,
        }
    }

    #[test]
    fn a_pointer_begins_with_the_inode_and_the_position() {
        let text = String::from_utf8(emit_pointer(&example(State::Active))).unwrap();
        assert!(text.starts_with("01835021 40960 v=1 base=100 "), "{text}");
    }

    #[test]
    fn every_pointer_is_read_back_as_it_was_written() {
        let rotating = |ending, lost| State::Rotating {
            suffix: "20261120132249.1".to_owned(),
            next: Generation::of(Inode::new(7)),
            ended: Box::new(Ended {
                time: parse_time("2026-11-20T12:22:49Z").unwrap(),
                outcome: Outcome { ending, lost },
                digest: Whole::of(b"content"),
            }),
        };
        for state in [
            State::Active,
            State::Adopting,
            rotating(Ending::Complete, None),
            rotating(Ending::Gone, Some(Gap { from: 40960, to: None })),
            rotating(Ending::Differs, Some(Gap { from: 40960, to: Some(52000) })),
        ] {
            let two = Generation {
                inode: Inode::new(7),
                id: Token::parse(b"7.3917.1763644969000000000"),
                seen_ns: Some(u64::MAX),
                heard: 52000,
            };
            for generation in [Generation::of(Inode::new(7).renamed()), two] {
                let state = match state.clone() {
                    State::Rotating { suffix, ended, .. } => {
                        State::Rotating { suffix, next: generation, ended }
                    }
                    other => other,
                };
                let pointer = Pointer { generation, ..example(state) };
                assert_eq!(
                    parse_pointer(&emit_pointer(&pointer)),
                    Ok(Held::Pointer(Box::new(pointer)))
                );
            }
        }
    }

    #[test]
    fn a_pointer_of_the_original_is_an_inode_alone() {
        for text in ["1835021", "1835021\n", " 1835021 \n"] {
            assert_eq!(
                parse_pointer(text.as_bytes()),
                Ok(Held::Original(Inode::new(1835021))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_of_a_pointer_is_refused() {
        let whole = emit_pointer(&example(State::Active));
        for len in 0..whole.len() {
            // The first word alone is what fetchlogs 1.1 writes; our own pointers are replaced as a
            // whole, so that a cut one can only come from a hand.
            if matches!(parse_pointer(&whole[..len]), Ok(Held::Original(_))) {
                assert!(len <= 9, "{len}");
            } else {
                assert!(parse_pointer(&whole[..len]).is_err(), "prefix of {len}");
            }
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_pointer(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_pointer_is_told() {
        for (bytes, told) in [
            (&b""[..], "it is empty"),
            (b" \n", "it is empty"),
            (b"garbage\n", "it holds no inode: \"garbage\""),
            (b"12 34\n", "it is damaged: \"12 34\""),
            (b"12 34 crc32=00000000\n", "its checksum is wrong: \"12 34 crc32=00000000\""),
            (b"\xff\xfe", "it is not text: \"\\xff\\xfe\""),
        ] {
            assert_eq!(parse_pointer(bytes), Err(told.to_owned()));
        }
    }

    #[test]
    fn replacing_a_pointer_leaves_nothing_else_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pointer");
        let fs = DiskFs::default();
        assert_eq!(read_pointer(&fs, &path).unwrap(), None);
        std::fs::write(scratch_path(&path), "left by a crash").unwrap();
        for state in [State::Adopting, State::Active] {
            let pointer = example(state);
            replace_pointer(&fs, &path, &pointer).unwrap();
            assert_eq!(
                read_pointer(&fs, &path).unwrap(),
                Some(Ok(Held::Pointer(Box::new(pointer))))
            );
        }
        assert_eq!(fs.names(dir.path()).unwrap(), ["pointer"]);
    }
}
