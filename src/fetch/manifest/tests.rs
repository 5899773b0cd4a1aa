//! Lines come back as they were written; what is damaged or torn is no line.

use proptest::prelude::*;

use super::*;
use crate::sys::fs::DiskFs;

fn example() -> Line {
    Line {
        time: parse_time("2026-11-21T13:22:49Z").unwrap(),
        inode: Inode::new(1835021),
        from: 0,
        to: 40960,
        digest: Whole::of(b"content"),
        archive: Some("messages.20261121142249".into()),
        ending: Ending::Complete,
        id: None,
        seen_ns: None,
        lost: None,
        late: None,
    }
}

/// The example with all that a line can have.
fn full() -> Line {
    Line {
        inode: Inode::new(1835021).renamed(),
        from: 100,
        archive: Some("two words.20261121142249.1".into()),
        ending: Ending::Gone,
        id: Token::parse(b"1835021.7.1795132800000000000"),
        seen_ns: Some(u64::MAX),
        lost: Some(Gap { from: 40960, to: Some(52000) }),
        late: Some(12),
        ..example()
    }
}

#[test]
fn a_line_reads_as_documented() {
    let text = |line: &Line| String::from_utf8(emit_line(line)).unwrap();
    let digest = Whole::of(b"content");
    assert_eq!(
        text(&example()),
        format!(
            "2026-11-21T13:22:49Z 1835021 0 40960 blake3={digest} \
             archive=messages.20261121142249 end=complete crc32=a31895bb\n"
        )
    );
    assert_eq!(
        text(&full()),
        format!(
            "2026-11-21T13:22:49Z 01835021 100 40960 blake3={digest} \
             archive=two%20words.20261121142249.1 end=gone id=1835021.7.1795132800000000000 \
             seen=18446744073709551615 lost=40960-52000 late=12 crc32=63fd00a9\n"
        )
    );
    let unknown = Line { archive: None, lost: Some(Gap { from: 7, to: None }), ..example() };
    let told = text(&unknown);
    assert!(told.contains(" archive=- end=complete lost=7- crc32="), "{told}");
}

#[test]
fn every_prefix_and_every_flipped_bit_of_a_line_is_refused() {
    for line in [example(), full()] {
        let whole = emit_line(&line);
        assert_eq!(parse_line(&whole), Some(line));
        for len in 0..whole.len() {
            assert_eq!(parse_line(&whole[..len]), None, "prefix of {len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_line(&flipped), None, "bit {bit}");
        }
    }
}

#[test]
fn a_name_that_leads_out_of_the_directory_is_refused() {
    for name in ["..", ".", "a/b", "/etc/passwd"] {
        let line = Line { archive: Some(name.into()), ..example() };
        assert_eq!(parse_line(&emit_line(&line)), None, "{name}");
    }
}

/// What a manifest of these bytes is read as.
fn read(bytes: &[u8]) -> (Vec<(u64, Line)>, Extent) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    std::fs::write(&path, bytes).unwrap();
    let mut lines = Vec::new();
    let extent = read_manifest(&DiskFs::default(), &path, |at, line| lines.push((at, line)));
    (lines, extent.unwrap().unwrap())
}

#[test]
fn no_file_is_told_from_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    assert_eq!(read_manifest(&DiskFs::default(), &path, |_, _| ()).unwrap(), None);
    assert_eq!(read(b""), (vec![], Extent::default()));
}

#[test]
fn a_torn_end_is_no_line_wherever_it_is_torn() {
    let (first, second) = (emit_line(&example()), emit_line(&full()));
    let whole = [first.clone(), second.clone()].concat();
    for len in first.len()..whole.len() {
        let (lines, extent) = read(&whole[..len]);
        assert_eq!(lines, [(0, example())], "{len}");
        assert_eq!((extent.whole, extent.size), (first.len() as u64, len as u64));
    }
    let mut zeros = first.clone();
    zeros.extend([0; 5000]);
    zeros.push(b'\n');
    let (lines, extent) = read(&zeros);
    assert_eq!((lines.len(), extent.whole, extent.damaged), (1, first.len() as u64, 0));
}

#[test]
fn a_damaged_line_does_not_hide_those_behind_it() {
    let good = emit_line(&example());
    for damage in [b"a note of somebody\n".to_vec(), [vec![b'x'; 300_000], vec![b'\n']].concat()] {
        let (lines, extent) = read(&[good.clone(), damage.clone(), good.clone()].concat());
        let second = (good.len() + damage.len()) as u64;
        assert_eq!(lines, [(0, example()), (second, example())]);
        let size = second + good.len() as u64;
        assert_eq!(extent, Extent { whole: size, damaged: 1, size, unended: false });
    }
}

#[test]
fn a_whole_line_that_is_damaged_is_not_torn_wherever_it_stands() {
    let good = emit_line(&example());
    let mut damaged = emit_line(&full());
    damaged[40] ^= 1;
    let later = b"2031-01-01T00:00:00Z of a later version crc32=00000000\n".to_vec();
    for (end, count) in [(vec![&damaged], 1), (vec![&later, &damaged], 2)] {
        let end: Vec<u8> = end.into_iter().flatten().copied().collect();
        for torn in [&b""[..], b"2026-11-2", b"\0\0\n\0"] {
            let whole = (good.len() + end.len()) as u64;
            let (lines, extent) = read(&[&good[..], &end, torn].concat());
            assert_eq!(lines.len(), 1);
            let size = whole + torn.len() as u64;
            assert_eq!(extent, Extent { whole, damaged: count, unended: false, size });
        }
    }
}

#[test]
fn an_end_that_is_no_beginning_of_a_line_is_not_torn() {
    for (end, is_torn) in [
        (&b"2"[..], true),
        (b"2026-11-21T13:22:49Z 18350", true),
        (b"\0", true),
        (b"a note\0\0", true),
        (b"a note", false),
        (b"2026-11-2x", false),
        (&[b'7'; LINE_BYTES_MAX + 1], false),
    ] {
        let (_, extent) = read(end);
        let size = end.len() as u64;
        let not_torn = Extent { whole: size, damaged: 1, unended: true, size };
        let torn = Extent { size, ..Extent::default() };
        assert_eq!(extent, if is_torn { torn } else { not_torn }, "{}", end.escape_ascii());
    }
}

#[test]
fn what_was_on_disk_once_is_not_torn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    let good = emit_line(&example());
    let size = good.len() as u64;
    let mut bytes = good.clone();
    for (last, unended) in [(b'x', true), (0, true)] {
        *bytes.last_mut().unwrap() = last;
        std::fs::write(&path, &bytes).unwrap();
        let read = |had| read_latest(&DiskFs::default(), &path, had).unwrap().unwrap().1;
        assert_eq!(read(size), Extent { whole: size, damaged: 1, unended, size });
        assert_eq!(read(0), Extent { size, ..Extent::default() });
    }
}

#[test]
fn archives_of_one_name_have_a_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    let others = [
        Line { inode: Inode::new(7), ..example() },
        Line { id: Token::parse(b"7.8"), ..example() },
        Line { from: 100, ..example() },
    ];
    let fs = DiskFs::default();
    append_line(&fs, &path, &example(), 0).unwrap();
    for other in &others {
        append_line(&fs, &path, other, 0).unwrap();
    }
    let (lines, _) = read_latest(&fs, &path, 0).unwrap().unwrap();
    assert_eq!(lines, [&[example()], &others[..]].concat());
}

#[test]
fn the_last_line_of_an_archive_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    let other = Line { archive: Some("other".into()), ..example() };
    let late = Line { to: 40972, late: Some(12), ..example() };
    let nameless = Line { archive: None, ..example() };
    let lines = [&example(), &nameless, &other, &nameless, &late];
    std::fs::write(&path, lines.map(emit_line).concat()).unwrap();
    let fs = DiskFs::default();
    let (latest, _) = read_latest(&fs, &path, 0).unwrap().unwrap();
    assert_eq!(latest, [late.clone(), nameless.clone(), other, nameless]);
    assert_eq!(line_of(&fs, &path, &example()).unwrap(), Some(late));
    let missing = Line { archive: Some("missing".into()), ..example() };
    assert_eq!(line_of(&fs, &path, &missing).unwrap(), None);
}

#[test]
fn the_manifest_is_beside_the_pointer() {
    let path = manifest_path(Path::new("/srv/logs/web1/messages.pointer"));
    assert_eq!(path, Path::new("/srv/logs/web1/messages.pointer.manifest"));
}

fn any_line() -> impl Strategy<Value = Line> {
    let name = prop::collection::vec((1u8..).prop_filter("slash", |&b| b != b'/'), 1..255)
        .prop_filter("dots", |name| name != b"." && name != b"..");
    let gap = (0..u64::MAX / 2, prop::option::of(1..1_000_000u64));
    (
        (0i64..4_000_000_000, any::<u64>(), any::<bool>(), 0..u64::MAX / 2, any::<u32>()),
        (any::<[u8; 32]>(), prop::option::of(name), 0..Ending::ALL.len()),
        (prop::option::of("[!-~]{1,64}"), any::<Option<u64>>(), any::<Option<u64>>()),
        prop::option::of(gap),
    )
        .prop_map(|((secs, number, zero, to, len), (digest, name, ending), known, gap)| {
            let plain = Inode::new(number);
            let (id, seen_ns, late) = known;
            Line {
                time: DateTime::from_timestamp(secs, 0).unwrap(),
                inode: if zero { plain.renamed() } else { plain },
                from: to.saturating_sub(u64::from(len)),
                to,
                digest: Whole(digest),
                archive: name.map(OsString::from_vec),
                ending: Ending::ALL[ending],
                id: id.map(|text| Token::parse(text.as_bytes()).unwrap()),
                seen_ns,
                lost: gap.map(|(from, len)| Gap { from, to: len.map(|len| from + len) }),
                late,
            }
        })
        .prop_filter("range", |line| line.lost.and_then(|gap| gap.to) <= Some(i64::MAX as u64))
}

proptest! {
    #[test]
    fn every_line_comes_back(line in any_line()) {
        let bytes = emit_line(&line);
        prop_assert!(bytes.len() <= LINE_BYTES_MAX);
        prop_assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
        prop_assert_eq!(parse_line(&bytes), Some(line));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..3000)
    ) {
        let (lines, extent) = read(&bytes);
        prop_assert!(lines.is_empty() && extent.whole <= extent.size);
        prop_assert_eq!(extent.size, bytes.len() as u64);
    }
}
