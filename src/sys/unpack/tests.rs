//! Every format, whole, in several parts, cut and spoilt.

use std::io::{Cursor, Write};

use super::*;

const FORMATS: [Format; 4] = [Format::Gzip, Format::Zstd, Format::Xz, Format::Bzip2];

fn pack(format: Format, content: &[u8]) -> Vec<u8> {
    match format {
        Format::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Format::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(6);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// What can be read, and whether it ended in an error.
fn unpack(format: Format, packed: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    let failed = match Unpacker::new(format, Cursor::new(packed.to_vec())) {
        Ok(mut unpacker) => {
            let failed = unpacker.read_to_end(&mut content).is_err();
            assert!(!failed || unpacker.read(&mut [0]).is_err(), "an error is the end");
            failed
        }
        Err(_) => true,
    };
    (content, failed)
}

fn content() -> Vec<u8> {
    (0..20_000u32)
        .flat_map(|n| format!("line {n} {}\n", n.wrapping_mul(n) % 7919).into_bytes())
        .collect()
}

#[test]
fn what_was_compressed_comes_back_in_one_part_or_several() {
    let content = content();
    let (one, other) = content.split_at(content.len() / 3);
    for format in FORMATS {
        assert!(unpack(format, &pack(format, &content)) == (content.clone(), false), "{format:?}");
        let parts = [pack(format, one), pack(format, b""), pack(format, other)].concat();
        assert!(unpack(format, &parts) == (content.clone(), false), "{format:?}");
        assert_eq!(unpack(format, &pack(format, b"")), (Vec::new(), false), "{format:?}");
    }
}

#[test]
fn what_was_cut_gives_true_bytes_and_then_an_error_wherever_it_was_cut() {
    let content = &content()[..100_000];
    for format in FORMATS {
        let packed = pack(format, content);
        let step = packed.len() / 97 + 1;
        for cut in (0..packed.len()).step_by(step).chain([1, packed.len() - 1]) {
            let (read, failed) = unpack(format, &packed[..cut]);
            assert!(failed, "{format:?} cut at {cut} of {}", packed.len());
            assert!(content.starts_with(&read), "{format:?} cut at {cut}");
        }
    }
}

#[test]
fn a_checksum_that_does_not_fit_is_an_error() {
    let content = &content()[..100_000];
    for format in FORMATS {
        let mut packed = pack(format, content);
        for at in (packed.len() / 2..packed.len()).step_by(packed.len() / 50) {
            packed[at] ^= 0x10;
            let (read, failed) = unpack(format, &packed);
            assert!(failed || read == content, "{format:?} spoilt at {at}");
            packed[at] ^= 0x10;
        }
    }
}

#[test]
fn a_header_that_asks_for_much_memory_gets_none() {
    let mut frame = b"\x28\xb5\x2f\xfd\x00".to_vec();
    frame.extend([(31 - 10) << 3, 1, 0, 0]);
    assert_eq!(unpack(Format::Zstd, &frame), (Vec::new(), true));
    let mut packed = pack(Format::Xz, b"small");
    let header = &mut packed[12..];
    let len = (usize::from(header[0]) + 1) * 4;
    let at = header.windows(2).position(|filter| filter == [0x21, 1]).unwrap();
    header[at + 2] = 37;
    let sum = crc32fast::hash(&header[..len - 4]).to_le_bytes();
    header[len - 4..len].copy_from_slice(&sum);
    let mut unpacker = Unpacker::new(Format::Xz, Cursor::new(packed)).unwrap();
    let error = unpacker.read(&mut [0; 10]).unwrap_err();
    assert!(error.to_string().contains("mem"), "{error}");
}

#[test]
fn a_name_tells_its_format() {
    for (name, format) in [
        ("log.1.gz", Some(Format::Gzip)),
        ("log.1.zst", Some(Format::Zstd)),
        ("log.1.xz", Some(Format::Xz)),
        ("log.1.bz2", Some(Format::Bzip2)),
        ("log.1.lz4", None),
        ("log.gz.1", None),
        ("log.1", None),
    ] {
        assert_eq!(Format::of_name(name.as_bytes()), format, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn garbage_is_an_error_or_some_bytes_and_never_a_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        which in 0..4usize, begin in proptest::prelude::any::<bool>(),
    ) {
        let format = FORMATS[which];
        let mut stream = bytes;
        if begin {
            let mut packed = pack(format, b"a beginning\n");
            packed.truncate(packed.len() / 2);
            packed.extend(stream);
            stream = packed;
        }
        let _ = unpack(format, &stream);
    }
}
