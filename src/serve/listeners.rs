//! Where fetchers come in.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

use super::sentences;
use crate::evloop::who::Who;
use crate::evloop::{EventLoop, Interest};
use crate::sys::net;

/// After the system had no descriptor or memory left, accepting is tried again after this, unless a
/// connection ends before.
const PAUSE: Duration = Duration::from_secs(1);

/// Peers that are not allowed are told of this often at most.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// The sockets that are listened at.
#[derive(Debug, Default)]
pub struct Listeners {
    places: Vec<Option<Listener>>,
    paused_until: Option<Instant>,
    complained: bool,
}

#[derive(Debug)]
struct Listener {
    configured: SocketAddr,
    socket: TcpListener,
    /// Somebody may wait.
    ready: bool,
}

impl Listeners {
    /// Listens at exactly the addresses `wanted`, each socket that is there already being kept. If
    /// one address cannot be had, nothing changes.
    pub fn set(&mut self, wanted: &[SocketAddr], evloop: &EventLoop) -> io::Result<()> {
        let known: HashSet<SocketAddr> =
            self.places.iter().flatten().map(|listener| listener.configured).collect();
        let mut fresh = Vec::new();
        for &configured in wanted.iter().filter(|address| !known.contains(address)) {
            let socket = net::listen(configured)
                .map_err(|error| sentences::cannot_listen(configured, &error))?;
            fresh.push(Listener { configured, socket, ready: false });
        }
        for place in &mut self.places {
            if let Some(listener) = place.take_if(|one| !wanted.contains(&one.configured)) {
                drop(listener);
            }
        }
        for mut listener in fresh {
            let index = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
                self.places.push(None);
                self.places.len() - 1
            });
            let number = u16::try_from(index).map_err(io::Error::other)?;
            evloop.register(&mut listener.socket, Who::Listener(number), Interest::READABLE)?;
            self.places[index] = Some(listener);
        }
        Ok(())
    }

    /// The addresses in fact listened at, with the ports that were given for port 0.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.places.iter().flatten().filter_map(|one| one.socket.local_addr().ok()).collect()
    }

    /// Somebody waits at the listener of this number.
    pub fn note(&mut self, number: u16) {
        if let Some(Some(listener)) = self.places.get_mut(usize::from(number)) {
            listener.ready = true;
        }
    }

    /// A connection ended: what was missing may be there again.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// When to come back though nothing happens: now, if somebody waits and may come in.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ready = self.places.iter().flatten().any(|listener| listener.ready);
        ready.then(|| self.paused_until.unwrap_or(now))
    }

    /// The next connection, if there is one and it may be accepted now.
    pub fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        for listener in self.places.iter_mut().flatten().filter(|one| one.ready) {
            loop {
                match listener.socket.accept() {
                    Ok(accepted) => {
                        self.complained = false;
                        return Some(accepted);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.ready = false;
                        break;
                    }
                    Err(error) if is_want(&error) => {
                        if !std::mem::replace(&mut self.complained, true) {
                            sentences::cannot_accept(&error);
                        }
                        self.paused_until = Some(now + PAUSE);
                        return None;
                    }
                    // That one was gone before it was accepted (accept(2), "Error handling").
                    Err(_) => {}
                }
            }
        }
        None
    }
}

/// Whether the system, or this process, has too little of something.
fn is_want(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Counts the peers that were sent away, so that a flood of them is one line a minute.
#[derive(Debug, Default)]
pub struct Complaints {
    count: u64,
    told_at: Option<Instant>,
}

impl Complaints {
    /// One more.
    pub fn note(&mut self, now: Instant, peer: IpAddr) {
        self.count += 1;
        if self.told_at.is_none_or(|at| now >= at + COMPLAINT_PAUSE) {
            sentences::not_allowed(std::mem::take(&mut self.count), peer);
            self.told_at = Some(now);
        }
    }
}
