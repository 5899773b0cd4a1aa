//! Something between both ends that does to their connections what networks do.
//!
//! It listens on one port of all addresses of this machine: the last two numbers of 127.1.x.y say which
//! source it is, so one fetcher may have thousands and each its own misfortune.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

/// In which direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the fetcher.
    Asking,
    /// From the responder.
    Answering,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Both sides are closed in order.
    Closed,
    /// Both sides are reset.
    Reset,
    /// Nothing goes through any more, and nobody says so.
    Silent,
    /// Nothing is taken for so long.
    Stalled(Duration),
    /// This bit of the byte is another.
    Flipped(u8),
}

/// One fault, when so many bytes went this way in all connections of the source.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub way: Way,
    pub at: u64,
    pub fault: Fault,
}

/// In which pieces bytes go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    AsTheyCome,
    /// Each alone.
    Split,
    /// All at once that come without a pause.
    Gathered,
    /// A few at a time, with pauses: whoever sends has to wait.
    Slow,
}

/// What is known of a source.
struct Source {
    plan: Option<Plan>,
    passed: [u64; 2],
}

struct Shared {
    sources: Vec<Mutex<Source>>,
    pace: Pace,
    to: SocketAddr,
    over: AtomicBool,
}

/// Dropped, it takes no more.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// Before the responder at `to`, with a plan for each source.
    pub fn new(to: SocketAddr, pace: Pace, plans: Vec<Option<Plan>>) -> Proxy {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = |plan| Mutex::new(Source { plan, passed: [0; 2] });
        let sources = plans.into_iter().map(source).collect();
        let shared = Arc::new(Shared { sources, pace, to, over: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                let small = std::thread::Builder::new().stack_size(256 << 10);
                // A connection that breaks is what this is for.
                small.spawn(move || drop(forward(&shared, stream))).unwrap();
            }
        });
        Proxy { shared, port }
    }

    /// Where the fetcher finds this source.
    pub fn address(&self, source: usize) -> (String, u16) {
        (format!("127.1.{}.{}", source / 256, source % 256), self.port)
    }

    /// How many faults have happened.
    pub fn happened(&self) -> u64 {
        let still = |source: &Mutex<Source>| source.lock().unwrap().plan.is_some();
        self.shared.sources.iter().filter(|source| !still(source)).count() as u64
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Which source a connection is for.
fn source_of(stream: &TcpStream) -> io::Result<usize> {
    match stream.local_addr()? {
        SocketAddr::V4(address) => {
            let [_, _, high, low] = address.ip().octets();
            Ok(usize::from(high) * 256 + usize::from(low))
        }
        SocketAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// One connection, from its begin to its end.
fn forward(shared: &Shared, fetcher: TcpStream) -> io::Result<()> {
    let Some(source) = shared.sources.get(source_of(&fetcher)?) else { return Ok(()) };
    let responder = TcpStream::connect(shared.to)?;
    for stream in [&fetcher, &responder] {
        stream.set_nodelay(true)?;
        if shared.pace == Pace::Slow {
            SockRef::from(stream).set_recv_buffer_size(4096)?;
        }
    }
    let mut open = [true; 2];
    while open.contains(&true) {
        let readable = wait_readable([&fetcher, &responder], open);
        for (way, (from, to)) in
            [(&fetcher, &responder), (&responder, &fetcher)].into_iter().enumerate()
        {
            if !readable[way] {
                continue;
            }
            let mut bytes = take(from, shared.pace)?;
            if bytes.is_empty() {
                open[way] = false;
                to.shutdown(Shutdown::Write)?;
                continue;
            }
            let fault = fall(source, way, &mut bytes);
            give(to, &bytes, shared.pace)?;
            match fault {
                None | Some(Fault::Flipped(_)) => {}
                Some(Fault::Stalled(time)) => std::thread::sleep(time),
                Some(Fault::Closed) => {
                    fetcher.shutdown(Shutdown::Both)?;
                    return responder.shutdown(Shutdown::Both);
                }
                Some(Fault::Reset) => {
                    SockRef::from(&fetcher).set_linger(Some(Duration::ZERO))?;
                    return SockRef::from(&responder).set_linger(Some(Duration::ZERO));
                }
                Some(Fault::Silent) => {
                    let until = Instant::now() + Duration::from_secs(30);
                    let gone = PollFlags::from_bits_retain(libc::POLLRDHUP);
                    while Instant::now() < until && !ready(&fetcher, gone, Duration::from_secs(1)) {
                    }
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Waits until one of those that are open can be read, or has ended.
fn wait_readable(streams: [&TcpStream; 2], open: [bool; 2]) -> [bool; 2] {
    let event = |open| if open { PollFlags::POLLIN } else { PollFlags::empty() };
    let mut fds = [0, 1].map(|way| PollFd::new(streams[way].as_fd(), event(open[way])));
    // A socket that ended both ways is told of whatever is asked for.
    let _ = poll(&mut fds, PollTimeout::from(1000_u16));
    [0, 1].map(|way| open[way] && fds[way].any().unwrap_or(false))
}

/// Whether this is so within this time.
fn ready(stream: &TcpStream, what: PollFlags, time: Duration) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), what)];
    poll(&mut fds, PollTimeout::try_from(time).unwrap()).is_ok_and(|count| count > 0)
}

/// What came, or nothing if no more will.
fn take(mut from: &TcpStream, pace: Pace) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; if pace == Pace::Slow { 2048 } else { 64 << 10 }];
    let mut len = from.read(&mut bytes)?;
    if pace == Pace::Slow {
        std::thread::sleep(Duration::from_millis(3));
    }
    while pace == Pace::Gathered
        && len > 0
        && len < bytes.len()
        && ready(from, PollFlags::POLLIN, Duration::from_millis(30))
    {
        match from.read(&mut bytes[len..])? {
            0 => break,
            more => len += more,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn give(mut to: &TcpStream, bytes: &[u8], pace: Pace) -> io::Result<()> {
    match pace {
        Pace::Split => bytes.chunks(1).try_for_each(|byte| to.write_all(byte)),
        Pace::AsTheyCome | Pace::Gathered | Pace::Slow => to.write_all(bytes),
    }
}

/// What happens to these bytes, and which of them still go through.
fn fall(source: &Mutex<Source>, way: usize, bytes: &mut Vec<u8>) -> Option<Fault> {
    let mut source = source.lock().unwrap();
    let before = source.passed[way];
    let after = before + bytes.len() as u64;
    let due = |plan: &Plan| plan.way as usize == way && (before..after).contains(&plan.at);
    let Some(plan) = source.plan.filter(due) else {
        source.passed[way] = after;
        return None;
    };
    source.plan = None;
    let at = (plan.at - before) as usize;
    match plan.fault {
        Fault::Flipped(bit) => bytes[at] ^= 1 << bit,
        Fault::Stalled(_) => {}
        Fault::Closed | Fault::Reset | Fault::Silent => bytes.truncate(at),
    }
    source.passed[way] = before + bytes.len() as u64;
    Some(plan.fault)
}
