//! The responder's process, as far as one source goes: the real connections, and what is done for
//! them, over the simulated files.
//!
//! [`Serving`] does what `serve/responder.rs` does with its tables: a connection has a turn when its
//! socket is ready, when something was done to the log and the hint of it was not lost, when what was
//! done for it is over, when its time has come, and at every check. An errand waits before it begins
//! and its report before it is looked at; before each of its calls, and of those of the loop, somebody
//! may do something to the log.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fetchlogs::config::parse_serve;
use fetchlogs::evloop::Readiness;
use fetchlogs::evloop::slots::{Slot, Slots};
use fetchlogs::pos::{FileFacts, Token, Writers};
use fetchlogs::serve::Files;
use fetchlogs::serve::conn::{Conn, Desk, Turn};
use fetchlogs::serve::crowd::{Crowd, Limits};
use fetchlogs::serve::errands::Done;
use fetchlogs::serve::jobs::{Errand, Hands, Lane, Work};
use fetchlogs::serve::listing::Look;
use fetchlogs::serve::session::Times;
use fetchlogs::sys::logs::{Logs, Stream};

use crate::original::Original;
use crate::rng::Rng;
use crate::wire::{End, Plug};
use crate::world::{LOG, OLD, World};

pub const TIMES: Times = Times {
    request: Duration::from_secs(5),
    heartbeat: Duration::from_secs(60),
    linger: Duration::from_secs(60),
};

/// How often everything is looked at, hints or not.
const CHECK: Duration = Duration::from_secs(5);

/// What may happen between two calls of the responder; chances in ten thousand calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meanwhile {
    /// Somebody does something to the log.
    pub deeds: u64,
    /// No file can be opened, since as many are open as may be.
    pub full: u64,
}

/// The host of one source: its log, and what happens while somebody looks.
#[derive(Debug)]
pub struct Scene {
    pub world: World,
    pub meanwhile: Meanwhile,
    /// Something was done since the responder was told.
    pub acted: bool,
    rng: Rng,
}

/// The files of the host, for the responder.
#[derive(Clone, Debug)]
pub struct SimLogs(Arc<Mutex<Scene>>);

impl SimLogs {
    pub fn new(world: World, meanwhile: Meanwhile, rng: Rng) -> SimLogs {
        SimLogs(Arc::new(Mutex::new(Scene { world, meanwhile, acted: false, rng })))
    }

    /// For the simulation itself.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap()
    }

    /// Before each call somebody may have done something.
    fn enter(&self) -> MutexGuard<'_, Scene> {
        let mut held = self.scene();
        let scene = &mut *held;
        if scene.rng.hits(scene.meanwhile.deeds) {
            scene.world.act();
            scene.acted = true;
        }
        held
    }
}

impl Logs for SimLogs {
    type File = usize;

    fn open(&self, path: &Path) -> io::Result<usize> {
        let mut scene = self.enter();
        let full = scene.meanwhile.full;
        if scene.rng.hits(full) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        scene.world.open(path)
    }

    fn names(&self, dir: &Path, names_max: usize) -> io::Result<Vec<OsString>> {
        self.enter().world.names(dir, names_max)
    }

    fn facts(&self, file: &usize) -> io::Result<FileFacts> {
        self.enter().world.facts(file)
    }

    fn generation(&self, file: &usize) -> Option<u32> {
        self.scene().world.generation(file)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        self.enter().world.facts_at(path)
    }

    fn read_at(&self, file: &usize, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.enter().world.read_at(file, buf, offset)
    }

    fn writers(&self, file: &usize) -> Writers {
        self.enter().world.writers(file)
    }

    fn stream(&self, file: &usize) -> io::Result<Stream> {
        self.scene().world.stream(file)
    }

    fn wall_ns(&self) -> u64 {
        self.scene().world.wall_ns()
    }
}

/// An errand that waits.
struct Waiting {
    number: u64,
    slot: Slot,
    stop: Arc<AtomicBool>,
    work: Work<usize>,
}

/// The responder's threads.
#[derive(Default)]
pub struct Pool {
    count: u64,
    waiting: VecDeque<Waiting>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} errands wait", self.waiting.len())
    }
}

impl Hands<usize> for Pool {
    fn run(&mut self, lane: Lane, slot: Slot, work: Work<usize>) -> Errand {
        self.count += 1;
        let (errand, stop) = Errand::new(lane, self.count);
        self.waiting.push_back(Waiting { number: self.count, slot, stop, work });
        errand
    }

    fn forget(&mut self, errand: &Errand) {
        self.waiting.retain(|one| one.number != errand.number());
    }
}

/// One who is served.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There are two.
enum Guest {
    Ours(Conn<Plug, usize>),
    /// By fetchlogs 1.1.
    Original(Original),
}

/// What the responder of one run has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    pub accepted: u64,
    pub errands: u64,
    pub called_off: u64,
    pub failed: u64,
}

impl Served {
    pub fn add(&mut self, one: &Served) {
        self.accepted += one.accepted;
        self.errands += one.errands;
        self.called_off += one.called_off;
        self.failed += one.failed;
    }
}

/// A responder's process.
#[derive(Debug)]
pub struct Serving {
    desk: Desk<SimLogs, Pool>,
    guests: Slots<Guest>,
    crowd: Crowd<Slot>,
    next_check: Instant,
    /// Errands that are over, and nobody has looked.
    over: VecDeque<(Slot, Done<usize>)>,
    original: bool,
    pub served: Served,
    /// Why connections were closed since somebody asked, for the trace.
    pub closed: Vec<String>,
}

/// The table of what is served.
fn files() -> Files {
    let text = format!(
        "listen 127.0.0.1:1\nallow 127.0.0.1\nfile {LOG} {LOG}.* {LOG}-* {OLD}/log.* {OLD}/log-*\n"
    );
    let config = parse_serve("simulation", text.as_bytes()).unwrap();
    Files::new(config.files, |path| path.to_path_buf())
}

impl Serving {
    pub fn new(logs: SimLogs, boot: u64, original: bool, now: Instant) -> Serving {
        let boot = Token::of_number(boot);
        let desk = Desk::new(logs, files(), TIMES, Pool::default(), boot);
        Serving {
            desk,
            guests: Slots::default(),
            crowd: Crowd::new(Limits { connections: 100, per_address: 100 }),
            next_check: now,
            over: VecDeque::new(),
            original,
            served: Served::default(),
            closed: Vec::new(),
        }
    }

    /// Somebody has connected.
    pub fn accept(&mut self, now: Instant, plug: Plug) {
        self.served.accepted += 1;
        let original = self.original;
        let peer: SocketAddr = "192.0.2.100:2000".parse().unwrap();
        self.guests.insert_with(|slot| match original {
            true => Guest::Original(Original::new(plug, now)),
            false => {
                let (ticket, _) = self.crowd.enter(now, peer.ip(), slot);
                // There is room for everybody here: nobody is sent away for anybody.
                self.crowd.leave(ticket);
                Guest::Ours(Conn::new(slot, plug, peer, now, TIMES, ticket))
            }
        });
    }

    /// Who is connected.
    pub fn wires(&mut self) -> Vec<crate::wire::Wire> {
        let slots = self.guests.slots();
        slots
            .into_iter()
            .filter_map(|slot| Some(self.guests.get_mut(slot)?.plug().wire()))
            .collect()
    }

    /// When it goes on by itself.
    pub fn deadline(&self) -> Option<Instant> {
        let guests = self.guests.iter().map(|(_, guest)| guest.deadline());
        guests.chain((!self.guests.is_empty()).then_some(self.next_check)).min()
    }

    /// It has errands to do or to look at.
    pub fn is_busy(&self) -> bool {
        !self.desk.jobs.waiting.is_empty() || !self.over.is_empty()
    }

    /// The threads do something, and the loop looks what they have done; each with a chance of `haste`
    /// in ten thousand.
    pub fn run_errands(&mut self, now: Instant, haste: u64, failing: u64, rng: &mut Rng) {
        if rng.hits(haste)
            && let Some(Waiting { slot, stop, work, .. }) = self.desk.jobs.waiting.pop_front()
        {
            self.served.errands += 1;
            let done = if rng.hits(failing) { Done::Failed } else { work(&stop) };
            self.served.failed += u64::from(matches!(done, Done::Failed));
            self.over.push_back((slot, done));
        }
        if rng.hits(haste)
            && let Some((slot, done)) = self.over.pop_front()
        {
            match self.guests.get_mut(slot) {
                Some(Guest::Ours(conn)) => conn.take(done),
                _ => self.served.called_off += 1,
            }
            self.turn(now, slot, Readiness::default());
        }
    }

    /// One turn of the loop; `hinted` if it was told that the log may have changed.
    pub fn go_on(&mut self, now: Instant, hinted: bool) {
        let check = now >= self.next_check;
        if check {
            self.next_check = now + CHECK;
        }
        for slot in self.guests.slots() {
            let Some(guest) = self.guests.get_mut(slot) else { continue };
            if let Guest::Ours(conn) = guest
                && conn.is_listing()
            {
                match (check, hinted) {
                    (true, _) => conn.hint(Look::All),
                    (false, true) => conn.hint(Look::Some([0].into())),
                    (false, false) => {}
                }
            }
            let wire = guest.plug().wire();
            let readable = wire.has_news(End::Responder);
            let writable = wire.take_room(End::Responder);
            if readable || writable || hinted || check || guest.deadline() <= now {
                self.turn(now, slot, Readiness { readable, writable });
            }
        }
    }

    fn turn(&mut self, now: Instant, slot: Slot, readiness: Readiness) {
        let Some(guest) = self.guests.get_mut(slot) else { return };
        let closed = match guest {
            Guest::Original(original) => {
                let stays = original.turn(now, &self.desk.logs.scene().world);
                (!stays).then(|| "fetchlogs 1.1 closes".to_owned())
            }
            Guest::Ours(conn) => {
                conn.note(readiness);
                loop {
                    match conn.turn(now, &mut self.desk) {
                        Turn::Rest => break None,
                        Turn::More => {}
                        Turn::Close(reason) => break Some(format!("{reason:?}")),
                    }
                }
            }
        };
        if let Some(why) = closed {
            self.close(slot);
            self.closed.push(why);
        }
    }

    fn close(&mut self, slot: Slot) {
        if let Some(Guest::Ours(conn)) = self.guests.remove(slot)
            && let Some(errand) = conn.errand()
        {
            self.desk.jobs.forget(errand);
        }
    }

    /// The process is asked to end.
    pub fn part(&mut self) {
        for slot in self.guests.slots() {
            if let Some(Guest::Ours(conn)) = self.guests.get_mut(slot) {
                conn.part();
            }
        }
    }
}

impl Guest {
    fn plug(&mut self) -> &mut Plug {
        match self {
            Guest::Ours(conn) => conn.stream(),
            Guest::Original(original) => &mut original.plug,
        }
    }

    fn deadline(&self) -> Instant {
        match self {
            Guest::Ours(conn) => conn.deadline(),
            Guest::Original(original) => original.look_at,
        }
    }
}
