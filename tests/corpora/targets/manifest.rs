//! A manifest: what counts in any file, and what a new line does to it.
//!
//! Lines that are good are found wherever they are; the rest is damaged or torn. A new line is there
//! afterwards and counts, nothing that was good before it is gone, and of what was known to be on disk
//! not a byte is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use fetchlogs::fetch::manifest::{
    Extent, LINE_BYTES_MAX, Line, append_line, emit_line, line_of, parse_line, read_last,
    read_latest, read_manifest,
};
use fetchlogs::sys::fs::Fs;

use super::checked::with_checksums;
use super::memfs::MemFs;

const PATH: &str = "/d/log.ptr.manifest";

/// The line that is added.
static ADDED: LazyLock<Line> = LazyLock::new(|| {
    let text = "2026-11-22T00:00:03Z 1835044 0 36 blake3=408a5b37be1945aded96b9acf3ca380c188cb2822f733a3e7ea97ff1ee3ac20b archive=log.20261122000003 end=complete id=1835044.1.1795219202000000000 crc32=*\n";
    parse_line(&with_checksums(text.as_bytes())).expect("a line")
});

pub fn target(data: &[u8]) {
    let content = with_checksums(data);
    let (good, extent) = read(&MemFs::with(Path::new(PATH), &content));
    check_lines(&content, &good, extent);
    check_latest(&content, &good, extent);
    for had in [0, content.len() as u64 / 2, content.len() as u64] {
        check_append(&content, &good, had);
    }
}

/// All good lines with their places, and how far the file has lines.
fn read(fs: &MemFs) -> (Vec<(u64, Line)>, Extent) {
    let mut good = Vec::new();
    let extent = read_manifest(fs, Path::new(PATH), |at, line| good.push((at, line)));
    (good, extent.expect("it can be read").expect("it is there"))
}

fn check_lines(content: &[u8], good: &[(u64, Line)], extent: Extent) {
    let mut expected = Vec::new();
    let mut at = 0;
    for text in content.split_inclusive(|&byte| byte == b'\n') {
        if let Some(line) = parse_line(text).filter(|_| text.len() <= LINE_BYTES_MAX) {
            let emitted = emit_line(&line);
            assert_eq!(parse_line(&emitted).as_ref(), Some(&line));
            expected.push((at, line));
        }
        at += text.len() as u64;
    }
    assert_eq!(good, expected);
    assert_eq!(extent.size, content.len() as u64);
    assert!(extent.whole <= extent.size);
    let (whole, torn) = content.split_at(extent.whole as usize);
    let lines = whole.split_inclusive(|&byte| byte == b'\n').count() as u64;
    assert_eq!(lines, good.len() as u64 + extent.damaged);
    assert_eq!(extent.unended, !whole.is_empty() && !whole.ends_with(b"\n"));
    // What counts as torn has no newline, or has zeros, which a power loss leaves.
    assert!(
        torn.split_inclusive(|&byte| byte == b'\n')
            .all(|text| !text.ends_with(b"\n") || text.contains(&0))
    );
    let last =
        read_last(&MemFs::with(Path::new(PATH), content), Path::new(PATH)).expect("it can be read");
    assert_eq!(last.size, extent.size);
    if extent.size <= 16 << 10 {
        let lines =
            last.lines.iter().filter(|line| emit_line(line).len() <= LINE_BYTES_MAX).count();
        assert!(lines >= good.len(), "{lines} of {}", good.len());
    }
}

fn check_latest(content: &[u8], good: &[(u64, Line)], extent: Extent) {
    let fs = MemFs::with(Path::new(PATH), content);
    let (latest, same) =
        read_latest(&fs, Path::new(PATH), 0).expect("it can be read").expect("it is there");
    assert_eq!(same, extent);
    let mut counts = HashMap::new();
    for (_, line) in good.iter().filter(|(_, line)| line.archive.is_some()) {
        counts.insert((line.archive.clone(), line.inode, line.id, line.from), line);
    }
    let nameless = good.iter().filter(|(_, line)| line.archive.is_none()).count();
    assert_eq!(latest.len(), counts.len() + nameless);
    for line in latest.iter().filter(|line| line.archive.is_some()) {
        assert_eq!(
            counts.get(&(line.archive.clone(), line.inode, line.id, line.from)),
            Some(&line)
        );
    }
    if let Some((_, line)) = good.first() {
        let last = good.iter().rev().map(|(_, line)| line).find(|other| other.is_of(line));
        assert_eq!(line_of(&fs, Path::new(PATH), line).expect("it can be read").as_ref(), last);
    }
}

fn check_append(content: &[u8], good: &[(u64, Line)], had: u64) {
    let path = Path::new(PATH);
    let fs = MemFs::with(path, content);
    let before = {
        let extent = read_latest(&fs, path, had).expect("it can be read").expect("it is there").1;
        assert!(extent.whole >= had.min(extent.size));
        extent
    };
    let appended = append_line(&fs, path, &ADDED, had).expect("it can be written");
    assert_eq!(appended.before, before);
    let now = fs.content(path).expect("it is there");
    assert_eq!(now.len() as u64, appended.size);
    let kept = before.whole as usize;
    assert!(now[..kept] == content[..kept]);
    let (all, extent) = read(&fs);
    assert!(all.len() >= good.len() && all.iter().zip(good).all(|(one, other)| one == other));
    let said = good.iter().rev().map(|(_, line)| line).find(|line| line.is_of(&ADDED));
    let said = said.is_some_and(|line| Line { time: ADDED.time, ..line.clone() } == *ADDED);
    // One that lacked nothing but its newline has it now.
    let more = all.len() - good.len() - usize::from(!said);
    assert!(more == 0 || (more == 1 && before.unended));
    // Where it was said already, an end that is damaged or without a newline stays as it is.
    if !said {
        assert_eq!((extent.whole, extent.unended), (extent.size, false));
    }
    let counts = line_of(&fs, path, &ADDED).expect("it can be read").expect("it is there");
    assert_eq!(Line { time: ADDED.time, ..counts }, *ADDED);
    // Once more it changes nothing.
    let again = append_line(&fs, path, &ADDED, appended.size).expect("it can be written");
    assert_eq!(again.size, appended.size);
    assert!(fs.content(path).is_some_and(|content| content == now));
    let scratch = fs.open(path).and_then(|file| fs.len(&file)).expect("it is there");
    assert_eq!(scratch, appended.size);
}
