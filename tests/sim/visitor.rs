//! Others who ask a responder: for the digest of a range, as `fetch_logs --verify` does, and for what is
//! served, as `fetch_logs --list` does. They come and go while the sources are followed, and what they are
//! told has to be true.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use fetchlogs::pos::{Inode, Position, Token};
use fetchlogs::proto::answer::File;
use fetchlogs::proto::ask::{Ask, Extent, emit_ask};
use fetchlogs::proto::asked::Asked;
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::fetch::Ear;
use fetchlogs::proto::frame::{Event, Frames};
use fetchlogs::proto::list::{Listing, parse_listing};
use fetchlogs::proto::status::Reply;
use fetchlogs::sys::logs::Logs;

use crate::rng::Rng;
use crate::wire::Plug;
use crate::world::{LOG, World};

/// What a visitor wants, and has heard of it.
#[derive(Debug)]
enum Visit {
    Digest { ear: Ear, frames: Option<Frames>, from: u64, to: u64, expected: Whole, there: bool },
    List { told: Option<u64>, complete: bool },
}

/// One who asks.
#[derive(Debug)]
pub struct Visitor {
    plug: Plug,
    unsent: Vec<u8>,
    heard: Vec<u8>,
    visit: Visit,
    pub since: Instant,
}

/// How a visitor is after a step.
pub enum Mood {
    /// It waits.
    Waits,
    /// It has what it wanted, or the connection ended.
    Leaves,
    /// It was told something that is not so.
    Wrong(String),
}

impl Visitor {
    /// Somebody who is about to ask for a list, or for the digest of some range of a file that is there.
    /// `there`: nothing is taken away, so it has to be found.
    pub fn new(plug: Plug, world: &World, there: bool, rng: &mut Rng, now: Instant) -> Visitor {
        let paths = world.paths();
        let (ask, visit) = if world.dead || paths.is_empty() || rng.coin() {
            let pattern = b"/var/**".to_vec();
            (Ask::List { pattern }, Visit::List { told: None, complete: false })
        } else {
            let file = paths[rng.below(paths.len() as u64) as usize].1;
            let bytes = world.bytes(file);
            let to = rng.between(0, bytes.len() as u64);
            let from = rng.between(0, to);
            let mut id = world.facts(&file).unwrap().id;
            id.generation = world.generation(&file);
            let extent = Extent {
                path: LOG.as_bytes().to_vec(),
                from,
                to: Position { inode: Inode::new(id.inode), offset: to },
                asked: Asked { id: Some(Token::of_file(&id)), ..Asked::default() },
            };
            let ask = Ask::Digest(Box::new(extent));
            let (ear, expected) = (Ear::after(&ask), Whole::of(&bytes[from as usize..to as usize]));
            (ask, Visit::Digest { ear, frames: None, from, to, expected, there })
        };
        Visitor { plug, unsent: emit_ask(&ask), heard: Vec::new(), visit, since: now }
    }

    pub fn is_lister(&self) -> bool {
        matches!(self.visit, Visit::List { .. })
    }

    /// The file that it thinks is at the path; an error if it was not told all yet.
    pub fn listed(&self) -> Option<Option<u64>> {
        match self.visit {
            Visit::List { told, complete: true } => Some(told),
            _ => None,
        }
    }

    /// Nothing is under way to it, and it would hear if there were.
    pub fn is_idle(&self) -> bool {
        let wire = self.plug.wire();
        wire.is_quiet() && !wire.is_silent()
    }

    /// Asks, or hears what there is to hear.
    pub fn step(&mut self) -> Mood {
        if !self.unsent.is_empty() {
            match self.plug.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Mood::Leaves,
            }
        }
        let mut buffer = [0; 4096];
        match self.plug.read(&mut buffer) {
            Ok(0) => return Mood::Leaves,
            Ok(count) => self.heard.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Mood::Waits,
            Err(_) => return Mood::Leaves,
        }
        match &mut self.visit {
            Visit::List { told, complete } => hear_list(&mut self.heard, told, complete),
            Visit::Digest { ear, frames, from, to, expected, there } => {
                let heard = std::mem::take(&mut self.heard);
                hear_digest(&heard, ear, frames, (*from, *to), *expected, *there)
            }
        }
    }
}

fn hear_list(heard: &mut Vec<u8>, told: &mut Option<u64>, complete: &mut bool) -> Mood {
    while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = heard.drain(..=end).collect();
        match parse_listing(&line[..end]) {
            Ok(Listing::File { inode, path, .. }) if path == LOG.as_bytes() => {
                *told = Some(inode.number());
            }
            Ok(Listing::Gone { path }) if path == LOG.as_bytes() => *told = None,
            Ok(Listing::Complete) => *complete = true,
            Ok(Listing::Refused(_)) => return Mood::Leaves,
            other => return Mood::Wrong(format!("a list has {other:?}")),
        }
    }
    Mood::Waits
}

fn hear_digest(
    heard: &[u8],
    ear: &mut Ear,
    frames: &mut Option<Frames>,
    (from, to): (u64, u64),
    expected: Whole,
    there: bool,
) -> Mood {
    let mut at = 0;
    while frames.is_none() && at < heard.len() {
        let (used, reply) = match ear.handle_peeked(&heard[at..]) {
            Ok(taken) => taken,
            Err(fault) => return Mood::Wrong(format!("a digest is answered by {fault}")),
        };
        at += used;
        match reply {
            None | Some(Reply::Working) => {}
            Some(Reply::Two(answer)) if answer.file == File::Same => {
                *frames = Some(Frames::proving(from, to));
            }
            Some(Reply::Two(answer)) if there => {
                return Mood::Wrong(format!("a file that is there is not found: {answer:?}"));
            }
            Some(Reply::One(_) | Reply::Two(_) | Reply::Refused(_)) => return Mood::Leaves,
        }
    }
    let Some(frames) = frames else { return Mood::Waits };
    loop {
        match frames.poll_event(heard, &mut at) {
            Ok(Some(Event::Sum(whole))) if whole == expected || !there => return Mood::Leaves,
            Ok(Some(Event::Sum(_))) => {
                return Mood::Wrong(format!("the digest of {from}..{to} is wrong"));
            }
            Ok(Some(Event::Heartbeat { .. })) => {}
            Ok(None) => return Mood::Waits,
            other => return Mood::Wrong(format!("a digest comes as {other:?}")),
        }
    }
}
