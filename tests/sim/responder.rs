//! The other end of the connection: ours, which is the real finder and the real session over the
//! simulated files, and that of fetchlogs 1.1, made from what is known of its behaviour.
//!
//! Both give bytes to a pipe that takes only so many at once, and are asked to go on whenever a file
//! may have changed or their time has come.

use std::time::{Duration, Instant};

use fetchlogs::config::parse_serve;
use fetchlogs::proto::{ALIVE, request::parse_request};
use fetchlogs::serve::Files;
use fetchlogs::serve::finder::Finder;
use fetchlogs::serve::session::{Answered, Input, Opening, Output, Session, Times};
use fetchlogs::serve::tail::{Place, View};
use fetchlogs::sys::logs::Logs;

use crate::world::{LOG, World};

pub const TIMES: Times = Times {
    request: Duration::from_secs(5),
    heartbeat: Duration::from_secs(60),
    linger: Duration::from_secs(60),
};

/// How often fetchlogs 1.1 looks at its file, and after how many looks without news at its name.
const CHECK: Duration = Duration::from_secs(5);
const IDLE_CHECKS: u32 = 13;

/// The way from the responder to the fetcher, as far as the kernels hold it.
#[derive(Debug, Default)]
pub struct Pipe {
    pub bytes: std::collections::VecDeque<u8>,
    pub room: usize,
}

impl Pipe {
    /// Takes what it has room for.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room.saturating_sub(self.bytes.len()));
        self.bytes.extend(&bytes[..count]);
        count
    }
}

/// The table of what is served.
pub fn served() -> Files {
    let text = format!("listen 127.0.0.1:1\nallow 127.0.0.1\nfile {LOG}\n");
    let config = parse_serve("simulation", text.as_bytes()).unwrap();
    Files::new(config.files, |path| path.to_path_buf())
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There is one.
pub enum Serving {
    Ours { session: Session, file: Option<usize> },
    Original(Original),
}

impl Serving {
    pub fn ours(now: Instant) -> Serving {
        Serving::Ours { session: Session::new(now, TIMES), file: None }
    }

    pub fn original(now: Instant) -> Serving {
        Serving::Original(Original { file: None, at: 0, idle: 0, look_at: now })
    }

    /// When it goes on by itself.
    pub fn deadline(&self) -> Instant {
        match self {
            Serving::Ours { session, .. } => session.deadline(),
            Serving::Original(original) => original.look_at,
        }
    }

    /// The request has come. Says whether the connection stays.
    pub fn hear(
        &mut self,
        now: Instant,
        line: &[u8],
        world: &World,
        files: &Files,
        pipe: &mut Pipe,
    ) -> bool {
        match self {
            Serving::Ours { session, file } => {
                let output = session.handle(now, Input::Heard(line));
                carry_out(session, file, output, now, world, files, pipe)
            }
            Serving::Original(original) => original.hear(now, line, world, pipe),
        }
    }

    /// Something may have happened. Says whether the connection stays.
    pub fn go_on(&mut self, now: Instant, world: &World, files: &Files, pipe: &mut Pipe) -> bool {
        match self {
            Serving::Ours { session, file } => {
                let room = pipe.bytes.len() < pipe.room;
                let input = if room { Input::Writable } else { Input::Woken };
                let output = session.handle(now, input);
                carry_out(session, file, output, now, world, files, pipe)
            }
            Serving::Original(original) => original.go_on(now, world, pipe),
        }
    }
}

/// What `serve/conn.rs` does with a socket and the disk.
fn carry_out(
    session: &mut Session,
    followed: &mut Option<usize>,
    mut output: Output,
    now: Instant,
    world: &World,
    files: &Files,
    pipe: &mut Pipe,
) -> bool {
    let finder = Finder { logs: world, files, linger: TIMES.linger, wall_ns: world.now_ns };
    loop {
        let input = match (output, *followed) {
            (Output::Rest, _) => return true,
            (Output::Close(_) | Output::Shut, _) => return false,
            (Output::Find(request), _) => match finder.find(files.get(0), request.have) {
                Ok(found) => {
                    *followed = Some(found.file);
                    let answer = Answered::One(found.status);
                    let (from, size, quiet) = (found.from, found.facts.size, found.quiet);
                    Input::Opened(Opening { answer, from, size, quiet })
                }
                Err(_) => return false,
            },
            (Output::Say, _) => match pipe.write(session.words()) {
                0 => Input::Blocked,
                count => Input::Said(count),
            },
            (Output::Locate(_) | Output::Hash(_) | Output::Unpack, _)
            | (Output::Enlist(_) | Output::List, _) => return false,
            (_, None) => Input::Unreadable,
            (Output::Look, Some(file)) => Input::Seen(view(world, file)),
            (Output::AskWriters, Some(file)) => {
                Input::Seen(View { writers: Some(world.writers(&file)), ..view(world, file) })
            }
            (Output::SeekSuccessor, Some(file)) => {
                let facts = world.facts(&file).unwrap();
                Input::Successor(finder.has_successor(files.get(0), &facts))
            }
            (Output::Send { from, .. }, Some(file)) => {
                let rest = world.bytes(file).get(from as usize..).unwrap_or_default();
                match pipe.write(rest) {
                    0 if rest.is_empty() => Input::Sent(0),
                    0 => Input::Blocked,
                    count => Input::Sent(count),
                }
            }
        };
        output = session.handle(now, input);
    }
}

fn view(world: &World, file: usize) -> View {
    let facts = world.facts(&file).unwrap();
    let place = match world.facts_at(LOG.as_ref()).unwrap() {
        Some(at_path) if at_path.same_file(&facts) => Place::Kept,
        Some(_) => Place::Taken,
        None => Place::Vacant,
    };
    View {
        size: facts.size,
        modified_ns: facts.modified_ns,
        links: facts.links,
        place,
        writers: None,
        intact: true,
    }
}

/// A connection of fetchlogs 1.1. It skips what lies between a complete generation and the current
/// file, refuses offsets beyond the end, and knows files by their numbers alone.
#[derive(Debug)]
pub struct Original {
    file: Option<usize>,
    at: usize,
    idle: u32,
    look_at: Instant,
}

impl Original {
    fn hear(&mut self, now: Instant, line: &[u8], world: &World, pipe: &mut Pipe) -> bool {
        let Ok(request) = parse_request(line.trim_ascii_end()) else { return false };
        let Some((_, current)) = world.paths().into_iter().find(|(path, _)| path.ends_with("log"))
        else {
            return false;
        };
        let inode = |file: usize| world.files[file].inode;
        let (letter, file, from) = match request.have {
            None => ('O', current, 0),
            Some(have) => {
                let asked = |&(_, file): &(_, usize)| inode(file) == have.inode.number();
                match world.paths().into_iter().find(asked) {
                    Some((_, file)) if file == current => ('O', current, have.offset as usize),
                    Some((_, file)) if world.bytes(file).len() == have.offset as usize => {
                        ('O', current, 0)
                    }
                    Some((_, file)) => ('O', file, have.offset as usize),
                    None => ('L', current, 0),
                }
            }
        };
        if from > world.bytes(file).len() {
            return false;
        }
        pipe.write(format!("{letter} {}\n", inode(file)).as_bytes());
        (self.file, self.at, self.look_at) = (Some(file), from, now + CHECK);
        if from == world.bytes(file).len() {
            pipe.write(&[ALIVE]);
        }
        true
    }

    fn go_on(&mut self, now: Instant, world: &World, pipe: &mut Pipe) -> bool {
        let Some(file) = self.file else { return true };
        if now < self.look_at {
            return true;
        }
        let bytes = world.bytes(file);
        if bytes.len() < self.at {
            return false;
        }
        let sent = pipe.write(&bytes[self.at..]);
        self.at += sent;
        self.look_at = now + CHECK;
        self.idle = if sent > 0 || self.at < bytes.len() { 0 } else { self.idle + 1 };
        if self.idle >= IDLE_CHECKS {
            self.idle = 0;
            pipe.write(&[ALIVE]);
            return view(world, file).place == Place::Kept;
        }
        true
    }
}
