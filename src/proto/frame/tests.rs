//! Frames, right and wrong, in every split.

use super::*;
use proptest::prelude::*;

/// Content, then all other events in their order, each with the offset at which it came.
type Heard = (Vec<u8>, Vec<(Offset, Event)>, Option<WireFault>);

fn hear(mut frames: Frames, pieces: &[&[u8]]) -> Heard {
    let (mut content, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut at = 0;
        loop {
            match frames.poll_event(piece, &mut at) {
                Ok(None) => break,
                Ok(Some(Event::Data(range))) => content.extend_from_slice(&piece[range]),
                Ok(Some(event)) => events.push((frames.offset(), event)),
                Err(fault) => return (content, events, Some(fault)),
            }
        }
        assert_eq!(at, piece.len());
    }
    (content, events, None)
}

fn fault(stream: &[u8]) -> Option<WireFault> {
    hear(Frames::following(10), &[stream]).2
}

#[test]
fn data_is_exact_whatever_it_holds() {
    let stream = b"H 10 5\nD 3\n\x07\nCD 4\nD 4\nH 20 18446744073709551615\nC rotated 17\n";
    let heard = hear(Frames::following(10), &[stream]);
    let events = vec![
        (10, Event::Heartbeat { size: 10, mtime_ns: 5 }),
        (17, Event::Heartbeat { size: 20, mtime_ns: u64::MAX }),
        (17, Event::Close(Reason::Rotated)),
    ];
    assert_eq!(heard, (b"\x07\nCD 4\n".to_vec(), events, None));
    for cut in 0..stream.len() {
        let pieces = [&stream[..cut], &stream[cut..]];
        assert_eq!(hear(Frames::following(10), &pieces), heard, "cut at {cut}");
    }
}

#[test]
fn what_is_no_frame_is_a_fault() {
    for line in [
        "\n",
        "D\n",
        "D \n",
        "D 0\n",
        "D -1\n",
        "D 1 \n",
        "D  1\n",
        "d 1\n",
        "D 1\r\n",
        "Z 1 1\n",
        "D 9223372036854775808\n",
        "H 10\n",
        "H 10 5 6\n",
        "H -1 5\n",
        "C rotated\n",
        "C 10\n",
        "C  10\n",
        "C rotated 10 \n",
        "S 0 10 00\n",
    ] {
        let fault = fault(line.as_bytes());
        assert!(matches!(fault, Some(WireFault::BadFrame(_))), "{line:?}: {fault:?}");
    }
    assert_eq!(fault(&[b'D'; 257]), Some(WireFault::LineTooLong(256)));
    assert_eq!(fault(&[b'D'; 256]), None);
}

#[test]
fn what_contradicts_the_count_is_a_fault() {
    for line in [
        format!("D {}\n", OFFSET_MAX - 9),
        "H 9 0\n".into(),
        "D 2\nabH 11 0\n".into(),
        "C rotated 9\n".into(),
        "D 2\nabC shutdown 10\n".into(),
        format!("S 10 20 {}\n", Whole::of(b"")),
    ] {
        let fault = fault(line.as_bytes());
        assert!(matches!(fault, Some(WireFault::Contradiction(_))), "{line:?}: {fault:?}");
    }
    assert_eq!(fault(format!("D {}\nx", OFFSET_MAX - 10).as_bytes()), None);
    assert_eq!(fault(b"C rotated 10\nH 10 0\n"), Some(WireFault::SpokeAfterEnd));
    assert_eq!(fault(b"C rotated 10\n\n"), Some(WireFault::SpokeAfterEnd));
}

#[test]
fn the_digest_of_a_range_comes_after_heartbeats_and_alone() {
    let whole = Whole::of(b"ten bytes!");
    let sum = emit_sum(10..20, whole);
    let heard = hear(Frames::proving(10, 20), &[b"H 20 5\n", &sum]);
    assert_eq!(heard.2, None);
    assert_eq!(heard.1.last(), Some(&(10, Event::Sum(whole))));
    for stream in [&b"D 1\nx"[..], &emit_sum(0..20, whole), &emit_sum(10..19, whole)] {
        let fault = hear(Frames::proving(10, 20), &[stream]).2;
        assert!(matches!(fault, Some(WireFault::Contradiction(_))), "{fault:?}");
    }
    let closed = hear(Frames::proving(10, 20), &[b"C truncated 10\n"]);
    assert_eq!(closed.1, [(10, Event::Close(Reason::Truncated))]);
    let again = hear(Frames::proving(10, 20), &[&sum, b"H 20 5\n"]);
    assert_eq!(again.2, Some(WireFault::SpokeAfterEnd));
}

#[test]
fn only_some_reasons_end_a_generation() {
    for (text, ends) in [
        ("rotated", true),
        ("truncated", true),
        ("deleted", true),
        ("replaced", true),
        ("shutdown", false),
        ("withdrawn", false),
    ] {
        let reason = Reason::parse(text.as_bytes()).unwrap();
        assert_eq!((reason.to_string().as_str(), reason.ends_generation()), (text, ends));
    }
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let data = proptest::collection::vec(any::<u8>(), 1..40)
        .prop_map(|data| [emit_data_header(data.len() as u64), data].concat());
    let heartbeat = (0..200u64, any::<u64>()).prop_map(|(size, mtime)| emit_heartbeat(size, mtime));
    let close = ("(rotated|shutdown|[!-~]{1,64})", 0..60u64)
        .prop_map(|(reason, offset)| emit_close(Reason::parse(reason.as_bytes()).unwrap(), offset));
    let noise = proptest::collection::vec(any::<u8>(), 0..20);
    let frame = prop_oneof![6 => data, 3 => heartbeat, 1 => close, 1 => noise];
    proptest::collection::vec(frame, 0..6).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn any_stream_means_the_same_however_it_is_split(
        stream in any_stream(), from in prop_oneof![Just(0), Just(10), OFFSET_MAX - 50..=OFFSET_MAX]
    ) {
        let whole = hear(Frames::following(from), &[&stream]);
        for cut in 0..=stream.len() {
            let pieces = [&stream[..cut], &stream[cut..]];
            prop_assert_eq!(&hear(Frames::following(from), &pieces), &whole);
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&hear(Frames::following(from), &bytes), &whole);
        hear(Frames::proving(from, from), &bytes);
    }

    #[test]
    fn content_comes_back_in_whatever_frames_it_was_sent(
        content in proptest::collection::vec(any::<u8>(), 1..300), len in 1usize..100
    ) {
        let mut stream = Vec::new();
        for data in content.chunks(len) {
            stream.extend(emit_data_header(data.len() as u64));
            stream.extend_from_slice(data);
        }
        stream.extend(emit_close(Reason::Deleted, content.len() as u64));
        let heard = hear(Frames::following(0), &[&stream]);
        prop_assert_eq!((&heard.0, heard.1.len(), &heard.2), (&content, 1, &None));
    }
}
