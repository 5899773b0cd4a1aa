//! One question for a digest, and its answer: a blocking connection.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::proof::Heard;
use crate::config::Host;
use crate::fetch::dial::{Dial, hear};
use crate::fetch::terms::Timing;
use crate::proto::answer::File;
use crate::proto::ask::{Ask, Extent, emit_ask};
use crate::proto::fetch::Ear;
use crate::proto::frame::{Event, Frames};
use crate::proto::refusal::Code;
use crate::proto::status::Reply;
use crate::sys::cause::cause;
use crate::sys::clock;

/// Read at once: an answer has some hundred bytes.
const READ_BYTES: usize = 4096;

/// Who is asked, and how long is waited.
#[derive(Debug)]
pub struct Responder<'a> {
    dial: Dial<'a>,
    timing: &'a Timing,
    longest: Duration,
}

/// A question that was sent.
#[derive(Debug)]
pub struct Asked<'a> {
    stream: TcpStream,
    ear: Ear,
    extent: Extent,
    timing: &'a Timing,
    longest: Duration,
}

/// What came of a question.
#[derive(Debug)]
pub enum Told {
    /// The answer.
    Heard(Heard),
    /// Not now.
    Busy(String),
}

impl<'a> Responder<'a> {
    /// The responder at `host` and `port`. An answer may take `longest`, whatever signs of life there are.
    pub fn new(host: &'a Host, port: u16, timing: &'a Timing, longest: Duration) -> Responder<'a> {
        Responder { dial: Dial::new(host, port, timing.connect_timeout), timing, longest }
    }

    /// Connects and asks. The error says why not.
    pub fn ask(&mut self, extent: Extent) -> Result<Asked<'a>, String> {
        let Responder { timing, longest, .. } = *self;
        let mut stream = self.dial.connect()?;
        let ask = Ask::Digest(Box::new(extent));
        stream.write_all(&emit_ask(&ask)).map_err(|error| cause(&error))?;
        let ear = Ear::after(&ask);
        let Ask::Digest(extent) = ask else { return Err("no question".to_owned()) };
        Ok(Asked { stream, ear, extent: *extent, timing, longest })
    }
}

impl Asked<'_> {
    /// Waits for the answer: for the status line within `reply_timeout`, and then for any sign of life
    /// within `idle_timeout`; and no longer than an answer may take. The error says why there is none.
    pub fn hear(mut self) -> Result<Told, String> {
        let begun = clock::now();
        let mut buf = [0; READ_BYTES];
        let mut frames: Option<Frames> = None;
        let mut answered = None;
        loop {
            if clock::now().saturating_duration_since(begun) >= self.longest {
                return Err(format!("no answer for {:?}", self.longest));
            }
            let patience = match frames {
                None => self.timing.reply_timeout,
                Some(_) => self.timing.idle_timeout,
            };
            let mut bytes = match hear(&mut self.stream, &mut buf, patience)? {
                [] if frames.is_some() => return Err("connection closed".to_owned()),
                [] => {
                    return Err(
                        "connection closed: a responder of protocol 1 can't prove what it \
                                has"
                        .to_owned(),
                    );
                }
                bytes => bytes,
            };
            while frames.is_none() && !bytes.is_empty() {
                let (used, reply) =
                    self.ear.handle_peeked(bytes).map_err(|fault| fault.to_string())?;
                bytes = &bytes[used..];
                match reply {
                    None | Some(Reply::Working) => {}
                    Some(Reply::Refused(refusal)) => {
                        let why = format!("refused: {} {}", refusal.code, refusal.text());
                        return match refusal.code {
                            Code::Busy => Ok(Told::Busy(why)),
                            Code::Missing => Ok(Told::Heard(Heard::Lost)),
                            _ => Err(why),
                        };
                    }
                    Some(Reply::One(_)) => return Err("answered in protocol 1".to_owned()),
                    Some(Reply::Two(answer)) => {
                        if let File::Lost(_) = answer.file {
                            return Ok(Told::Heard(Heard::Lost));
                        }
                        answered = Some((answer.inode, answer.id));
                        let Extent { from, to, .. } = self.extent;
                        frames = Some(Frames::proving(from, to.offset));
                    }
                }
            }
            let (Some(frames), Some((inode, id))) = (&mut frames, answered) else { continue };
            let mut at = 0;
            while let Some(event) =
                frames.poll_event(bytes, &mut at).map_err(|fault| fault.to_string())?
            {
                match event {
                    Event::Sum(whole) => return Ok(Told::Heard(Heard::Sum { inode, id, whole })),
                    Event::Close(reason) => return Err(format!("ended: {reason}")),
                    Event::Heartbeat { .. } | Event::Data(_) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::terms::{Recheck, SyncPolicy};
    use crate::pos::{Inode, Position, Token};
    use crate::proto::answer::{Answer, emit_answer};
    use crate::proto::asked;
    use crate::proto::frame::emit_heartbeat;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    const WAIT: Duration = Duration::from_secs(20);

    const TIMING: Timing = Timing {
        reconnect: WAIT,
        connect_timeout: WAIT,
        reply_timeout: WAIT,
        idle_timeout: WAIT,
        sync: SyncPolicy::Never,
        recheck: Recheck::Never,
    };

    /// Asks for seven bytes, and is told `first`, and then `again` until nobody listens any more.
    fn ask_one_who_says(first: &[u8], again: &[u8], longest: Duration) -> Result<Told, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; READ_BYTES]).unwrap();
                let _ = stream.write_all(first);
                while stream.write_all(again).is_ok() {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            });
            let host = Host::Address(Ipv4Addr::LOCALHOST.into());
            let to = Position { inode: Inode::new(7), offset: 7 };
            let (path, asked) = (b"/log".to_vec(), asked::Asked::default());
            let mut responder = Responder::new(&host, port, &TIMING, longest);
            responder.ask(Extent { path, from: 0, to, asked })?.hear()
        })
    }

    #[test]
    fn who_is_alive_and_says_nothing_else_is_not_waited_for_for_ever() {
        let same = emit_answer(&Answer {
            inode: Inode::new(7),
            file: File::Same,
            id: Token::of_number(7),
            boot: Token::of_number(1),
            from: 0,
            size: 7,
            mtime_ns: 1,
            name: None,
            tail: None,
        });
        for (first, again) in [(&b""[..], &b"W\n"[..]), (&same, &emit_heartbeat(7, 1))] {
            let told = ask_one_who_says(first, again, Duration::from_millis(100));
            assert_eq!(told.unwrap_err(), "no answer for 100ms");
        }
    }
}
