//! The responder of fetchlogs 1.1, made from what is known of its behaviour.
//!
//! It skips what lies between a complete generation and the current file, refuses offsets beyond the
//! end, knows files by their numbers alone, and looks every 5 s.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use fetchlogs::proto::{ALIVE, request::parse_request};

use crate::wire::Plug;
use crate::world::World;

/// How often fetchlogs 1.1 looks at its file, and after how many looks without news at its name.
const CHECK: Duration = Duration::from_secs(5);
const IDLE_CHECKS: u32 = 13;

/// Its writes wait for room: so often it is looked for here.
const ROOM: Duration = Duration::from_millis(50);

/// A connection of it.
#[derive(Debug)]
pub struct Original {
    pub plug: Plug,
    pub look_at: Instant,
    request: Vec<u8>,
    file: Option<usize>,
    at: usize,
    idle: u32,
}

impl Original {
    pub fn new(plug: Plug, now: Instant) -> Original {
        Original { plug, look_at: now + CHECK, request: Vec::new(), file: None, at: 0, idle: 0 }
    }

    /// Something may have happened. Says whether the connection stays.
    pub fn turn(&mut self, now: Instant, world: &World) -> bool {
        let mut heard = [0; 4096];
        match self.plug.read(&mut heard) {
            Ok(0) => return false,
            // Whatever comes behind the request ends it.
            Ok(_) if self.file.is_some() => return false,
            Ok(count) => self.request.extend(&heard[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        match (self.file, self.request.strip_suffix(b"\n")) {
            (Some(file), _) => self.go_on(now, world, file),
            (None, Some(line)) => {
                let line = line.to_vec();
                self.answer(now, world, &line)
            }
            // It waits so long for the request.
            (None, None) => now < self.look_at,
        }
    }

    /// What the pipe has room for; nothing where the connection is broken.
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.plug.write(bytes).unwrap_or(0)
    }

    fn answer(&mut self, now: Instant, world: &World, line: &[u8]) -> bool {
        let Ok(request) = parse_request(line) else { return false };
        let Some(current) = world.current() else { return false };
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
        self.write(format!("{letter} {}\n", inode(file)).as_bytes());
        (self.file, self.at, self.look_at) = (Some(file), from, now + CHECK);
        if from == world.bytes(file).len() {
            self.write(&[ALIVE]);
        }
        true
    }

    fn go_on(&mut self, now: Instant, world: &World, file: usize) -> bool {
        if now < self.look_at {
            return true;
        }
        let bytes = world.bytes(file);
        if bytes.len() < self.at {
            return false;
        }
        let sent = self.write(&bytes[self.at..]);
        self.at += sent;
        self.look_at = now + if self.at < bytes.len() { ROOM } else { CHECK };
        self.idle = if sent > 0 || self.at < bytes.len() { 0 } else { self.idle + 1 };
        if self.idle >= IDLE_CHECKS {
            self.idle = 0;
            self.write(&[ALIVE]);
            return world.current() == Some(file);
        }
        true
    }
}
