//! What a peer may do, and what it gets for it.

use super::*;

#[test]
fn a_request_may_come_in_any_two_pieces() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\ntwo\n")]);
    let request = format!("{} {} 4\r\n", bed.dir.path("log").display(), bed.dir.inode("log"));
    for cut in 1..request.len() {
        let mut peer = bed.connect();
        peer.send(&request[..cut]);
        std::thread::yield_now();
        peer.send(&request[cut..]);
        peer.expect(bed.status('O', "log") + "two\n\x07");
    }
}

#[test]
fn a_peer_that_does_not_ask_in_time_is_closed() {
    let bed = Bed::new("request-timeout 200ms\n");
    let start = Instant::now();
    let mut slow = bed.connect();
    let silent = bed.connect();
    slow.send("/");
    silent.expect_silence("nothing asked");
    slow.expect_silence("half a request");
    assert!(start.elapsed() >= Duration::from_millis(200));
    bed.ask("").expect(bed.status('O', "log"));
}

#[test]
fn a_fetcher_that_speaks_again_or_closes_its_side_is_closed() {
    let bed = Bed::new(HINTS_ONLY);
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "\x07");
    peer.send("x");
    peer.expect_close();
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "\x07");
    peer.0.shutdown(Shutdown::Write).unwrap();
    peer.expect_close();
}

#[test]
fn whatever_else_is_asked_there_is_no_answer() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"content\n"), ("secret", b"secret\n")]);
    let base = bed.dir.path("").display().to_string();
    let base = base.trim_end_matches('/');
    let inode = bed.dir.inode("log");
    for request in [
        "".to_owned(),
        " ".into(),
        "\0".into(),
        "\r".into(),
        "\u{ff}\u{fe}".into(),
        "GET / HTTP/1.1".into(),
        "/".into(),
        base.into(),
        format!("{base}/"),
        format!("{base}/log/"),
        format!("{base}/log/."),
        format!("{base}/log\0"),
        format!("{base}/log\x0b"),
        format!("{base}/log?"),
        format!("{base}/./log"),
        format!("{base}//log"),
        format!("/{base}/log"),
        format!("{base}/../{}/log", base.rsplit('/').next().unwrap()),
        format!("{base}/secret"),
        format!("{base}/secret {inode} 0"),
        format!("{base}/conf"),
        format!("{base}/missing"),
        "/proc/self/environ".into(),
        format!("/proc/self/root{base}/log"),
        "/dev/zero".into(),
        "/dev/stdin".into(),
        "/etc/passwd".into(),
        "../../etc/passwd".into(),
        format!("{base}/log -1 0"),
        format!("{base}/log +5 0"),
        format!("{base}/log 1e3 0"),
        format!("{base}/log 0x10 0"),
        format!("{base}/log 18446744073709551616 0"),
        format!("{base}/log 99999999999999999999999999999999999999 0"),
        format!("{base}/log {inode} -1"),
        format!("{base}/log {inode} 9223372036854775808"),
        format!("{base}/log {inode} 18446744073709551616"),
        format!("{base}/log {inode} x"),
        "/".repeat(5000),
        "x".repeat(100_000),
        format!("{base}/log\nmore"),
    ] {
        let mut peer = bed.connect();
        // The responder may have closed before all is sent.
        let _ = peer.0.write_all(format!("{request}\n").as_bytes());
        peer.expect_silence(&request.chars().take(80).collect::<String>());
    }
    bed.ask("").expect(bed.status('O', "log") + "content\n\x07");
}

#[test]
fn an_offset_beyond_the_end_is_another_generation_and_not_an_endless_refusal() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"content\n")]);
    let inode = bed.dir.inode("log");
    for offset in [9, 1 << 31, 1 << 32, i64::MAX as u64] {
        bed.ask_for(inode, offset).expect(format!("L 0{inode}\ncontent\n\x07"));
    }
    bed.ask("18446744073709551615 8").expect(format!("L {inode}\ncontent\n\x07"));
}

#[test]
fn what_is_no_regular_file_is_as_good_as_missing() {
    let dir = Dir::new();
    dir.write("secret", "secret\n");
    fs::create_dir(dir.path("directory")).unwrap();
    nix::unistd::mkfifo(&dir.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("secret", dir.path("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    let names = ["directory", "pipe", "link", "socket", "missing"];
    let settings: String = names.iter().map(|name| format!("file BASE/{name}\n")).collect();
    let bed = Bed::start(dir, &settings, Command::new(SERVE_LOGS));
    for name in names {
        let mut peer = bed.connect();
        peer.send(format!("{}\n", bed.dir.path(name).display()));
        peer.expect_silence(name);
    }
    bed.program.complained("link: it is a link, or no regular file");
}

#[test]
fn a_link_that_takes_the_place_of_a_file_or_a_directory_leads_nowhere() {
    let dir = Dir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    fs::create_dir(dir.path("other")).unwrap();
    dir.write("logs/log", "content\n");
    dir.write("other/log", "secret\n");
    let bed = Bed::start(dir, "file BASE/logs/log\n", Command::new(SERVE_LOGS));
    let ask = || {
        let mut peer = bed.connect();
        peer.send(format!("{}\n", bed.dir.path("logs/log").display()));
        peer
    };
    ask().expect(bed.status('O', "logs/log") + "content\n\x07");
    fs::remove_file(bed.dir.path("logs/log")).unwrap();
    symlink(bed.dir.path("other/log"), bed.dir.path("logs/log")).unwrap();
    ask().expect_silence("the file became a link");
    fs::remove_dir_all(bed.dir.path("logs")).unwrap();
    symlink("other", bed.dir.path("logs")).unwrap();
    ask().expect_silence("the directory became a link");
}

#[test]
fn a_link_in_the_directory_is_followed_as_it_was_at_the_start() {
    let dir = Dir::new();
    fs::create_dir(dir.path("real")).unwrap();
    dir.write("real/log", "content\n");
    symlink("real", dir.path("linked")).unwrap();
    let bed = Bed::start(dir, "file BASE/linked/log\n", Command::new(SERVE_LOGS));
    let mut peer = bed.connect();
    peer.send(format!("{}\n", bed.dir.path("linked/log").display()));
    peer.expect(bed.status('O', "real/log") + "content\n\x07");
}

#[test]
fn a_peer_that_is_not_allowed_gets_no_answer() {
    let bed = Bed::with("allow 192.0.2.0/24\n", &[("log", b"content\n")]);
    for _ in 0..5 {
        bed.connect().expect_silence("not allowed");
    }
    bed.program.complained("cannot answer 127.0.0.1: not on the allow list");
    assert_eq!(bed.program.stderr().matches("allow list").count(), 1);
}
