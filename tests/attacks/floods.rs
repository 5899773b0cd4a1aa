//! More connections than anybody needs.

use super::*;
use std::net::Ipv4Addr;

use socket2::{Domain, SockRef, Socket, Type};

/// Connects held at once: what this process may have open, and some for all else.
fn held_at_once() -> usize {
    let limit = fetchlogs::sys::limits::raise_descriptors().unwrap();
    (limit as usize / 4).min(2000)
}

/// Connects from an address of this host, without waiting for it; several have ports for more than one.
fn connect_from(target: &Target, last: u8) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&target.address.into());
    socket
}

/// Closes it so that the other side is told by a reset.
fn reset(socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn ten_thousand_connects_that_never_ask_cost_the_others_nothing() {
    let target = Target::new("max-connections 1000\nrequest-timeout 10m\n");
    let (number, held) = (10_000 * times_more(), held_at_once());
    target.withstands(1000, || {
        let mut silent = std::collections::VecDeque::new();
        for count in 0..number {
            silent.push_back(connect_from(&target, (count % 20) as u8 + 1));
            if silent.len() > held {
                let socket = silent.pop_front().unwrap();
                if count % 2 == 0 { reset(socket) } else { drop(socket) }
            }
        }
    });
    target.program.complained("have not asked");
    assert_eq!(target.program.stderr().matches("have not asked").count(), 1);
    tally("attacks: connects that never ask", number as u64);
    wait_until("all descriptors are back", || target.descriptors() < DESCRIPTORS_APART);
    target.stop();
}

#[test]
fn one_address_that_takes_all_it_may_leaves_room_for_others() {
    let target = Target::new("max-connections 400\nmax-per-address 200\nfile BASE/other\n");
    target.dir.write("other", "");
    let request = target.request("other");
    let (number, mut refused) = (4000 * times_more(), 0);
    target.withstands(400, || {
        let mut asking = Vec::new();
        for count in 0..number {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1), 0)).into()).unwrap();
            socket.connect(&target.address.into()).unwrap();
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let asked = stream.write_all(request.as_bytes());
            let mut letter = [0];
            match asked.and_then(|()| stream.read(&mut letter)) {
                Ok(1) => asking.push(stream),
                Ok(_) | Err(_) => refused += 1,
            }
            assert!(asking.len() <= 200, "{count}");
        }
        assert_eq!(asking.len(), 200);
    });
    assert_eq!(refused, number - 200);
    assert_eq!(target.program.stderr().matches("max-per-address").count(), 1);
    tally("attacks: connects of an address that has all it may", refused as u64);
    target.stop();
}

#[test]
fn resets_at_any_time_leave_nothing_behind() {
    let target = Target::new("file BASE/long\n");
    target.dir.write("long", vec![b'x'; 8 << 20]);
    let (inode, long) = (target.dir.inode("long"), target.request("long"));
    let number = 2000 * times_more();
    target.withstands(1000, || {
        for count in 0..number {
            let mut stream = target.connect();
            let sent = match count % 5 {
                0 => 0,
                1 => long.len() / 2,
                _ => long.len(),
            };
            stream.write_all(&long.as_bytes()[..sent]).unwrap();
            match count % 5 {
                2 => {}
                3 => {
                    let mut some = vec![0; format!("O {inode}\n").len() + 100_000];
                    stream.read_exact(&mut some).unwrap();
                    assert_innocent(&some);
                }
                _ => stream.shutdown(Shutdown::Read).unwrap(),
            }
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    tally("attacks: connections reset", number as u64);
    wait_until("all descriptors are back", || target.descriptors() < DESCRIPTORS_APART);
    target.stop();
}

#[test]
fn many_who_ask_for_what_takes_long_to_find_hold_up_nobody_else() {
    let target = Target::new("file BASE/much\n");
    for count in 0..300 {
        target.dir.write(&format!("much.{count}"), format!("generation {count}\n").repeat(3000));
    }
    target.dir.write("much", "now\n");
    let digest = "0".repeat(32);
    let known = format!("head=4096:{digest} tail=12345:{digest}");
    let asked = format!("{} 7 12345 +2 {known}\n", target.dir.path("much").display());
    let number = 150 * times_more();
    target.withstands(1000, || {
        let waiting: Vec<TcpStream> = (0..number)
            .map(|_| {
                let mut stream = target.connect();
                stream.write_all(asked.as_bytes()).unwrap();
                stream
            })
            .collect();
        // Half of them are gone before they hear of it.
        let (gone, waiting) = waiting.split_at(number / 2);
        gone.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        for mut stream in waiting {
            // W as long as it takes, then a status.
            let mut letter = [0];
            while !matches!(letter[0], b'O' | b'L' | b'E') {
                stream.read_exact(&mut letter).unwrap();
            }
            assert_eq!(letter, *b"L");
        }
    });
    tally("attacks: searches asked for at once", number as u64);
    target.stop();
}
