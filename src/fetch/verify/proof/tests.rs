//! A responder in memory answers, by identity and by samples.

use super::*;
use crate::proto::digest::Digest;
use proptest::prelude::*;

fn token(text: &str) -> Token {
    Token::parse(text.as_bytes()).unwrap()
}

/// A file of a responder.
#[derive(Clone, Debug)]
struct Theirs {
    inode: u64,
    id: &'static str,
    bytes: Vec<u8>,
    /// It is compressed, say: found by its content only.
    by_content_only: bool,
}

/// What a responder answers that has these files: identity decides where no sample is told, else the
/// samples do, and the file with the number comes first.
fn answer(files: &[Theirs], ours: &Ours, question: &Question) -> Heard {
    let Question { inode, id, range, tail, head, .. } = question;
    let part = |bytes: &[u8], range: Range<Offset>| {
        bytes.get(range.start as usize..range.end as usize).map(Whole::of)
    };
    let fits = |file: &Theirs| {
        if *tail + *head == 0 {
            return file.inode == inode.number()
                && id.is_none_or(|id| id == token(file.id))
                && !file.by_content_only;
        }
        let samples = [range.end - tail..range.end, 0..*head];
        samples.into_iter().filter(|sample| !sample.is_empty()).all(|sample| {
            let own = ours.part(sample.clone());
            part(&file.bytes, sample).map(Whole::cut) == Some(Digest::of(own))
        })
    };
    let long_enough = |file: &&Theirs| file.bytes.len() as Offset >= range.end;
    let numbered = files.iter().filter(|file| file.inode == inode.number());
    let others = files.iter().filter(|file| file.inode != inode.number());
    match numbered.chain(others).filter(long_enough).find(|file| fits(file)) {
        Some(file) => Heard::Sum {
            inode: Inode::new(file.inode),
            id: token(file.id),
            whole: part(&file.bytes, range.clone()).unwrap(),
        },
        None => Heard::Lost,
    }
}

/// Our bytes, the first of which belongs at `base`.
struct Ours {
    base: Offset,
    bytes: Vec<u8>,
}

impl Ours {
    fn part(&self, range: Range<Offset>) -> &[u8] {
        &self.bytes[(range.start - self.base) as usize..(range.end - self.base) as usize]
    }
}

fn generation(id: Option<&str>) -> Generation {
    Generation { id: id.map(token), seen_ns: Some(5), ..Generation::of(Inode::new(7)) }
}

/// What is found out, and with how many questions.
fn find(files: &[Theirs], base: Offset, bytes: &[u8], id: Option<&str>) -> (Finding, usize) {
    let ours = Ours { base, bytes: bytes.to_vec() };
    let mut proof = Proof::new(generation(id), base..base + bytes.len() as Offset);
    for asked in 0..300 {
        match proof.step() {
            Step::Ask(question) => {
                let heard = answer(files, &ours, &question);
                proof.handle(heard, Whole::of(ours.part(question.range)));
            }
            Step::Done(finding) => return (finding, asked),
        }
    }
    panic!("no end");
}

fn theirs(inode: u64, id: &'static str, bytes: &[u8]) -> Theirs {
    Theirs { inode, id, bytes: bytes.to_vec(), by_content_only: false }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

fn flipped(bytes: &[u8], places: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    places.iter().for_each(|&at| bytes[at] ^= 1);
    bytes
}

#[test]
fn what_is_equal_is_found_by_its_identity_with_one_question() {
    let all = bytes(10_000);
    let files = [theirs(7, "7.1", &all)];
    assert_eq!(find(&files, 0, &all, Some("7.1")), (Finding::Equal, 1));
    assert_eq!(find(&files, 0, &all, None), (Finding::Equal, 1));
    // The file has grown since, or our copy began in the middle of it.
    assert_eq!(find(&files, 0, &all[..5000], Some("7.1")), (Finding::Equal, 1));
    assert_eq!(find(&files, 5000, &all[5000..], Some("7.1")), (Finding::Equal, 1));
    assert_eq!(find(&files, 0, b"", Some("7.1")), (Finding::Equal, 1));
}

#[test]
fn what_is_in_another_file_now_is_found_by_its_content() {
    let all = bytes(200_000);
    let new = bytes(300_000)[1000..].to_vec();
    for files in [
        vec![theirs(8, "8.1", &all)],
        // The number and the identity stayed, the content went: a copy that was truncated in place.
        vec![theirs(7, "7.1", &new), theirs(8, "8.1", &all)],
        vec![theirs(7, "7.2", &new), theirs(8, "8.1", &all)],
    ] {
        for from in [0, 100_000] {
            let (finding, asked) = find(&files, from as Offset, &all[from..], Some("7.1"));
            assert_eq!((finding, asked), (Finding::Equal, 2), "{from}");
        }
    }
}

#[test]
fn what_nobody_has_is_gone() {
    let all = bytes(10_000);
    assert_eq!(find(&[], 0, &all, Some("7.1")), (Finding::Gone, 4));
    assert_eq!(find(&[], 10, &all, Some("7.1")), (Finding::Gone, 2));
    assert_eq!(find(&[], 0, b"", Some("7.1")), (Finding::Gone, 1));
    let other = [theirs(7, "7.2", &bytes(20_000)[1..])];
    assert_eq!(find(&other, 0, &all, Some("7.1")), (Finding::Gone, 4));
    let short = [theirs(7, "7.1", &all[..9999])];
    assert_eq!(find(&short, 0, &all, Some("7.1")), (Finding::Gone, 4));
}

#[test]
fn a_number_without_an_identity_that_another_file_has_is_all_different_or_found_elsewhere() {
    let all = bytes(10_000);
    let other = theirs(7, "7.2", &flipped(&all, &(0..10_000).collect::<Vec<_>>()));
    let (finding, _) = find(std::slice::from_ref(&other), 0, &all, None);
    assert_eq!(finding, Finding::Differs(0..10_000));
    let (finding, _) = find(&[other, theirs(9, "9.1", &all)], 0, &all, None);
    assert_eq!(finding, Finding::Equal);
}

#[test]
fn a_file_of_which_only_one_end_is_damaged_is_found_by_the_other_end() {
    let all = bytes(200_000);
    // Found by content only, and by identity neither when the halves are asked for.
    let files = [Theirs { by_content_only: true, ..theirs(8, "8.1", &all) }];
    for place in [0, 100, 4095, 4096, 100_000, 136_000, 199_999] {
        let (finding, _) = find(&files, 0, &flipped(&all, &[place]), Some("7.1"));
        let place = place as Offset;
        assert_eq!(finding, Finding::Differs(place..place + 1));
    }
    let (finding, _) = find(&files, 0, &flipped(&all, &[17, 4000]), Some("7.1"));
    assert_eq!(finding, Finding::Differs(17..4001));
    // Both ends: nothing is left to find it by.
    let (finding, _) = find(&files, 0, &flipped(&all, &[17, 199_999]), Some("7.1"));
    assert_eq!(finding, Finding::Gone);
}

#[test]
fn a_generation_that_goes_meanwhile_leaves_what_is_known() {
    let all = bytes(1024);
    let ours = Ours { base: 0, bytes: flipped(&all, &[700]) };
    let files = [theirs(7, "7.1", &all)];
    for questions in 2..12 {
        let mut proof = Proof::new(generation(Some("7.1")), 0..1024);
        let mut asked = 0;
        let finding = loop {
            match proof.step() {
                Step::Ask(question) => {
                    let there: &[Theirs] = if asked < questions { &files } else { &[] };
                    asked += 1;
                    let heard = answer(there, &ours, &question);
                    proof.handle(heard, Whole::of(ours.part(question.range)));
                }
                Step::Done(finding) => break finding,
            }
        };
        let Finding::Differs(range) = finding else { panic!("{finding:?}") };
        assert!(range.contains(&700) && range.end <= 1024, "{questions}: {range:?}");
    }
}

proptest! {
    #[test]
    fn the_first_and_the_last_byte_that_differ_are_found_exactly(
        len in 1usize..3000, places in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
        base in prop_oneof![Just(0u64), 0..1000u64], known in any::<bool>(), longer in 0..50usize,
        content_only in any::<bool>(),
    ) {
        let all = bytes(base as usize + len + longer);
        let own = &all[base as usize..base as usize + len];
        let mut places: Vec<usize> = places.iter().map(|place| place.index(len)).collect();
        places.sort_unstable();
        places.dedup();
        let mut file = theirs(7, "7.1", &all);
        file.by_content_only = content_only;
        let (finding, asked) = find(&[file], base, &flipped(own, &places), known.then_some("7.1"));
        let (first, last) = (base + places[0] as u64, base + places[places.len() - 1] as u64);
        if !(content_only && finding == Finding::Gone) {
            prop_assert_eq!(finding, Finding::Differs(first..last + 1));
        }
        prop_assert!(asked <= 2 * 12 + 6, "{} questions", asked);
    }

    #[test]
    fn no_answer_makes_it_ask_for_ever_or_out_of_its_range(
        from in 0..1u64 << 62, len in 0..1u64 << 62,
        answers in proptest::collection::vec((0..3u8, 0..2u64), 600)
    ) {
        let mut proof = Proof::new(generation(None), from..from + len);
        let ours = Whole::of(b"ours");
        for (kind, inode) in answers {
            let Step::Ask(question) = proof.step() else { return Ok(()) };
            let Question { range, tail, head, .. } = question;
            prop_assert!(range.start >= from && range.end <= from + len && range.start <= range.end);
            prop_assert!(tail <= range.end - range.start && head <= range.end);
            let whole = if kind == 0 { ours } else { Whole::of(b"theirs") };
            let heard = match kind {
                2 => Heard::Lost,
                _ => Heard::Sum { inode: Inode::new(inode), id: token("x"), whole },
            };
            proof.handle(heard, ours);
        }
        prop_assert!(false, "it still asks");
    }
}
