//! What a fetcher says: a request line, and `A` lines behind it.
//!
//! Any split of the bytes is understood in the same way. What was understood is written as a line that
//! says the same. Acknowledgements never go back.

use fetchlogs::pos::{Offset, PATH_BYTES_MAX};
use fetchlogs::proto::WireFault;
use fetchlogs::proto::ack::{Acks, emit_ack};
use fetchlogs::proto::ask::{Ask, emit_ask, parse_ask, speaks_two};
use fetchlogs::proto::serve::Ear;

use super::{Split, check_fault};

#[derive(PartialEq, Debug)]
struct Understood {
    /// Not known if there was a fault in the bytes that completed it.
    ask: Option<Ask>,
    fault: Option<WireFault>,
    two: bool,
    durable: Option<Offset>,
}

pub fn target(data: &[u8]) {
    let [whole, bytes, pieces] = Split::ALL.map(|split| understand(data, split));
    for split in [&bytes, &pieces] {
        assert_eq!(split.fault, whole.fault);
        assert_eq!(split.two, whole.two);
        if whole.fault.is_none() {
            assert_eq!(*split, whole);
        }
    }
    whole.fault.iter().for_each(|fault| check_fault(fault));
    let line = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match parse_ask(line) {
        Ok(ask) => check_ask(line, &ask),
        Err(fault) => check_fault(&fault),
    }
    if let Some(durable) = whole.durable {
        let mut acks = Acks::new();
        assert_eq!(acks.handle_bytes(&emit_ack(durable)), Ok(()));
        assert_eq!(acks.durable(), Some(durable));
    }
}

fn understand(data: &[u8], split: Split) -> Understood {
    let mut ear = Ear::new();
    let mut understood = Understood { ask: None, fault: None, two: false, durable: None };
    split.feed(data, |piece| {
        match ear.handle_bytes(piece) {
            Ok(None) => {}
            Ok(Some(ask)) => assert_eq!(understood.ask.replace(ask), None),
            Err(fault) => understood.fault = Some(fault),
        }
        if understood.fault.is_none() {
            let before = std::mem::replace(&mut understood.durable, ear.durable());
            assert!(before <= understood.durable);
        }
        understood.fault.is_none()
    });
    understood.two = ear.speaks_two();
    understood
}

/// A question comes back, as far as it can be asked at all: the path is one that files may have.
fn check_ask(line: &[u8], ask: &Ask) {
    let (path, two) = match ask {
        Ask::Follow(request) => (&request.path, request.two.is_some()),
        Ask::List { pattern } => (pattern, true),
        Ask::Digest(extent) => (&extent.path, true),
    };
    assert_eq!(two, speaks_two(line));
    if let Ask::Follow(request) = ask {
        assert!(path.starts_with(b"/"));
        assert!(two || !path.iter().any(|byte| b" \t\n".contains(byte)));
        if let Some(asked) = &request.two {
            assert_eq!(asked.check(request.have), Ok(()));
        }
    }
    if let Ask::Digest(extent) = ask {
        assert!(path.starts_with(b"/") && extent.from <= extent.to.offset);
        assert!(extent.to.inode.number() != 0);
    }
    if path.len() > PATH_BYTES_MAX || path.contains(&0) {
        return;
    }
    let emitted = emit_ask(ask);
    assert_eq!(emitted.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(parse_ask(&emitted[..emitted.len() - 1]).as_ref(), Ok(ask));
}
