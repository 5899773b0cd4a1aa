//! Words that stand for names, numbers, digests and identities: what is read is written as what is read
//! again, and what is written is a word.

use fetchlogs::pos::{FileId, Inode, Start, Token, parse_number, parse_offset};
use fetchlogs::proto::asked::Sample;
use fetchlogs::proto::digest::{Digest, Digester, Whole};
use fetchlogs::proto::percent::{decode, encode};
use fetchlogs::proto::printable;

use super::Split;

pub fn target(data: &[u8]) {
    check_percent(data);
    check_digests(data);
    check_words(data);
    let shown = printable(data);
    assert!(shown.len() <= 4 * 60 + 3 && shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
}

fn check_percent(data: &[u8]) {
    let word = encode(data);
    assert!(word.bytes().all(|byte| byte.is_ascii_graphic()) && word.len() <= 3 * data.len());
    let back = decode(word.as_bytes());
    assert_eq!(back.as_deref(), (!data.contains(&0)).then_some(data));
    if let Some(name) = decode(data) {
        assert!(!name.contains(&0) && name.len() <= data.len());
        assert_eq!(decode(encode(&name).as_bytes()).as_ref(), Some(&name));
        // A byte has no other word but that of its own digits, in either case.
        assert!(encode(&name).len() <= data.len());
    }
}

fn check_digests(data: &[u8]) {
    let whole = Whole::of(data);
    for split in [Split::Whole, Split::Pieces] {
        let mut digester = Digester::new();
        split.feed(data, |piece| {
            digester.update(piece);
            true
        });
        assert_eq!((digester.whole(), digester.digest()), (whole, Digest::of(data)));
    }
    assert_eq!(Whole::parse(whole.to_string().as_bytes()), Some(whole));
    assert_eq!(Digest::parse(whole.cut().to_string().as_bytes()), Some(Digest::of(data)));
    if let Some(whole) = Whole::parse(data) {
        assert!(whole.to_string().as_bytes().eq_ignore_ascii_case(data));
    }
    if let Some(digest) = Digest::parse(data) {
        assert!(digest.to_string().as_bytes().eq_ignore_ascii_case(data));
    }
    if let Some(sample) = Sample::parse(data) {
        assert!(sample.len > 0);
        assert_eq!(Sample::parse(sample.to_string().as_bytes()), Some(sample));
    }
}

fn check_words(data: &[u8]) {
    if let Some(inode) = Inode::parse(data) {
        assert_eq!(inode.to_string().as_bytes(), data);
        let other = inode.renamed();
        assert!(other != inode && other.number() == inode.number());
        if inode.number() > 0 {
            assert_eq!(Inode::parse(other.to_string().as_bytes()), Some(other));
        }
    }
    if let Some(token) = Token::parse(data) {
        assert_eq!(token.as_str().as_bytes(), data);
    }
    if let Some(number) = parse_number(data) {
        let zeros = data.iter().take_while(|&&byte| byte == b'0').count().min(data.len() - 1);
        assert_eq!(number.to_string().as_bytes(), &data[zeros..]);
        assert_eq!(parse_offset(data), (number <= i64::MAX as u64).then_some(number));
    }
    if let Some(start) = Start::parse(data) {
        assert_eq!(start.as_str().as_bytes(), data);
    }
    let id = std::str::from_utf8(data).ok().and_then(|text| text.parse::<FileId>().ok());
    if let Some(id) = id {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Token::of_file(&id), Token::of_file(&id.to_string().parse().unwrap()));
    }
}
