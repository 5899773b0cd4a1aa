//! The fetcher's cores against a responder that says anything, over a file system in memory.
//!
//! The input is a list of steps: what the responder says and when it closes, when time passes, when the
//! worker begins and its report is looked at, which call of the disk fails, when the process is killed
//! and starts again. Each step is a letter, some with a number behind it, so that inputs can be written
//! by hand; the table is at [`World::step`].
//!
//! What has to hold: what the cores took is in the copy at its place; a file holds no byte that was not sent for its place in the generation that it was
//! opened for; the pointer is never ahead of the copy; what the manifest says of an archive is true; the
//! cores never wait for nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchlogs::config::{SourceConfig, parse_fetch};
use fetchlogs::evloop::slots::{Slot, Slots};
use fetchlogs::fetch::entry::Entry;
use fetchlogs::fetch::jobs::{Stored, Task, perform};
use fetchlogs::fetch::late;
use fetchlogs::fetch::manifest::{manifest_path, parse_line, parse_time};
use fetchlogs::fetch::pointer::{Held, parse_pointer, scratch_path};
use fetchlogs::fetch::recheck::{Recheck, recheck};
use fetchlogs::fetch::store::Stamp;
use fetchlogs::fetch::terms::{self, End, Output, SyncPolicy, Timing, Wants};
use fetchlogs::pos::{FileId, Offset};
use fetchlogs::proto::answer::File;
use fetchlogs::proto::ask::Ask;
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::fetch::{Ear, strip_alive};
use fetchlogs::proto::frame::{Event, Frames};
use fetchlogs::proto::request::{Request, emit_request};
use fetchlogs::proto::status::Reply;
use fetchlogs::proto::{ALIVE, MASKED, REQUEST_BYTES_MAX, STATUS_BYTES_MAX};
use fetchlogs::status::event::Fault;

use super::memfs::{MemFs, Number};
use super::{check_fault, some_time};

const COPY: &str = "/d/log";
const POINTER: &str = "/d/log.ptr";

const TIMING: Timing = Timing {
    reconnect: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(3),
    reply_timeout: Duration::from_secs(3),
    idle_timeout: Duration::from_secs(120),
    sync: SyncPolicy::Within(Duration::from_secs(5)),
    recheck: terms::Recheck::After(Duration::from_secs(75)),
};

/// Steps of one input: what needs more has become slow, not new.
const STEPS_MAX: usize = 600;

/// Which of a source's two connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Main,
    Late,
}

const ROLES: [Role; 2] = [Role::Main, Role::Late];

/// A connection, and what the harness knows of it by itself.
#[derive(Debug)]
struct Link {
    /// Sent by the responder and not yet read.
    pipe: Vec<u8>,
    /// Closed by it, or broken.
    ended: Option<bool>,
    ear: Ear,
    asked: Option<Request>,
    frames: Option<Frames>,
    close_said: bool,
    /// Where in its generation the next byte belongs, as the wire says it.
    offset: Offset,
}

/// What may stand at a place of a file: all that was ever sent for it. Sixteen values are told apart,
/// which is enough to tell a byte from its neighbours'.
type Sent = HashMap<(Number, Offset), u16>;

struct World {
    fs: MemFs,
    config: SourceConfig,
    now: Instant,
    secs: u32,
    entry: Entry<MemFs>,
    slot: Slot,
    links: [Option<Link>; 2],
    task: Option<Task<MemFs>>,
    report: Option<Stored<MemFs>>,
    late_task: Option<Recheck<MemFs>>,
    admit: bool,
    sent: Sent,
    /// Bytes that were had before the input began.
    done: bool,
}

pub fn target(data: &[u8]) {
    let Some((&first, steps)) = data.split_first() else { return };
    let mut world = World::new(first);
    let mut steps = steps.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(step) = steps.next() else { break };
        world.step(step, &mut steps);
        world.check_waits();
    }
    world.restart();
    world.check_disk();
}

/// What the responder's generation of that number has at an offset: no period that frames have.
fn content(number: u8, offset: Offset) -> u8 {
    let mixed = (offset ^ (u64::from(number) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    b' ' + ((mixed >> 32) % 95) as u8
}

/// Which of sixteen a byte is.
fn mark(byte: u8) -> u16 {
    1 << ((byte ^ (byte >> 4)) & 15)
}

impl World {
    fn new(first: u8) -> World {
        let options = match first % 4 {
            0 => "",
            1 => "protocol=1",
            2 => "start=history",
            _ => "start=end",
        };
        let text = format!("192.0.2.1 19 /var/log/messages {COPY} {POINTER} {options}\n");
        let config =
            parse_fetch("conf", text.as_bytes()).expect("a configuration").sources.remove(0);
        let fs = MemFs::default();
        let mut world = World {
            entry: new_entry(&config, &fs),
            fs,
            config,
            now: some_time(),
            secs: 0,
            slot: Slots::default().insert_with(|_| ()),
            links: [None, None],
            task: None,
            report: None,
            late_task: None,
            admit: false,
            sent: Sent::new(),
            done: false,
        };
        world.drain();
        world
    }

    /// | step | |
    /// |---|---|
    /// | `t` N | N tenths of a second pass |
    /// | `u` | time passes to the next deadline |
    /// | `c`, `C` | connections are made, can't be made |
    /// | `w`, `W` | the worker does a job; the same, and its report is looked at |
    /// | `r` | the report is looked at |
    /// | `o` N, `n` N, `l` N, `1` N | a status line: the same or the first, the next, lost, of protocol 1; of generation N |
    /// | `d` N, `x` N | N bytes of what is there; N bytes of something else |
    /// | `h`, `e` | a heartbeat at the end; the end |
    /// | `[` ... `]` | these bytes |
    /// | `.`, `!` | the responder closes, the connection breaks |
    /// | `L` | the next three are for the connection for late bytes |
    /// | `k` N, `f` N | the N-th call of the disk from here kills the process, fails |
    /// | `K` | the process is killed and starts again |
    /// | `m` | somebody renames the copy and says so |
    fn step(&mut self, step: u8, rest: &mut dyn Iterator<Item = u8>) {
        match step {
            b't' => self.pass(Duration::from_millis(100) * u32::from(rest.next().unwrap_or(0))),
            b'u' => {
                let next = self.entry.deadline().map(|at| at.saturating_duration_since(self.now));
                self.pass(next.unwrap_or_default());
            }
            b'c' => self.connect(true),
            b'C' => self.connect(false),
            b'w' => self.work(),
            b'W' => {
                self.work();
                self.take_report();
            }
            b'r' => self.take_report(),
            b'L' => {
                for _ in 0..3 {
                    let Some(step) = rest.next() else { return };
                    self.speak(Role::Late, step, rest);
                }
            }
            b'k' => self.fs.held().kill_in = Some(1 + u32::from(rest.next().unwrap_or(0))),
            b'f' => self.fs.held().fail_in = Some(1 + u32::from(rest.next().unwrap_or(0))),
            b'K' => self.restart(),
            b'm' => self.rename_copy(),
            step => self.speak(Role::Main, step, rest),
        }
        self.read();
        if self.fs.is_killed() {
            self.restart();
        }
    }

    // ---- the responder ----

    fn speak(&mut self, role: Role, step: u8, rest: &mut dyn Iterator<Item = u8>) {
        let Some(link) = &mut self.links[role as usize] else { return };
        if link.ended.is_some() {
            return;
        }
        let asked = link.asked.as_ref();
        let from = asked.and_then(|asked| asked.have).map_or(0, |have| have.offset);
        match step {
            b'o' | b'n' | b'l' | b'1' => {
                let number = rest.next().unwrap_or(0);
                let has = asked.is_some_and(|asked| asked.have.is_some());
                let inode = 100 + u32::from(number % 8);
                let line = match (step, has) {
                    (b'o', false) => format!(
                        "O {inode} +2 file=first id={inode}.a boot=b from=0 size=900 mtime=5\n"
                    ),
                    (b'o', true) => format!(
                        "O {inode} +2 file=same id={inode}.a boot=b from={from} size={} mtime=5\n",
                        from + 900
                    ),
                    (b'n', _) => format!(
                        "O {inode} +2 file=next id={inode}.a boot=b from=0 size=9 mtime=5\n"
                    ),
                    (b'l', _) => {
                        let why = ["gone", "digest", "short"][usize::from(number / 8) % 3];
                        format!(
                            "L {inode} +2 file=next why={why} id={inode}.a boot=b from=0 size=9 mtime=5\n"
                        )
                    }
                    _ => format!("{} {inode}\n", if number & 8 == 0 { 'O' } else { 'L' }),
                };
                link.pipe.extend_from_slice(line.as_bytes());
            }
            b'd' | b'x' => {
                let len = Offset::from(rest.next().unwrap_or(0)) + 1;
                let at = link.unread_offset();
                if link.asked.is_none() || link.ends_in_frames() {
                    link.pipe.extend_from_slice(format!("D {len}\n").as_bytes());
                }
                let number = if step == b'd' { 0 } else { 1 };
                link.pipe.extend((at..at + len).map(|at| content(number, at)));
            }
            b'h' if link.frames.is_none() => link.pipe.push(ALIVE),
            b'h' => {
                let at = link.unread_offset();
                link.pipe.extend_from_slice(format!("H {at} 7\n").as_bytes());
            }
            b'e' => {
                let at = link.unread_offset();
                link.pipe.extend_from_slice(format!("C rotated {at}\n").as_bytes());
            }
            b'[' => link.pipe.extend(rest.take_while(|&byte| byte != b']')),
            b'.' => link.ended = Some(true),
            b'!' => link.ended = Some(false),
            _ => {}
        }
    }

    fn connect(&mut self, works: bool) {
        for role in ROLES {
            let Some(link) = &self.links[role as usize] else { continue };
            if link.asked.is_some() {
                continue;
            }
            match (role, works) {
                (Role::Main, true) => {
                    self.entry.core.handle_connected(self.now);
                    self.entry.late.handle_reachable(self.now);
                }
                (Role::Main, false) => {
                    let fault = Fault::InitConnect("connection refused".to_owned());
                    self.entry.core.handle_unreachable(self.now, fault);
                }
                (Role::Late, true) => self.entry.late.handle_connected(self.now),
                (Role::Late, false) => self.entry.late.handle_unreachable(self.now, "refused"),
            }
            self.drain();
        }
    }

    // ---- the fetcher's shell ----

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.secs += time.as_secs() as u32;
        if self.entry.core.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.entry.core.handle_due(self.now);
        }
        if self.entry.late.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.entry.late.handle_due(self.now);
        }
        self.drain();
    }

    fn wants(&self, role: Role) -> Wants {
        match role {
            Role::Main => self.entry.core.wants(),
            Role::Late => self.entry.late.wants(),
        }
    }

    /// All that both connections have to be read, and may be.
    fn read(&mut self) {
        for role in ROLES {
            while self.read_once(role) {
                self.drain();
            }
            self.drain();
        }
    }

    /// Whether there may be more.
    fn read_once(&mut self, role: Role) -> bool {
        let wants = self.wants(role);
        let Some(link) = &mut self.links[role as usize] else { return false };
        if link.asked.is_none() || wants == Wants::Nothing {
            return false;
        }
        if link.pipe.is_empty() {
            let Some(in_order) = link.ended else { return false };
            let cut = wants == Wants::Data && link.frames.is_some() && !link.close_said;
            let end = match in_order && !cut {
                true => End::Closed,
                false => End::Broken("connection closed".to_owned()),
            };
            match role {
                Role::Main => self.entry.core.handle_end(self.now, end),
                Role::Late => self.entry.late.handle_end(self.now, end),
            }
            // A core that stays where it is after an end would be told of it for ever.
            self.drain();
            assert!(self.links[role as usize].is_none(), "{role:?} keeps a dead connection");
            return false;
        }
        match wants {
            Wants::Nothing => false,
            Wants::Status => self.read_status(role),
            Wants::Data => self.read_data(role),
        }
    }

    fn read_status(&mut self, role: Role) -> bool {
        let Some(link) = &mut self.links[role as usize] else { return false };
        let seen = link.pipe.len().min(STATUS_BYTES_MAX);
        let reply = match link.ear.handle_peeked(&link.pipe[..seen]) {
            Ok((used, reply)) => {
                link.pipe.drain(..used);
                reply
            }
            Err(fault) => {
                self.fault(role, &fault);
                return true;
            }
        };
        let Some(reply) = reply else { return true };
        link.begin(&reply);
        match (role, &reply) {
            (Role::Late, reply) => self.entry.late.handle_reply(self.now, reply),
            (Role::Main, Reply::One(status)) => self.entry.core.handle_status(self.now, *status),
            (Role::Main, Reply::Two(answer)) => self.entry.core.handle_answer(self.now, answer),
            (Role::Main, Reply::Refused(why)) => self.entry.core.handle_refusal(self.now, why),
            (Role::Main, Reply::Working) => self.entry.core.handle_working(self.now),
        }
        true
    }

    fn fault(&mut self, role: Role, fault: &fetchlogs::proto::WireFault) {
        check_fault(fault);
        match role {
            Role::Main => self.entry.core.handle_wire_fault(self.now, fault),
            Role::Late => self.entry.late.handle_wire_fault(self.now, fault),
        }
    }

    fn read_data(&mut self, role: Role) -> bool {
        let Some(link) = &mut self.links[role as usize] else { return false };
        let mut bytes = std::mem::take(&mut link.pipe);
        let Some(mut frames) = link.frames.take() else {
            let len = strip_alive(&mut bytes);
            let alive = len < bytes.len();
            self.take(role, &bytes[..len], alive);
            return true;
        };
        let mut at = 0;
        while self.wants(role) == Wants::Data {
            match frames.poll_event(&bytes, &mut at) {
                Ok(Some(Event::Data(range))) => self.take(role, &bytes[range], false),
                Ok(Some(Event::Heartbeat { size, mtime_ns })) => {
                    let at_end = size == frames.offset();
                    match role {
                        Role::Main => {
                            self.entry.core.handle_heartbeat(self.now, size, at_end, mtime_ns);
                        }
                        Role::Late => self.entry.late.handle_heartbeat(self.now, at_end),
                    }
                }
                Ok(Some(Event::Close(_))) => {
                    if let Some(link) = &mut self.links[role as usize] {
                        link.close_said = true;
                    }
                    if role == Role::Late {
                        self.entry.late.handle_close();
                    }
                }
                Ok(Some(Event::Sum(_))) => panic!("a digest that nobody asked for"),
                Ok(None) => break,
                Err(fault) => self.fault(role, &fault),
            }
        }
        if let Some(link) = &mut self.links[role as usize] {
            link.frames = Some(frames);
        }
        if role == Role::Main {
            self.entry.core.handle_drained();
        }
        true
    }

    /// Gives data to the core, and notes where it may be found from now on.
    fn take(&mut self, role: Role, bytes: &[u8], alive: bool) {
        let file = match role {
            Role::Main => self.entry.copy.as_ref().map(|copy| copy.id),
            Role::Late => self.entry.archive.as_ref().map(|archive| archive.id),
        };
        if let (Some(link), Some(file)) = (&mut self.links[role as usize], file) {
            for &byte in bytes {
                *self.sent.entry((number(&file), link.offset)).or_default() |= mark(byte);
                link.offset += 1;
            }
        }
        match role {
            Role::Main => {
                let before = *self.entry.core.place();
                self.entry.take_data(self.now, bytes, alive);
                let after = *self.entry.core.place();
                // Of what a fault left behind nothing is believed.
                if let Some(file) = file.filter(|_| after.base == before.base) {
                    let taken = after.at.saturating_sub(before.at) as usize;
                    assert!(taken <= bytes.len());
                    let held = self.fs.held();
                    let there = held.files[number(&file)].get(before.at as usize..);
                    let there = there.unwrap_or_default().get(..taken);
                    assert!(there.is_some_and(|there| alike(there, bytes)), "{before:?}");
                }
            }
            Role::Late => self.entry.take_late(self.now, bytes),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.entry.core.poll_output() {
            match output {
                Output::Connect => self.links[0] = Some(Link::new()),
                Output::Ask(request) => {
                    let request = self.entry.with_samples(request);
                    self.ask(Role::Main, request);
                }
                Output::Close => self.links[0] = None,
                Output::Do(job) => {
                    assert!(self.task.is_none() && self.report.is_none(), "two jobs at once");
                    self.task = Some(self.entry.task(self.slot, job));
                }
                Output::Tell(event) => check_fault(&event),
                Output::Fail(fault) => check_fault(&fault),
                Output::Acknowledge(durable) => self.check_durable(durable),
                Output::Complete | Output::GiveUp => self.done = true,
                Output::Succeed => {}
            }
        }
        self.drain_late();
    }

    fn drain_late(&mut self) {
        while let Some(output) = self.entry.late.poll_output() {
            match output {
                late::Output::Admit => self.admit = true,
                late::Output::Connect => self.links[1] = Some(Link::new()),
                late::Output::Ask(request) => {
                    let request = self.entry.with_archive_samples(request);
                    self.ask(Role::Late, request);
                }
                late::Output::Open => self.late_task = self.entry.recheck(self.slot, None),
                late::Output::Record(place) => {
                    self.late_task = self.entry.recheck(self.slot, Some(place));
                    self.links[1] = None;
                }
                late::Output::Close => {
                    self.entry.archive = None;
                    self.links[1] = None;
                }
                late::Output::Tell(event) => check_fault(&event),
                late::Output::Note(what) => check_fault(&what),
            }
        }
        if std::mem::take(&mut self.admit) && self.entry.late.queued() {
            self.entry.admit_late(self.now);
            self.drain();
        }
    }

    fn ask(&mut self, role: Role, request: Request) {
        let line = emit_request(&request);
        assert!(line.len() <= REQUEST_BYTES_MAX + 1 && line.ends_with(b"\n"));
        if let Some(link) = &mut self.links[role as usize] {
            link.ear = Ear::after(&Ask::Follow(request.clone()));
            link.asked = Some(request);
        }
    }

    // ---- the worker ----

    fn work(&mut self) {
        let stamp = Stamp {
            name: format!("2026112200{:04}", self.secs % 10_000),
            time: parse_time("2026-11-22T00:00:03Z").expect("a time"),
        };
        if let Some(task) = self.task.take() {
            self.report = Some(perform(task, &stamp).unwrap_or_else(Stored::Failed));
        }
        if let Some(task) = self.late_task.take() {
            let done = recheck(&task, &stamp);
            self.entry.handle_rechecked(self.now, done);
            self.drain();
        }
    }

    fn take_report(&mut self) {
        if let Some(stored) = self.report.take() {
            if let Stored::Failed(fault) = &stored {
                check_fault(fault);
            }
            for event in self.entry.handle_stored(self.now, stored) {
                check_fault(&event);
            }
            self.drain();
        }
    }

    /// A new process, which finds what the one before has left.
    fn restart(&mut self) {
        self.fs.begin_life();
        self.check_disk();
        (self.links, self.task, self.report, self.late_task) = ([None, None], None, None, None);
        (self.admit, self.done) = (false, false);
        self.entry = new_entry(&self.config, &self.fs);
        self.drain();
    }

    fn rename_copy(&mut self) {
        let mut held = self.fs.held();
        let name = PathBuf::from(format!("{COPY}.moved{}", held.names.len()));
        if !held.names.contains_key(&name)
            && let Some(number) = held.names.remove(Path::new(COPY))
        {
            held.names.insert(name, number);
            drop(held);
            self.entry.core.handle_reopen();
            self.drain();
        }
    }

    // ---- what has to hold ----

    /// Whoever waits for nothing waits for ever.
    fn check_waits(&self) {
        let works = self.task.is_some() || self.report.is_some() || self.late_task.is_some();
        assert!(
            self.done || works || self.entry.core.deadline().is_some(),
            "{:?}",
            self.entry.core
        );
    }

    fn pointer(&self) -> Option<fetchlogs::fetch::pointer::Pointer> {
        match parse_pointer(&self.fs.content(Path::new(POINTER))?) {
            Ok(Held::Pointer(pointer)) => Some(*pointer),
            other => panic!("the pointer holds {other:?}"),
        }
    }

    /// What the responder is told to be durable is what the pointer says.
    fn check_durable(&self, durable: Offset) {
        let pointer = self.pointer().expect("a pointer");
        assert!(durable <= pointer.base + pointer.durable, "{durable} of {pointer:?}");
    }

    fn check_disk(&self) {
        let pointer = self.pointer();
        let held = self.fs.held();
        if let Some(pointer) = &pointer {
            let content = &held.files[number(&pointer.copy)];
            assert!(content.len() as u64 >= pointer.durable, "{} of {pointer:?}", content.len());
            assert!(held.names.values().any(|&file| file == number(&pointer.copy)));
        }
        let aside = [
            PathBuf::from(POINTER),
            scratch_path(Path::new(POINTER)),
            manifest_path(Path::new(POINTER)),
        ];
        for (path, &file) in held.names.iter().filter(|(path, _)| !aside.contains(path)) {
            self.check_file(path, file, &held.files[file]);
        }
        let manifest = held.names.get(&aside[2]).map_or(&[][..], |&file| &held.files[file]);
        let mut counts = HashMap::new();
        for line in manifest.split_inclusive(|&byte| byte == b'\n').filter_map(parse_line) {
            assert!(line.from <= line.to);
            counts.insert(line.archive.clone(), line);
        }
        for (name, line) in counts {
            let Some(name) = name else { continue };
            let Some(&file) = held.names.get(&Path::new(COPY).with_file_name(name)) else {
                continue;
            };
            // What is about to become an archive may be cut before its last line is written.
            if pointer.as_ref().is_some_and(|pointer| number(&pointer.copy) == file) {
                continue;
            }
            let archive = &held.files[file];
            let len = (line.to - line.from) as usize;
            assert!(archive.len() >= len, "{} bytes: {line:?}", archive.len());
            assert_eq!(Whole::of(&archive[..len]), line.digest, "{line:?}");
        }
    }

    /// Every byte was sent for its place; the first one's is where some byte was.
    fn check_file(&self, path: &Path, file: Number, content: &[u8]) {
        // The end of a copy that could not be compared any more: of another file, and told.
        let apart = path.to_string_lossy().contains(".unverified.");
        if content.is_empty() || apart {
            return;
        }
        let begins = self.sent.keys().filter(|(of, _)| *of == file).map(|(_, at)| *at).min();
        let Some(base) = begins else { panic!("{}: nothing was sent for it", path.display()) };
        for (at, &byte) in content.iter().enumerate() {
            let sent = self.sent.get(&(file, base + at as Offset)).copied().unwrap_or_default();
            assert!(sent & mark(byte) != 0, "{} at {at}: {byte:#x} was not sent", path.display());
        }
    }
}

impl Link {
    fn new() -> Link {
        Link {
            pipe: Vec::new(),
            ended: None,
            ear: Ear::new(),
            asked: None,
            frames: None,
            close_said: false,
            offset: 0,
        }
    }

    /// The status line has come.
    fn begin(&mut self, reply: &Reply) {
        let have = self.asked.as_ref().and_then(|asked| asked.have);
        match reply {
            Reply::One(status) => {
                let same = have.filter(|have| have.inode == status.inode);
                self.offset = same.map_or(0, |have| have.offset);
            }
            Reply::Two(answer) => {
                assert!(answer.file != File::Same || have.is_some_and(|h| h.offset == answer.from));
                self.offset = answer.from;
                self.frames = Some(Frames::following(answer.from));
            }
            Reply::Refused(_) | Reply::Working => {}
        }
    }

    fn ends_in_frames(&self) -> bool {
        self.frames.is_some() || self.pipe.windows(4).any(|four| four == b" +2 ")
    }

    /// Where the byte belongs that is sent next, as far as that can be told from outside.
    fn unread_offset(&self) -> Offset {
        self.frames.as_ref().map_or(self.offset, Frames::offset)
    }
}

fn new_entry(config: &SourceConfig, fs: &MemFs) -> Entry<MemFs> {
    Entry::new(config.clone(), TIMING, fs.clone(), "boot".into(), 1)
}

/// Whether a copy has what was sent, as far as it has it; protocol 1 sends another byte for 0x07.
fn alike(copy: &[u8], sent: &[u8]) -> bool {
    copy.iter().zip(sent).all(|(copy, sent)| copy == sent || (copy, sent) == (&MASKED, &ALIVE))
}

/// The number of the file with that identity.
fn number(id: &FileId) -> Number {
    (id.inode - 1000) as Number
}
