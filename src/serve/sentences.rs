//! What the operator reads, in one place.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::session::CloseReason;
use super::tail::End;
use crate::pos::Offset;
use crate::proto::printable;
use crate::sys::cause::cause;
use crate::sys::linux::confine::Confined;
use crate::sys::linux::inotify::limit_of;

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Ended(End::Rotated) => f.write_str("the file was rotated"),
            CloseReason::Ended(End::Truncated) => f.write_str("the file was truncated"),
            CloseReason::Ended(End::Deleted) => f.write_str("the file was deleted"),
            CloseReason::Refused => f.write_str("nothing is served for its request"),
            CloseReason::Proved => f.write_str("its digest was told"),
            CloseReason::Fault(fault) => write!(f, "{fault}"),
            CloseReason::RequestTimeout => f.write_str("it did not ask in time"),
            CloseReason::Crowded => f.write_str("too many others had not asked, either"),
            CloseReason::HungUp => f.write_str("it hung up"),
            CloseReason::Blocked => f.write_str("it takes no bytes"),
            CloseReason::Unreadable => f.write_str("the file cannot be read"),
            CloseReason::Withdrawn => f.write_str("the configuration no longer serves it"),
        }
    }
}

/// `cannot listen at 0.0.0.0:19: Address already in use`, of the same kind.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen at {address}: {}", cause(error)))
}

/// The program could not give up what it does not need.
pub fn cannot_confine(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot give up rights: {}", cause(error)))
}

/// What the kernel can't forbid the program.
pub fn confined(confined: Confined) {
    match confined {
        Confined::Wholly => log::debug!("can read files and answer who connects, and nothing else"),
        Confined::Partly => {
            log::info!("cannot forbid myself all that I don't need: this Landlock is an old one");
        }
        Confined::WithoutLandlock => log::warn!(
            "cannot forbid myself to write, execute and connect: the kernel gives no Landlock"
        ),
    }
}

/// A file that will be refused as it is now.
pub fn not_regular(path: &Path) {
    log::warn!("cannot serve {}: it is a link, or no regular file", path.display());
}

/// No directory can be watched: changes are found only by looking.
pub fn cannot_watch(error: &io::Error) {
    let (cause, limit) = (cause(error), limit(error));
    log::warn!("cannot watch directories, only look at files now and then: {cause}{limit}");
}

/// A directory whose changes are found only by looking.
pub fn unwatched(dir: &Path, error: &io::Error) {
    let (dir, cause, limit) = (dir.display(), cause(error), limit(error));
    log::warn!("cannot watch {dir}, only look at it now and then: {cause}{limit}");
}

/// The limit that an error is about: the kernel's word for it sounds like another.
fn limit(error: &io::Error) -> String {
    limit_of(error).map(|limit| format!(" (the limit is {limit})")).unwrap_or_default()
}

/// Peers that were sent away since the last time this was told.
pub fn not_allowed(count: u64, last: IpAddr) {
    log::warn!(
        "cannot answer {last}: not on the allow list (connections since last told: {count})"
    );
}

/// Peers whose address has too many connections, since the last time this was told.
pub fn too_many(count: u64, last: IpAddr, limit: usize) {
    log::warn!(
        "cannot answer {last}: it has max-per-address {limit} connections \
         (connections since last told: {count})"
    );
}

/// Peers that asked for nothing and had to go, since the last time this was told.
pub fn too_silent(count: u64, last: IpAddr, limit: usize) {
    log::warn!(
        "cannot wait for the request of {last}: more than {limit} have not asked \
         (connections since last told: {count})"
    );
}

/// Requests that got no answer since the last time this was told, the last of them in full.
pub fn refused(count: u64, peer: SocketAddr, path: &[u8], why: &str) {
    let path = printable(path);
    log::warn!("cannot serve {path} to {peer}: {why} (requests since last told: {count})");
}

/// The same where it was told a short while ago.
pub fn refused_too(peer: SocketAddr, path: &[u8], why: &str) {
    log::info!("cannot serve {} to {peer}: {why}", printable(path));
}

/// A file that is not there, so nobody is served with it for now.
pub fn missing(path: &Path) {
    log::warn!("cannot find {}: it is served when it is there", path.display());
}

/// A compressed file that can be read only so far, or not at all.
pub fn damaged(path: &Path, why: &str) {
    log::warn!("cannot read all of {}, the rest of it is lost: {why}", path.display());
}

/// Nobody is on the allow list.
pub fn nobody_allowed() {
    log::warn!("cannot answer anybody: the configuration has no allow");
}

/// Accepting has to wait.
pub fn cannot_accept(error: &io::Error) {
    log::warn!("cannot accept connections for now: {}", cause(error));
}

/// A connection was accepted and could not be set up.
pub fn not_welcomed(peer: SocketAddr, error: &io::Error) {
    log::debug!("cannot serve {peer}: {}", cause(error));
}

/// Fewer descriptors than the configured connections need.
pub fn few_descriptors(limit: u64, connections: usize, apart: u64) {
    let needed = 2 * connections as u64 + apart;
    log::warn!(
        "max-connections {connections} needs {needed} descriptors, there are {limit}: \
         connections beyond that wait"
    );
}

/// A generation is being sent.
pub fn opened(peer: SocketAddr, path: &Path) {
    log::debug!("{peer} follows {}", path.display());
}

/// A connection was closed.
pub fn closed(peer: SocketAddr, path: Option<&Path>, sent: Option<Offset>, reason: &CloseReason) {
    match (path, sent) {
        (Some(path), Some(sent)) => {
            log::debug!("{peer} ended at byte {sent} of {}: {reason}", path.display());
        }
        _ => log::debug!("{peer} ended: {reason}"),
    }
}

/// The configuration was read again.
pub fn reloaded(path: &Path) {
    log::info!("read {} again", path.display());
}

/// The configuration was not taken; `faults` may have many lines.
pub fn not_reloaded(path: &Path, faults: &str) {
    log::error!("cannot reload {}, the old configuration stays:\n{faults}", path.display());
}
