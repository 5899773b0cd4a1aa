//! What happens when there is too much of something.

use super::*;

#[test]
fn connections_beyond_the_limit_wait_until_others_end() {
    let bed = Bed::new("max-connections 2\ncheck 1h\n");
    let mut first = bed.ask("");
    let mut second = bed.ask("");
    first.expect(bed.status('O', "log") + "\x07");
    second.expect(bed.status('O', "log") + "\x07");
    let mut third = bed.ask("");
    third.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(third.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    third.0.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(first);
    third.expect(bed.status('O', "log") + "\x07");
}

#[test]
fn a_flood_that_uses_up_all_descriptors_passes() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" \"$1\"", SERVE_LOGS]);
    let dir = Dir::new();
    dir.write("log", "content\n");
    let bed = Bed::start(dir, "check 1h\nrequest-timeout 1m\n", command);
    let mut before = bed.ask("");
    before.expect(bed.status('O', "log") + "content\n\x07");
    let flood: Vec<Peer> = (0..40).map(|_| bed.connect()).collect();
    bed.program.complained("cannot accept connections for now: Too many open files");
    bed.dir.append("log", "more\n");
    before.expect("more\n");
    drop(flood);
    let mut after = bed.ask("");
    after.expect(bed.status('O', "log") + "content\nmore\n\x07");
}

#[test]
fn as_many_connections_are_taken_as_there_are_descriptors_for_and_their_logs() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100; exec \"$0\" \"$1\"", SERVE_LOGS]);
    let dir = Dir::new();
    dir.write("log", "content\n");
    let bed = Bed::start(dir, "check 1h\nrequest-timeout 1m\n", command);
    let expected = bed.status('O', "log") + "content\n\x07";
    let mut peers: Vec<Peer> = (0..40).map(|_| bed.ask("")).collect();
    peers[..18].iter_mut().for_each(|peer| peer.expect(&expected));
    // The next one waits, and nobody misses a descriptor.
    peers[18].0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(peers[18].0.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    peers[18].0.set_read_timeout(Some(PATIENCE)).unwrap();
    peers.drain(..18);
    peers[..18].iter_mut().for_each(|peer| peer.expect(&expected));
    assert!(!bed.program.stderr().contains("Too many open files"));
}

#[test]
fn for_want_of_descriptors_no_file_is_taken_for_renamed_or_gone() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" \"$1\"", SERVE_LOGS]);
    let dir = Dir::new();
    dir.write("log", "content\n");
    let settings = "check 50ms\nlinger 0s\nheartbeat 1s\nrequest-timeout 1m\n";
    let bed = Bed::start(dir, settings, command);
    let mut before = bed.ask("");
    before.expect(bed.status('O', "log") + "content\n\x07");
    let mut list = bed.connect();
    list.send(format!("LIST {} +2\n", bed.dir.path("*").display()));
    let mut listed = [0; 2];
    while !listed.ends_with(b"\n.") {
        listed[0] = listed[1];
        list.0.read_exact(&mut listed[1..]).unwrap();
    }
    let flood: Vec<Peer> = (0..40).map(|_| bed.connect()).collect();
    bed.program.complained("cannot accept connections for now: Too many open files");
    bed.dir.append("log", "more\n");
    before.expect("more\n\x07\x07");
    list.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut heard = Vec::new();
    let _ = list.0.read_to_end(&mut heard);
    assert!(!heard.contains(&b'X'), "{}", heard.escape_ascii());
    drop(flood);
    bed.dir.append("log", "end\n");
    before.expect("end\n");
}

/// Connects from another address of this host.
fn connect_from(bed: &Bed, from: [u8; 4]) -> Peer {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&bed.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Peer(stream)
}

#[test]
fn an_address_with_as_many_connections_as_it_may_gets_no_more_and_others_do() {
    let bed = Bed::new("max-per-address 2\ncheck 1h\n");
    let alive = bed.status('O', "log") + "\x07";
    let request = format!("{}\n", bed.dir.path("log").display());
    let mut here = [bed.ask(""), bed.ask("")];
    here.iter_mut().for_each(|peer| peer.expect(&alive));
    for _ in 0..3 {
        bed.connect().expect_silence("the third from here");
    }
    let mut other = connect_from(&bed, [127, 0, 0, 2]);
    other.send(&request);
    other.expect(&alive);
    bed.program.complained("cannot answer 127.0.0.1: it has max-per-address 2 connections");
    assert_eq!(bed.program.stderr().matches("max-per-address").count(), 1);
    drop(here);
    wait_until("there is room again", || {
        let mut peer = bed.connect();
        // It may be closed before all is sent.
        let _ = peer.0.write_all(request.as_bytes());
        peer.0.read(&mut [0; 1]).is_ok_and(|count| count == 1)
    });
    // More are allowed from now on, and nobody went for it.
    bed.reload("max-per-address 9\ncheck 1h\n");
    wait_until("another is answered", || {
        let mut peers = [0; 4].map(|_| bed.connect());
        for peer in &mut peers {
            let _ = peer.0.write_all(request.as_bytes());
        }
        peers.iter_mut().all(|peer| peer.0.read(&mut [0; 1]).is_ok_and(|count| count == 1))
    });
    bed.dir.append("log", "more\n");
    other.expect("more\n");
}

#[test]
fn those_who_never_ask_give_way_to_those_who_do() {
    let bed = Bed::with(
        "max-connections 70\nmax-per-address 70\nrequest-timeout 10m\ncheck 1h\n",
        &[("log", b"content\n")],
    );
    let mut silent: Vec<Peer> = (0..64).map(|_| bed.connect()).collect();
    // For one that has waited for a second one goes for each that comes.
    wait_until("somebody has to go", || {
        bed.ask("").expect(bed.status('O', "log") + "content\n\x07");
        bed.program.stderr().contains("cannot wait")
    });
    silent.remove(0).expect_silence("the one that came first");
    bed.program.complained("cannot wait for the request of 127.0.0.1: more than 64 have not asked");
    // The last of them may still ask.
    let mut late = silent.pop().unwrap();
    late.send(format!("{}\n", bed.dir.path("log").display()));
    late.expect(bed.status('O', "log") + "content\n\x07");
}

/// Found by reading: a fetcher of 500 files was sent away from a responder of 600 connections at each start of
/// either: it connects for all of them before it asks for the first, and those were too many that had not
/// asked.
#[test]
fn who_connects_for_all_his_files_before_he_asks_for_the_first_is_not_sent_away() {
    let bed = Bed::with("max-connections 210\ncheck 1h\n", &[("log", b"content\n")]);
    let mut peers: Vec<Peer> = (0..200).map(|_| bed.connect()).collect();
    for peer in &mut peers {
        peer.send(format!("{}\n", bed.dir.path("log").display()));
        peer.expect(bed.status('O', "log") + "content\n\x07");
    }
    assert!(!bed.program.stderr().contains("cannot wait"));
}
