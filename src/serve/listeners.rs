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

/// After accepting failed, mostly for want of descriptors or memory, it is tried again after this,
/// unless a connection ends before.
const PAUSE: Duration = Duration::from_secs(1);

/// What others can cause is told once in this time: a flood of peers is not a flood of lines.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The sockets that are listened at.
#[derive(Debug, Default)]
pub struct Listeners {
    places: Vec<Option<Listener>>,
    paused_until: Option<Instant>,
    told: Pace,
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
            place.take_if(|one| !wanted.contains(&one.configured));
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
                    Ok(accepted) => return Some(accepted),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.ready = false;
                        break;
                    }
                    // That one was gone before it was accepted (accept(2), "Error handling").
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        if self.told.may_tell(now) {
                            sentences::cannot_accept(&error);
                        }
                        self.paused_until = Some(now + PAUSE);
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// Keeps a sentence from being told too often.
#[derive(Debug, Default)]
struct Pace {
    told_at: Option<Instant>,
}

impl Pace {
    fn may_tell(&mut self, now: Instant) -> bool {
        let may = self.told_at.is_none_or(|at| now >= at + TOLD_EVERY);
        if may {
            self.told_at = Some(now);
        }
        may
    }
}

/// Counts the requests that were answered by nothing since that was told.
#[derive(Debug, Default)]
pub struct Refused {
    count: u64,
    told: Pace,
}

impl Refused {
    /// One more.
    pub fn note(&mut self, now: Instant, peer: SocketAddr, path: &[u8], why: &str) {
        self.count += 1;
        if self.told.may_tell(now) {
            sentences::refused(std::mem::take(&mut self.count), peer, path, why);
        } else {
            sentences::refused_too(peer, path, why);
        }
    }
}

/// Counts the peers that were sent away since that was told, for each reason.
#[derive(Debug, Default)]
pub struct Unwelcome {
    strangers: Count,
    too_many: Count,
    silent: Count,
}

impl Unwelcome {
    /// One that is not on the allow list.
    pub fn note_stranger(&mut self, now: Instant, peer: IpAddr) {
        self.strangers.note(now, |count| sentences::not_allowed(count, peer));
    }

    /// One whose address has as many connections as it may.
    pub fn note_too_many(&mut self, now: Instant, peer: IpAddr, limit: usize) {
        self.too_many.note(now, |count| sentences::too_many(count, peer, limit));
    }

    /// One that had asked for nothing when too many others had not, either.
    pub fn note_silent(&mut self, now: Instant, peer: IpAddr, limit: usize) {
        self.silent.note(now, |count| sentences::too_silent(count, peer, limit));
    }
}

#[derive(Debug, Default)]
struct Count {
    count: u64,
    told: Pace,
}

impl Count {
    fn note(&mut self, now: Instant, tell: impl FnOnce(u64)) {
        self.count += 1;
        if self.told.may_tell(now) {
            tell(std::mem::take(&mut self.count));
        }
    }
}
