//! TCP sockets, set up so that a dead peer is found out.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket as NewSocket, TcpKeepalive, Type};

/// After this long without an acknowledgement for bytes sent, or with a peer that takes none, the
/// kernel gives a connection up (tcp(7), TCP_USER_TIMEOUT). Longer than the 60 s after which the
/// responder itself gives up one that takes nothing, so that it can say so.
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// An idle connection is probed after this long, then every `KEEPALIVE_INTERVAL`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that the kernel takes for a peer before it has sent them: one piece, so that a peer that takes
/// nothing holds this and not the megabytes to which a socket's buffer may grow (tcp(7), TCP_NOTSENT_LOWAT).
/// What is on its way to a fast peer far away does not count.
const NOT_SENT_BYTES: u32 = 256 << 10;
/// Connections the kernel holds for us until we accept them.
const BACKLOG: i32 = 4096;

/// A connection as both programs use it. It never waits: a call for which nothing is there yet, or no
/// room, is an error of the kind `WouldBlock`.
pub trait Socket: Read + Write {
    /// Reads without taking what is read.
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Says to the peer that nothing more comes; what it says can still be read.
    fn shut(&self) -> io::Result<()>;
    /// Whether the attempt to connect is over. `Ok(false)`: not yet; an error: it failed.
    fn is_connected(&self) -> io::Result<bool>;
}

impl Socket for TcpStream {
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        TcpStream::peek(self, buf)
    }

    fn shut(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        match self.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn notice_dead_peers(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    // A heartbeat or the last line of a burst must not wait for an acknowledgement.
    socket.set_tcp_nodelay(true)
}

/// Listens at `address`. An IPv6 address takes IPv6 only, so that both wildcards can be listened
/// at.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = NewSocket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(StdListener::from(socket)))
}

/// Begins to connect to `address`. The stream is writable once it is connected or has failed; then
/// `take_error` tells which.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    notice_dead_peers(&SockRef::from(&stream))?;
    Ok(stream)
}

/// Connects to `address` and waits for that, at most `patience`. The stream blocks.
pub fn connect_within(address: SocketAddr, patience: Duration) -> io::Result<StdStream> {
    let stream = StdStream::connect_timeout(&address, patience)?;
    notice_dead_peers(&SockRef::from(&stream))?;
    Ok(stream)
}

/// Sets up a connection that was just accepted.
pub fn prepare_accepted(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    match socket.set_tcp_notsent_lowat(NOT_SENT_BYTES) {
        // Sandboxes that are not Linux itself: memory is theirs to bound.
        Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => {}
        set => set?,
    }
    notice_dead_peers(&socket)
}
