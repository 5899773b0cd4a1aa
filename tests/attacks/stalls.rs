//! Peers that hold on to what they have and do nothing with it.

use super::*;

use socket2::{Domain, SockRef, Socket, Type};

fn connect_with_small_window(target: &Target) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&target.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_slow_loris_gets_the_time_of_one_request_and_no_more() {
    let target = Target::new("request-timeout 1s\n");
    let request = target.request("log");
    let number = 60 * times_more();
    target.withstands(1000, || {
        let mut slow: Vec<TcpStream> = (0..number).map(|_| target.connect()).collect();
        let begin = Instant::now();
        let mut sent = 0;
        // A byte now and then, which must not give more time.
        while begin.elapsed() < Duration::from_millis(900) {
            for stream in &mut slow {
                let _ = stream.write_all(&request.as_bytes()[sent..=sent]);
            }
            sent += 1;
            assert!(sent < request.len() - 1 || begin.elapsed() > Duration::from_millis(500));
            if sent >= request.len() - 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        for mut stream in slow {
            assert!(rest(&mut stream).is_empty());
        }
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    });
    tally("attacks: requests that never came to an end", number as u64);
    target.stop();
}

#[test]
fn peers_that_take_nothing_of_what_they_asked_for_fill_their_own_buffers_only() {
    let target = Target::new("file BASE/long\n");
    target.dir.write("long", vec![b'x'; 32 << 20]);
    let number = 200 * times_more();
    let request = target.request("long");
    let before = target.descriptors();
    let mut stalled = Vec::new();
    target.withstands(1000, || {
        stalled.extend((0..number).map(|_| {
            let mut stream = connect_with_small_window(&target);
            stream.write_all(request.as_bytes()).unwrap();
            let mut letter = [0];
            stream.read_exact(&mut letter).unwrap();
            stream
        }));
    });
    assert!(target.descriptors() >= before + 2 * number, "they are still followed");
    // A list and a digest, of which nothing is taken, either.
    for asked in [format!("LIST {} +2\n", "/**"), request.clone()] {
        let mut stream = connect_with_small_window(&target);
        stream.write_all(asked.as_bytes()).unwrap();
        stalled.push(stream);
    }
    // One of them goes on after all, and misses nothing.
    let mut late = stalled.swap_remove(0);
    let mut heard = vec![0; 32 << 20];
    late.read_exact(&mut heard).unwrap();
    assert!(heard.iter().filter(|&&b| b == b'x').count() > (32 << 20) - 40);
    tally("attacks: peers that took nothing", number as u64);
    if times_more() > 1 {
        // A minute, then they are given up.
        let until = Instant::now() + Duration::from_secs(90);
        while target.descriptors() > before + 2 {
            assert!(Instant::now() < until, "they are held for ever");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    target.stop();
}

#[test]
fn a_peer_that_takes_a_byte_at_a_time_gets_them_all_and_holds_up_nobody() {
    let target = Target::new("");
    let request = target.request("log");
    target.withstands(1000, || {
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let mut stream = connect_with_small_window(&target);
                    for byte in request.bytes() {
                        stream.write_all(&[byte]).unwrap();
                    }
                    let mut heard = Vec::new();
                    let mut byte = [0];
                    while !heard.ends_with(CONTENT) {
                        stream.read_exact(&mut byte).unwrap();
                        heard.push(byte[0]);
                    }
                });
            }
        });
    });
    target.stop();
}

/// Sockets of the responder, as it has them: each connection finds out by itself that its peer is dead.
#[test]
fn connections_are_probed_and_given_up_when_nothing_is_acknowledged() {
    let target = Target::new("");
    let mut stream = target.connect();
    stream.write_all(target.request("log").as_bytes()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let Some(socket) = socket_of(&target, stream.local_addr().unwrap()) else {
        return left_out::tell("tests/attacks/stalls.rs", "pidfd_getfd is not allowed");
    };
    let socket = SockRef::from(&socket);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(90)));
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 256 << 10);
    target.stop();
}

/// A duplicate of the responder's socket that leads to `peer`.
fn socket_of(target: &Target, peer: SocketAddr) -> Option<Socket> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: both calls take numbers and give descriptors that are nobody else's.
    let call = |number, one: i64, other: i64| unsafe {
        let fd = nix::libc::syscall(number, one, other, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    };
    let process = call(nix::libc::SYS_pidfd_open, i64::from(target.program.pid()), 0)?;
    (0..target.descriptors() as i64 * 2).find_map(|fd| {
        let socket = call(nix::libc::SYS_pidfd_getfd, i64::from(process.as_raw_fd()), fd)?;
        let socket = Socket::from(socket);
        let there = socket.peer_addr().ok()?.as_socket();
        (there == Some(peer)).then_some(socket)
    })
}
