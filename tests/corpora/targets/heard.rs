//! What a responder says: the answer to the first line of the input, which is a request.
//!
//! Behind a status line of protocol 2 come frames, behind `LIST` the lines of a list. Any split of the
//! bytes is understood in the same way. What was understood is written as bytes that say the same. No
//! data is said to be where it is not, nothing comes behind the end, and no frame contradicts the one
//! before it.

use fetchlogs::pos::{OFFSET_MAX, Offset};
use fetchlogs::proto::answer::{File, emit_answer};
use fetchlogs::proto::ask::{Ask, parse_ask};
use fetchlogs::proto::fetch::{Ear, strip_alive};
use fetchlogs::proto::frame::{
    Event, Frames, emit_close, emit_data_header, emit_heartbeat, emit_sum,
};
use fetchlogs::proto::line::LineBuf;
use fetchlogs::proto::list::{LISTING_BYTES_MAX, Listing, emit_listing, parse_listing};
use fetchlogs::proto::refusal::{Refusal, emit_refusal};
use fetchlogs::proto::status::{Reply, WORKING, emit_status, parse_reply};
use fetchlogs::proto::{ALIVE, WireFault};

use super::{Split, check_fault};

pub fn target(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (line, said) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    if let Ok(ask) = parse_ask(line) {
        let [whole, bytes, pieces] = Split::ALL.map(|split| Heard::all(&ask, said, split));
        assert_eq!(whole, bytes);
        assert_eq!(whole, pieces);
        whole.fault.iter().for_each(|fault| check_fault(fault));
        whole.check(said);
    }
    let second = said.split(|&byte| byte == b'\n').next().unwrap_or_default();
    check_line(second);
    check_stripped(said);
}

/// What was understood of all that was said.
#[derive(PartialEq, Debug)]
struct Heard {
    waits: usize,
    reply: Option<Reply>,
    /// Bytes used by that.
    status_len: usize,
    data: Vec<u8>,
    /// Each behind so many bytes of data.
    events: Vec<(usize, Event)>,
    listings: Vec<Listing>,
    fault: Option<WireFault>,
}

/// Who takes the next bytes.
enum Taker {
    Ear(Ear),
    Raw,
    Frames(Frames),
    Listings(LineBuf),
    Nobody,
}

impl Heard {
    fn all(ask: &Ask, said: &[u8], split: Split) -> Heard {
        let mut heard = Heard {
            waits: 0,
            reply: None,
            status_len: 0,
            data: Vec::new(),
            events: Vec::new(),
            listings: Vec::new(),
            fault: None,
        };
        let mut taker = match ask {
            Ask::List { .. } => Taker::Listings(LineBuf::new(LISTING_BYTES_MAX)),
            ask => Taker::Ear(Ear::after(ask)),
        };
        split.feed(said, |mut piece| {
            while !piece.is_empty() && heard.fault.is_none() {
                match heard.take(ask, &mut taker, piece) {
                    Ok(used) => {
                        assert!(used > 0 && used <= piece.len());
                        piece = &piece[used..];
                    }
                    Err(fault) => heard.fault = Some(fault),
                }
            }
            heard.fault.is_none()
        });
        // Of a line that is none it makes no difference where it was cut.
        heard.status_len *= usize::from(heard.reply.is_some());
        heard
    }

    fn take(&mut self, ask: &Ask, taker: &mut Taker, piece: &[u8]) -> Result<usize, WireFault> {
        match taker {
            Taker::Ear(ear) => {
                let (used, reply) = ear.handle_peeked(piece)?;
                self.status_len += used;
                match reply {
                    None => {}
                    Some(Reply::Working) => self.waits += 1,
                    Some(reply) => *taker = self.answered(ask, reply),
                }
                Ok(used)
            }
            Taker::Raw => {
                self.data.extend_from_slice(piece);
                Ok(piece.len())
            }
            Taker::Frames(frames) => {
                let (before, mut at) = (frames.offset(), 0);
                match frames.poll_event(piece, &mut at)? {
                    Some(Event::Data(range)) => {
                        assert!(!range.is_empty() && range.end == at);
                        assert_eq!(frames.offset(), before + range.len() as u64);
                        assert!(frames.offset() <= OFFSET_MAX);
                        self.data.extend_from_slice(&piece[range]);
                    }
                    Some(event) => self.events.push((self.data.len(), event)),
                    None => assert_eq!(at, piece.len()),
                }
                Ok(at)
            }
            Taker::Listings(line) => {
                let fed = line.feed(piece)?;
                if let Some(line) = fed.line {
                    self.listings.push(parse_listing(&line)?);
                }
                Ok(fed.used)
            }
            Taker::Nobody => Ok(piece.len()),
        }
    }

    /// What follows a status line.
    fn answered(&mut self, ask: &Ask, reply: Reply) -> Taker {
        let taker = match (&reply, ask) {
            (Reply::One(_), _) => Taker::Raw,
            (Reply::Two(answer), Ask::Digest(extent)) => match answer.file {
                File::Same => Taker::Frames(Frames::proving(extent.from, extent.to.offset)),
                _ => Taker::Nobody,
            },
            (Reply::Two(answer), _) => Taker::Frames(Frames::following(answer.from)),
            (Reply::Refused(_) | Reply::Working, _) => Taker::Nobody,
        };
        self.reply = Some(reply);
        taker
    }

    /// What was understood, said once more, is understood in the same way, and no shorter than it can be.
    fn check(&self, said: &[u8]) {
        let mut again = WORKING.repeat(self.waits);
        match &self.reply {
            None => {}
            Some(Reply::Working) => panic!("a wait is no answer"),
            Some(Reply::One(status)) => {
                again.extend(emit_status(*status));
                assert_eq!(again, said[..self.status_len]);
                return;
            }
            Some(Reply::Refused(refusal)) => again.extend(emit_refusal(refusal)),
            Some(Reply::Two(answer)) => again.extend(emit_answer(answer)),
        }
        let Some(Reply::Two(answer)) = &self.reply else { return };
        assert!(answer.size >= answer.from);
        let mut offset = answer.from;
        let mut done = 0;
        let mut ended = false;
        for (at, event) in self.events.iter().chain([&(self.data.len(), Event::Data(0..0))]) {
            if *at > done {
                assert!(!ended);
                again.extend(emit_data_header((at - done) as u64));
                again.extend_from_slice(&self.data[done..*at]);
                offset += (at - done) as Offset;
                done = *at;
            }
            assert!(!ended || *event == Event::Data(0..0));
            match event {
                Event::Data(_) => {}
                Event::Heartbeat { size, mtime_ns } => {
                    assert!(*size >= offset);
                    again.extend(emit_heartbeat(*size, *mtime_ns));
                }
                Event::Close(reason) => again.extend(emit_close(*reason, offset)),
                Event::Sum(whole) => again.extend(emit_sum(offset..offset, *whole)),
            }
            ended |= matches!(event, Event::Close(_) | Event::Sum(_));
        }
        // What a digest was asked for is not in the answer, so that one is not said again.
        if self.events.iter().any(|(_, event)| matches!(event, Event::Sum(_))) {
            assert!(self.data.is_empty());
            return;
        }
        let mut frames = Frames::following(answer.from);
        let mut at = WORKING.len() * self.waits + emit_answer(answer).len();
        let (mut data, mut events) = (Vec::new(), Vec::new());
        while let Some(event) = frames.poll_event(&again, &mut at).expect("our own frames") {
            match event {
                Event::Data(range) => data.extend_from_slice(&again[range]),
                event => events.push((data.len(), event)),
            }
        }
        assert_eq!((&data, &events), (&self.data, &self.events));
    }
}

/// A line that is something is written as one that is the same.
fn check_line(line: &[u8]) {
    let parse = |emitted: &[u8]| parse_reply(&emitted[..emitted.len() - 1]);
    match parse_reply(line) {
        Ok(Reply::Working) => assert_eq!(line, b"W"),
        Ok(Reply::One(status)) => assert_eq!(emit_status(status).strip_suffix(b"\n"), Some(line)),
        Ok(Reply::Two(answer)) => assert_eq!(parse(&emit_answer(&answer)), Ok(Reply::Two(answer))),
        Ok(Reply::Refused(refusal)) => {
            check_refusal(&refusal);
            assert_eq!(parse(&emit_refusal(&refusal)), Ok(Reply::Refused(refusal)));
        }
        Err(fault) => check_fault(&fault),
    }
    match parse_listing(line) {
        Ok(listing) => {
            let emitted = emit_listing(&listing);
            assert_eq!(parse_listing(&emitted[..emitted.len() - 1]), Ok(listing));
        }
        Err(fault) => check_fault(&fault),
    }
}

fn check_refusal(refusal: &Refusal) {
    assert!(refusal.text().len() <= Refusal::TEXT_CHARS_MAX);
    check_fault(&format_args!("{}: {}", refusal.code, refusal.text()));
}

/// Of bytes of protocol 1 all stay but heartbeats, in their order.
fn check_stripped(said: &[u8]) {
    let mut stripped = said.to_vec();
    let kept = strip_alive(&mut stripped);
    assert!(stripped[..kept].iter().eq(said.iter().filter(|&&byte| byte != ALIVE)));
}
