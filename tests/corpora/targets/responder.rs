//! A responder's session against a fetcher that says anything, while files are written, rotated, emptied
//! and deleted.
//!
//! The session and the finder are the real ones, over a host in memory. The input is a list of steps, as
//! for the fetcher: each a letter, some with a number behind it; the table is at [`World::step`].
//!
//! What has to hold: what is said is the protocol; every byte is of the one generation that the status
//! line named, at its place, and none twice; a fetcher that asks for the digest of a range is told that of
//! the range; one that takes nothing, or is gone, is soon not there any more.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fetchlogs::config::parse_serve;
use fetchlogs::pos::{FileFacts, FileId, Inode, Offset, Position, Token, Writers};
use fetchlogs::proto::answer::File;
use fetchlogs::proto::ask::{Ask, Extent, emit_ask};
use fetchlogs::proto::asked::{Asked, Sample};
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::fetch::Ear;
use fetchlogs::proto::frame::{Event, Frames};
use fetchlogs::proto::list::{Listing, emit_listing};
use fetchlogs::proto::refusal::Refusal;
use fetchlogs::proto::request::Request;
use fetchlogs::proto::serve::mask;
use fetchlogs::proto::status::Reply;
use fetchlogs::proto::{ALIVE, MASKED};
use fetchlogs::serve::finder::packed::Body;
use fetchlogs::serve::finder::{Finder, Unserved};
use fetchlogs::serve::seam::Seam;
use fetchlogs::serve::session::{Answered, Input, Opening, Output, Session, Times};
use fetchlogs::serve::tail::{Place, View};
use fetchlogs::serve::{FileNo, Files};
use fetchlogs::sys::logs::Logs;

use super::{Split, check_fault, some_time};

const LOG: &str = "/var/log/app.log";

const TIMES: Times = Times {
    request: Duration::from_secs(5),
    heartbeat: Duration::from_secs(60),
    linger: Duration::from_secs(60),
};

const STEPS_MAX: usize = 400;

/// What one step may lead to without anything from outside: a session that does more goes in circles.
const TURNS_MAX: usize = 2000;

/// Deadlines in a row that a fetcher may sleep through.
const DEADLINES_MAX: usize = 400;

const BOOT: &[u8] = b"boot";

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let text = format!("allow 127.0.0.1\nfile {LOG}\n");
    let config = parse_serve("conf", text.as_bytes()).expect("a configuration");
    Files::new(config.files, Path::to_path_buf)
});

/// A file of the host. Each byte says of which generation it is and where in it it stands.
#[derive(Clone, Debug)]
struct Log {
    generation: u8,
    len: usize,
    inode: u64,
    born_ns: u64,
    modified_ns: u64,
    written: bool,
    /// The name it has: `None` once it is deleted, 0 for the current file, N for the N-th rotated one.
    name: Option<usize>,
}

/// The host, as the finder sees it.
#[derive(Debug)]
struct Host {
    logs: Vec<Log>,
    now_ns: u64,
    generations: u8,
}

fn content(generation: u8, at: Offset) -> u8 {
    // A byte that means "alive" in protocol 1 is among them: it is sent as another.
    (generation << 4) | (at & 15) as u8
}

impl Log {
    fn byte(&self, at: usize) -> u8 {
        content(self.generation, at as Offset)
    }
}

impl Host {
    fn named(&self, name: usize) -> Option<usize> {
        self.logs.iter().position(|log| log.name == Some(name))
    }

    fn create(&mut self) {
        self.generations = (self.generations + 1) % 16;
        let used = |inode| self.logs.iter().any(|log| log.name.is_some() && log.inode == inode);
        let inode = (10..).find(|&inode| !used(inode)).unwrap_or_default();
        self.logs.push(Log {
            generation: self.generations,
            len: 0,
            inode,
            born_ns: self.now_ns,
            modified_ns: self.now_ns,
            written: true,
            name: Some(0),
        });
    }

    fn shift(&mut self) {
        self.logs.iter_mut().filter_map(|log| log.name.as_mut()).for_each(|name| *name += 1);
    }

    fn number(path: &Path) -> Option<usize> {
        let rest = path.to_str()?.strip_prefix(LOG)?;
        if rest.is_empty() { Some(0) } else { rest.strip_prefix('.')?.parse().ok() }
    }
}

impl Logs for Host {
    type File = usize;

    fn open(&self, path: &Path) -> io::Result<usize> {
        let named = Host::number(path).and_then(|number| self.named(number));
        named.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, _: &Path, _: usize) -> io::Result<Vec<OsString>> {
        let name = |name| match name {
            0 => OsString::from("app.log"),
            number => OsString::from(format!("app.log.{number}")),
        };
        Ok(self.logs.iter().filter_map(|log| log.name).map(name).collect())
    }

    fn facts(&self, &file: &usize) -> io::Result<FileFacts> {
        let log = &self.logs[file];
        Ok(FileFacts {
            id: FileId { inode: log.inode, generation: None, birth_ns: Some(log.born_ns) },
            device: 1,
            size: log.len as u64,
            modified_ns: log.modified_ns,
            links: u64::from(log.name.is_some()),
            regular: true,
        })
    }

    fn generation(&self, &file: &usize) -> Option<u32> {
        Some(file as u32)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        match self.open(path) {
            Ok(file) => self.facts(&file).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn wall_ns(&self) -> u64 {
        self.now_ns
    }

    fn read_at(&self, &file: &usize, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let log = &self.logs[file];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(log.len);
        let count = buf.len().min(log.len - from);
        for (at, byte) in buf[..count].iter_mut().enumerate() {
            *byte = log.byte(from + at);
        }
        Ok(count)
    }

    fn writers(&self, &file: &usize) -> Writers {
        if self.logs[file].written { Writers::Somebody } else { Writers::Nobody }
    }
}

/// What the session has open.
#[derive(Debug)]
struct Followed {
    file: usize,
    seam: Seam,
    seen: (Offset, u64),
}

struct World {
    host: Host,
    now: Instant,
    session: Session,
    followed: Option<Followed>,
    /// What a range is proved of, and the generation that it held then.
    proved: Option<(usize, u8)>,
    listed: bool,
    /// What the socket takes before it blocks.
    room: usize,
    fetcher: Fetcher,
    closed: bool,
}

/// What the fetcher knows, by itself.
#[derive(Debug, Default)]
struct Fetcher {
    /// All that it said, of which the first line is the question.
    said: Vec<u8>,
    ask: Option<Ask>,
    ear: Option<Ear>,
    replied: Option<Reply>,
    unread: Vec<u8>,
    frames: Option<Frames>,
    /// Which generation the bytes are of, and where the next belongs.
    of: Option<u8>,
    offset: Offset,
    ended: bool,
}

pub fn target(data: &[u8]) {
    let now = some_time();
    let host = Host { logs: Vec::new(), now_ns: 1_795_132_800_000_000_000, generations: 5 };
    let mut world = World {
        host,
        now,
        session: Session::new(now, TIMES),
        followed: None,
        proved: None,
        listed: false,
        room: 1 << 16,
        fetcher: Fetcher::default(),
        closed: false,
    };
    world.host.create();
    world.write(40);
    let mut steps = data.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(step) = steps.next() else { break };
        if world.closed {
            break;
        }
        world.step(step, &mut steps);
    }
    world.check_end(data.len().is_multiple_of(2));
}

impl World {
    /// | step | |
    /// |---|---|
    /// | `a` N | N bytes are written |
    /// | `r`, `R` | the log is renamed and a new one made; renamed, and none made |
    /// | `n` | a new one is made where there is none |
    /// | `e` | it is emptied in place and N bytes are written to it |
    /// | `c` | it is copied, and emptied in place |
    /// | `d`, `D` | the current file, the oldest rotated one is deleted |
    /// | `v` | all writers but the current one's close |
    /// | `q` N, `Q` N, `p` N, `l` | the fetcher asks for the current generation as it is, in protocol 1, in 2; for the digest of it; for a list |
    /// | `A` N | it says what is durable, N bytes before what it has |
    /// | `[` ... `]` | it says these bytes |
    /// | `s` N | the socket takes N bytes, and no more until it is told again; at first it takes 64 KiB |
    /// | `t` N, `u` | N tenths of a second pass; time to the deadline |
    /// | `h` | the fetcher hangs up |
    fn step(&mut self, step: u8, rest: &mut dyn Iterator<Item = u8>) {
        let mut number = || usize::from(rest.next().unwrap_or(0));
        match step {
            b'a' => {
                let len = number();
                self.write(len);
            }
            b'r' | b'R' => {
                self.host.shift();
                if step == b'r' {
                    self.host.create();
                }
            }
            b'n' if self.host.named(0).is_none() => self.host.create(),
            b'e' => {
                let len = number();
                self.empty(len);
            }
            b'c' => self.copy_and_empty(),
            b'd' => self.delete(0),
            b'D' => {
                let oldest = self.host.logs.iter().filter_map(|log| log.name).max();
                self.delete(oldest.unwrap_or_default());
            }
            b'v' => {
                let others = self.host.logs.iter_mut().filter(|log| log.name != Some(0));
                others.for_each(|log| log.written = false);
            }
            b'q' | b'Q' | b'p' | b'l' => {
                let line = self.question(step, number());
                self.hear(&line);
            }
            b'A' => {
                let durable = self.fetcher.offset.saturating_sub(number() as Offset);
                self.hear(format!("A {durable}\n").as_bytes());
            }
            b'[' => {
                let bytes: Vec<u8> = rest.take_while(|&byte| byte != b']').collect();
                // Byte by byte is as good as in one piece.
                let split =
                    if bytes.len().is_multiple_of(2) { Split::Whole } else { Split::Pieces };
                split.feed(&bytes, |piece| {
                    self.hear(piece);
                    !self.closed
                });
            }
            b's' => {
                self.room = number();
                if self.room > 0 {
                    self.go_on(Input::Writable);
                }
            }
            b't' => self.pass(Duration::from_millis(100) * number() as u32),
            b'u' => self.pass(self.session.deadline().saturating_duration_since(self.now)),
            b'h' => {
                self.go_on(Input::HungUp);
                assert!(self.closed, "a fetcher that is gone is still served");
            }
            _ => {}
        }
        if !self.closed {
            self.go_on(Input::Woken);
        }
    }

    // ---- the host ----

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.host.now_ns += time.as_nanos() as u64;
    }

    fn write(&mut self, len: usize) {
        self.pass(Duration::from_millis(10));
        let Some(current) = self.host.named(0) else { return };
        let now_ns = self.host.now_ns;
        let log = &mut self.host.logs[current];
        log.len += len;
        log.modified_ns = now_ns;
    }

    /// The same file with another generation.
    fn empty(&mut self, len: usize) {
        let Some(current) = self.host.named(0) else { return };
        self.host.generations = (self.host.generations + 1) % 16;
        let generation = self.host.generations;
        let log = &mut self.host.logs[current];
        (log.generation, log.len) = (generation, 0);
        self.write(len);
    }

    fn copy_and_empty(&mut self) {
        let Some(current) = self.host.named(0) else { return };
        self.host.shift();
        self.host.logs[current].name = Some(0);
        let inode = 1 + self.host.logs.iter().map(|log| log.inode).max().unwrap_or_default();
        let (copied, now_ns) = (self.host.logs[current].clone(), self.host.now_ns);
        let copy = Log {
            inode,
            born_ns: now_ns,
            modified_ns: now_ns,
            written: false,
            name: Some(1),
            ..copied
        };
        self.host.logs.push(copy);
        self.empty(0);
    }

    fn delete(&mut self, name: usize) {
        if let Some(file) = self.host.named(name) {
            self.host.logs[file].name = None;
        }
    }

    // ---- the fetcher ----

    /// A question for what there is now, right or a little wrong.
    fn question(&self, step: u8, number: usize) -> Vec<u8> {
        let path = LOG.as_bytes().to_vec();
        let file = self.host.named(number >> 6).or(self.host.named(0));
        let Some(log) = file.map(|file| &self.host.logs[file]) else {
            return format!("{LOG} 0 0 +2\n").into_bytes();
        };
        let bytes: Vec<u8> = (0..log.len).map(|at| log.byte(at)).collect();
        let back = number & 15;
        let offset = bytes.len().saturating_sub(back);
        let have = Position { inode: Inode::new(log.inode), offset: offset as Offset };
        let first = number & 16 != 0;
        let have = (!first).then_some(have);
        let asked = Asked {
            tail: have.and_then(|_| Sample::of(&bytes[offset.saturating_sub(20)..offset])),
            head: have.and_then(|_| Sample::of(&bytes[..offset.min(4096)])),
            seen_ns: (number & 32 != 0).then_some(log.modified_ns),
            ..Asked::default()
        };
        let ask = match (step, have) {
            (b'l', _) => Ask::List { pattern: b"/**".to_vec() },
            (b'p', Some(to)) => {
                let from = to.offset.saturating_sub(13);
                Ask::Digest(Box::new(Extent { path, from, to, asked }))
            }
            (b'q', have) => Ask::Follow(Request { path, have, two: None }),
            (_, have) => Ask::Follow(Request { path, have, two: Some(Box::new(asked)) }),
        };
        emit_ask(&ask)
    }

    fn hear(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.fetcher.said.extend_from_slice(bytes);
            let bytes = bytes.to_vec();
            self.go_on(Input::Heard(&bytes));
        }
    }

    // ---- the shell ----

    fn go_on(&mut self, input: Input<'_>) {
        let mut output = self.session.handle(self.now, input);
        for _ in 0..TURNS_MAX {
            let Some(input) = self.carry_out(output) else { return };
            output = self.session.handle(self.now, input);
        }
        panic!("it does not rest: {:?}", self.session);
    }

    /// What happens next; `None`: it rests, or is closed.
    fn carry_out(&mut self, output: Output) -> Option<Input<'static>> {
        let number = FILES.look_up(LOG.as_bytes()).expect("it is served");
        Some(match output {
            Output::Rest => return None,
            Output::Close(_) => {
                self.closed = true;
                return None;
            }
            Output::Shut => {
                self.fetcher.ended = true;
                return None;
            }
            Output::Find(request) => match FILES.look_up(&request.path) {
                Some(_) => self.find(number, &request),
                None => Input::Refused(Refusal::new(
                    fetchlogs::proto::refusal::Code::NotServed,
                    "it is not in the configuration",
                )),
            },
            Output::Locate(extent) => self.locate(number, &extent),
            Output::Hash(range) => self.hash(range),
            Output::Enlist(_) | Output::List => match std::mem::replace(&mut self.listed, true) {
                true => return None,
                false => Input::Listed { news: news(), complete: true },
            },
            Output::Say => match self.take(self.session.words().to_vec()) {
                0 => Input::Blocked,
                count => Input::Said(count),
            },
            Output::Look => self.look(None),
            Output::AskWriters => {
                let writers = self.followed.as_ref().map(|one| self.host.writers(&one.file));
                self.look(writers)
            }
            Output::SeekSuccessor => {
                let Some(followed) = &self.followed else { return Some(Input::Unreadable) };
                let facts = self.host.facts(&followed.file).expect("facts");
                Input::Successor(self.finder().has_successor(FILES.get(number), &facts))
            }
            Output::Send { from, most, masked } => self.send(from, most, masked),
            Output::Unpack => panic!("nothing is compressed"),
        })
    }

    fn finder(&self) -> Finder<'_, Host> {
        Finder { logs: &self.host, files: &FILES, linger: TIMES.linger, wall_ns: self.host.now_ns }
    }

    fn find(&mut self, number: FileNo, request: &Request) -> Input<'static> {
        let served = FILES.get(number);
        let found = match &request.two {
            None => self.finder().find(served, request.have).map(|found| {
                let seam = Seam::around(&self.host, &found.file, found.from).expect("a seam");
                let (size, answer) = (found.facts.size, Answered::One(found.status));
                (found.file, seam, found.facts, answer, found.from, size, found.quiet)
            }),
            Some(asked) => self.finder().compare(served, request.have, asked).map(|found| {
                let answer = Answered::Two(Box::new(found.answer(boot())));
                let Body::Plain(file) = found.body else { panic!("nothing is compressed") };
                (file, found.seam, found.facts, answer, found.from, found.size, found.quiet)
            }),
        };
        match found {
            Ok((file, seam, facts, answer, from, size, quiet)) => {
                self.fetcher.of = Some(self.host.logs[file].generation);
                self.followed =
                    Some(Followed { file, seam, seen: (facts.size, facts.modified_ns) });
                Input::Opened(Opening { answer, from, size, quiet })
            }
            Err(unserved) => refused(&unserved),
        }
    }

    fn locate(&mut self, number: FileNo, extent: &Extent) -> Input<'static> {
        if FILES.look_up(&extent.path).is_none() {
            let code = fetchlogs::proto::refusal::Code::NotServed;
            return Input::Refused(Refusal::new(code, "it is not in the configuration"));
        }
        match self.finder().prove(FILES.get(number), extent) {
            Ok(found) => {
                let answer = Box::new(found.answer(boot()));
                self.proved = match found.body {
                    Body::Plain(file) => Some((file, self.host.logs[file].generation)),
                    Body::Packed(..) => panic!("nothing is compressed"),
                };
                Input::Located(answer, extent.to.offset)
            }
            Err(unserved) => refused(&unserved),
        }
    }

    fn hash(&mut self, range: Range<Offset>) -> Input<'static> {
        let log = self.proved.map(|(file, _)| &self.host.logs[file]);
        match log.filter(|log| log.len as Offset >= range.end) {
            Some(log) => {
                let bytes: Vec<u8> = range.map(|at| log.byte(at as usize)).collect();
                Input::Hashed(Whole::of(&bytes))
            }
            None => Input::Unreadable,
        }
    }

    fn look(&mut self, writers: Option<Writers>) -> Input<'static> {
        let sent = self.session.sent().unwrap_or(0);
        let Some(followed) = &mut self.followed else { return Input::Unreadable };
        let facts = self.host.facts(&followed.file).expect("facts");
        let place = match self.host.facts_at(LOG.as_ref()).expect("facts") {
            Some(at_path) if at_path.same_file(&facts) => Place::Kept,
            Some(_) => Place::Taken,
            None => Place::Vacant,
        };
        let FileFacts { size, modified_ns, links, .. } = facts;
        let before = std::mem::replace(&mut followed.seen, (size, modified_ns));
        let seam = &followed.seam;
        let intact = before == followed.seen
            || seam.holds(&self.host, &followed.file, sent).expect("bytes")
                && seam.begins(&self.host, &followed.file).expect("bytes");
        Input::Seen(View { size, modified_ns, links, place, writers, intact })
    }

    /// As `serve/conn.rs` does it: the words and bytes in one write.
    fn send(&mut self, from: Offset, most: u64, masked: bool) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let words = self.session.words().to_vec();
        let mut body = vec![0; most.min(300) as usize];
        let count = self.host.read_at(&followed.file, &mut body, from).expect("bytes");
        if count == 0 {
            return Input::Sent(0);
        }
        body.truncate(count);
        if !followed.seam.holds(&self.host, &followed.file, from).expect("bytes") {
            return Input::Emptied;
        }
        let plain = body.clone();
        if masked {
            mask(&mut body);
        }
        let all = [&words[..], &body[..]].concat();
        let len = all.len();
        let taken = self.take(all);
        if taken == 0 {
            return Input::Blocked;
        }
        if !words.is_empty() {
            self.session.handle(self.now, Input::Said(taken.min(words.len())));
        }
        let sent = taken.saturating_sub(words.len());
        if let Some(followed) = &mut self.followed {
            followed.seam.push(&plain[..sent]);
        }
        if taken == len {
            return Input::Sent(sent);
        }
        if sent > 0 {
            self.session.handle(self.now, Input::Sent(sent));
        }
        Input::Blocked
    }

    /// The socket takes what it has room for, and the fetcher reads that.
    fn take(&mut self, mut bytes: Vec<u8>) -> usize {
        bytes.truncate(self.room);
        self.room -= bytes.len();
        // Of one that was emptied since nothing is known.
        let proved = self.proved.map(|(file, as_it_was)| (&self.host.logs[file], as_it_was));
        let proved = proved.filter(|(log, as_it_was)| log.generation == *as_it_was);
        self.fetcher.read(&bytes, proved.map(|(log, _)| log));
        bytes.len()
    }

    /// It ends: at once for who has gone, and in the end for who takes nothing.
    fn check_end(&mut self, hangs_up: bool) {
        // Who waits for news of files may do so for ever: there is nothing to say to it.
        if self.closed || self.listed && !hangs_up {
            return;
        }
        if hangs_up {
            self.go_on(Input::HungUp);
            assert!(self.closed, "a fetcher that is gone is still served");
            return;
        }
        self.room = 0;
        for _ in 0..DEADLINES_MAX {
            self.pass(self.session.deadline().saturating_duration_since(self.now));
            self.go_on(Input::Woken);
            if self.closed {
                return;
            }
        }
        panic!("a fetcher that takes nothing is still served: {:?}", self.session);
    }
}

impl Fetcher {
    fn read(&mut self, bytes: &[u8], proved: Option<&Log>) {
        assert!(!self.ended, "it speaks after its last words");
        self.unread.extend_from_slice(bytes);
        if self.ask.is_none() {
            let line = self.said.split(|&byte| byte == b'\n').next().unwrap_or_default();
            match fetchlogs::proto::ask::parse_ask(line) {
                Ok(ask) => {
                    self.ear = Some(Ear::after(&ask));
                    self.ask = Some(ask);
                }
                // Nothing is said to it but why it is no question.
                Err(_) => {
                    let word = b"E bad-request +2 ";
                    let len = word.len().min(self.unread.len());
                    return assert_eq!(self.unread[..len], word[..len]);
                }
            }
        }
        if let Some(Ask::List { .. }) = &self.ask {
            return;
        }
        while !self.unread.is_empty() {
            match (&mut self.replied, &mut self.ear) {
                (None | Some(Reply::Working), Some(ear)) => {
                    let (used, reply) = ear.handle_peeked(&self.unread).expect("a status line");
                    self.unread.drain(..used);
                    if let Some(reply) = reply {
                        self.begin(reply);
                    }
                }
                (Some(Reply::Refused(_)), _) => panic!("something behind a refusal"),
                _ => self.read_data(proved),
            }
        }
    }

    fn begin(&mut self, reply: Reply) {
        match (&reply, &self.ask) {
            (Reply::One(status), Some(Ask::Follow(request))) => {
                let same = request.have.filter(|have| have.inode == status.inode);
                self.offset = same.map_or(0, |have| have.offset);
            }
            (Reply::Two(answer), Some(Ask::Digest(extent))) if answer.file == File::Same => {
                self.frames = Some(Frames::proving(extent.from, extent.to.offset));
            }
            (Reply::Two(answer), _) => {
                self.offset = answer.from;
                self.frames = Some(Frames::following(answer.from));
            }
            (Reply::Refused(why), _) => check_fault(&why.text()),
            (Reply::One(_) | Reply::Working, _) => {}
        }
        self.replied = Some(reply);
    }

    fn read_data(&mut self, proved: Option<&Log>) {
        let bytes = std::mem::take(&mut self.unread);
        let Some(mut frames) = self.frames.take() else {
            return self.take_plain(&bytes);
        };
        let mut at = 0;
        while let Some(event) = frames.poll_event(&bytes, &mut at).expect("frames") {
            match event {
                Event::Data(range) => {
                    for &byte in &bytes[range] {
                        self.take_byte(byte);
                    }
                }
                Event::Sum(whole) => {
                    let Some(Ask::Digest(extent)) = &self.ask else {
                        panic!("it was not asked for")
                    };
                    let Some(log) = proved else { continue };
                    let range = extent.from..extent.to.offset;
                    let bytes: Vec<u8> = range.map(|at| log.byte(at as usize)).collect();
                    assert_eq!(whole, Whole::of(&bytes));
                }
                Event::Heartbeat { .. } | Event::Close(_) => {}
            }
        }
        self.frames = Some(frames);
    }

    /// In protocol 1 no byte is 0x07, and where one is of the log another stands for it.
    fn take_plain(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == ALIVE {
                continue;
            }
            let of = self.generation_of(byte);
            let expected = match content(of, self.offset) {
                ALIVE => MASKED,
                other => other,
            };
            assert_eq!(byte, expected, "at {} of generation {of}", self.offset);
            self.offset += 1;
        }
    }

    /// Which generation the next byte has to be of. Where there was nothing before it, that is the one
    /// that it is of: the file may have been emptied before anything of it was sent.
    fn generation_of(&mut self, byte: u8) -> u8 {
        let known = self.of.expect("nothing was opened");
        let of = if self.offset == 0 && byte != MASKED { byte >> 4 } else { known };
        *self.of.insert(of)
    }

    fn take_byte(&mut self, byte: u8) {
        let of = self.generation_of(byte);
        assert_eq!(byte, content(of, self.offset), "at {} of generation {of}", self.offset);
        self.offset += 1;
    }
}

fn boot() -> Token {
    Token::parse(BOOT).expect("a token")
}

fn refused(unserved: &Unserved) -> Input<'static> {
    check_fault(&unserved.why);
    Input::Refused(Refusal::new(unserved.code, &unserved.why))
}

/// A list as `serve/listing.rs` gives it.
fn news() -> Vec<u8> {
    let path = LOG.as_bytes().to_vec();
    let file = Listing::File { inode: Inode::new(10), size: 40, mtime_ns: 5, path };
    [emit_listing(&file), emit_listing(&Listing::Complete)].concat()
}
