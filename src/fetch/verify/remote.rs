//! One question for a digest, and its answer: a blocking connection.

use std::io::Write;
use std::net::TcpStream;

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

/// Read at once: an answer has some hundred bytes.
const READ_BYTES: usize = 4096;

/// Who is asked, and how long is waited.
#[derive(Debug)]
pub struct Responder<'a> {
    dial: Dial<'a>,
    timing: &'a Timing,
}

/// A question that was sent.
#[derive(Debug)]
pub struct Asked<'a> {
    stream: TcpStream,
    ear: Ear,
    extent: Extent,
    timing: &'a Timing,
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
    /// The responder at `host` and `port`.
    pub fn new(host: &'a Host, port: u16, timing: &'a Timing) -> Responder<'a> {
        Responder { dial: Dial::new(host, port, timing.connect_timeout), timing }
    }

    /// Connects and asks. The error says why not.
    pub fn ask(&mut self, extent: Extent) -> Result<Asked<'a>, String> {
        let timing = self.timing;
        let mut stream = self.dial.connect()?;
        let ask = Ask::Digest(Box::new(extent));
        stream.write_all(&emit_ask(&ask)).map_err(|error| cause(&error))?;
        let ear = Ear::after(&ask);
        let Ask::Digest(extent) = ask else { return Err("no question".to_owned()) };
        Ok(Asked { stream, ear, extent: *extent, timing })
    }
}

impl Asked<'_> {
    /// Waits for the answer: for the status line within `reply_timeout`, and then for any sign of life
    /// within `idle_timeout`, however long it takes. The error says why there is none.
    pub fn hear(mut self) -> Result<Told, String> {
        let mut buf = [0; READ_BYTES];
        let mut frames: Option<Frames> = None;
        let mut answered = None;
        loop {
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
