//! Whatever is asked for: what is not served is not told.

use super::chance::Chance;
use super::*;

/// Requests for the log itself that are odd and lawful, with what protocol 1 says first.
fn odd_positions(inode: u64) -> Vec<(String, Option<String>)> {
    let size = CONTENT.len();
    let mut all = Vec::new();
    let found = Some(format!("O {inode}\n"));
    let other = Some(format!("L 0{inode}\n"));
    for (offset, status) in [
        ("0".to_owned(), found.clone()),
        (format!("{}", size - 1), found.clone()),
        (format!("{size}"), found.clone()),
        (format!("{}", size + 1), other.clone()),
        ("9223372036854775807".into(), other.clone()),
        ("9223372036854775808".into(), None),
        ("18446744073709551615".into(), None),
        ("18446744073709551616".into(), None),
        ("-1".into(), None),
        ("+1".into(), None),
        ("1e3".into(), None),
        ("0x10".into(), None),
        ("\u{662}".into(), None),
    ] {
        all.push((format!("{inode} {offset}"), status));
    }
    for (name, status) in [
        ("0", found.clone()),
        ("18446744073709551615", Some(format!("L {inode}\n"))),
        ("18446744073709551616", None),
        ("-1", None),
        ("+5", None),
        ("1e3", None),
        ("0x10", None),
    ] {
        all.push((format!("{name} 0"), status));
    }
    all
}

#[test]
fn an_inode_or_offset_of_any_kind_gives_the_log_from_a_byte_on_or_nothing() {
    let target = Target::new("");
    let inode = target.dir.inode("log");
    let path = target.dir.path("log");
    let tried = odd_positions(inode);
    for (position, status) in &tried {
        for end in ["\n", "\r\n", " more fields\n"] {
            let mut stream = target.connect();
            stream.write_all(format!("{} {position}{end}", path.display()).as_bytes()).unwrap();
            match status {
                None => assert!(rest(&mut stream).is_empty(), "{position}"),
                Some(status) => {
                    let mut heard = vec![0; status.len()];
                    stream.read_exact(&mut heard).expect(position);
                    assert_eq!(String::from_utf8_lossy(&heard), *status, "{position}");
                }
            }
        }
    }
    tally("attacks: odd inodes and offsets asked for", tried.len() as u64 * 3);
    target.stop();
}

#[test]
fn a_known_inode_with_another_generation_is_another_file_and_nothing_else() {
    let target = Target::new("");
    let (path, inode) = (target.dir.path("log"), target.dir.inode("log"));
    let path = path.display();
    for id in ["0.0.0", "1.-.-", "x", "", "4294967296.1.1", &"9".repeat(200)] {
        let asked = format!("{path} {inode} 5 +2 id={inode}.{id}\n");
        target.answer(asked.as_bytes());
        target.answer(format!("{path} {inode} 5 +2 id={id}\n").as_bytes());
    }
    assert!(target.serve_well() < PATIENCE);
    target.stop();
}

/// Pieces that requests are made of.
fn pieces(target: &Target) -> Vec<Vec<u8>> {
    let base = target.dir.path("").display().to_string();
    let (base, inode) = (base.trim_end_matches('/'), target.dir.inode("log"));
    let mut pieces: Vec<Vec<u8>> = [
        "/",
        "//",
        "..",
        "/../",
        "/..//",
        ".",
        "/./",
        " ",
        "  ",
        "\t",
        "\r",
        "\0",
        "\x0b",
        "\n",
        "0",
        "-1",
        "+5",
        "1e3",
        "0x10",
        "18446744073709551616",
        "9223372036854775807",
        "secret",
        "/secret",
        "/log",
        "/conf",
        "+2",
        " 0 0 +2 ",
        "path=",
        "path=%2Fetc%2Fpasswd",
        "%2F..",
        "start=end",
        "start=history",
        "id=",
        "head=",
        "tail=",
        "LIST ",
        "DIGEST ",
        "/**",
        "/*",
        "[",
        "A 1\n",
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/root",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/fd/0",
        "/proc/1/root",
    ]
    .iter()
    .map(|piece| piece.as_bytes().to_vec())
    .collect();
    pieces.push(base.as_bytes().to_vec());
    pieces.push(format!("{base}/log").into_bytes());
    pieces.push(format!("{base}/secret").into_bytes());
    pieces.push(format!(" {inode} 3").into_bytes());
    pieces.push(vec![0xff, 0xfe, 0x80]);
    pieces.push(vec![b'a'; 5000]);
    pieces
}

#[test]
fn no_request_that_can_be_made_of_paths_dots_and_odd_bytes_reaches_another_file() {
    let target = Target::new("");
    let pieces = pieces(&target);
    let number = 2000 * times_more() as u64;
    target.withstands(10, || {
        let mut chance = Chance::new(7);
        for _ in 0..number {
            let mut request = Vec::new();
            for _ in 0..=chance.below(6) {
                request.extend(&pieces[chance.below(pieces.len() as u64) as usize]);
            }
            request.push(b'\n');
            target.answer(&request);
        }
    });
    tally("attacks: requests made of paths, dots and odd bytes", number);
    target.stop();
}

#[test]
fn nothing_that_is_not_configured_can_be_told_from_what_does_not_exist() {
    let target = Target::new("");
    let base = target.dir.path("").display().to_string();
    let base = base.trim_end_matches('/');
    let mut told = std::collections::BTreeSet::new();
    for path in [
        format!("{base}/secret"),
        format!("{base}/no-such-file"),
        format!("{base}/../{}/log", base.rsplit('/').next().unwrap()),
        format!("/{base}/log"),
        base.to_owned(),
        "/".into(),
        "/etc/passwd".into(),
        "/etc/no-such-file".into(),
        "/root/.ssh/id_rsa".into(),
        "/proc/self/environ".into(),
        "/dev/zero".into(),
    ] {
        assert!(target.answer(format!("{path}\n").as_bytes()).is_empty(), "{path}");
        let answer = target.answer(format!("{path} 0 0 +2\n").as_bytes());
        told.insert(String::from_utf8(answer).unwrap().replace(&path, "PATH"));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    target.stop();
}

#[test]
fn a_second_request_on_one_connection_gets_no_answer() {
    let target = Target::new("");
    let request = target.request("log");
    assert!(target.answer(request.repeat(2).as_bytes()).is_empty());
    assert!(target.answer(request.repeat(500).as_bytes()).is_empty());
    let mut stream = target.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 1];
    stream.read_exact(&mut status).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let heard = rest(&mut stream);
    assert!(heard.len() <= 40 + CONTENT.len(), "{}", heard.escape_ascii());
    target.stop();
}

#[test]
fn an_endless_line_ends_after_four_kilobytes() {
    let target = Target::new("request-timeout 10m\n");
    const EACH: usize = 1 << 20;
    let pieces = [vec![b'a'; EACH], vec![b' '; EACH], vec![0; EACH], b"/".repeat(EACH)];
    let mut tried = 0;
    target.withstands(10, || {
        for piece in pieces.iter().cycle().take(20 * times_more()) {
            let mut stream = target.connect();
            // A gigabyte, or what it takes until the other side has had enough.
            let end = (0..1024).find_map(|_| stream.write_all(piece).err());
            assert!(end.is_some(), "a gigabyte without a line end was taken");
            assert!(rest(&mut stream).is_empty());
            tried += 1;
        }
    });
    tally("attacks: gigabytes without a line end", tried);
    target.stop();
}

#[test]
fn an_urgent_byte_is_no_part_of_a_request_and_harms_nobody() {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    let target = Target::new("");
    let request = target.request("log");
    let (one, other) = request.split_at(5);
    target.withstands(10, || {
        for _ in 0..200 {
            let mut stream = target.connect();
            stream.write_all(one.as_bytes()).unwrap();
            send(stream.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            stream.write_all(other.as_bytes()).unwrap();
            let mut letter = [0];
            stream.read_exact(&mut letter).unwrap();
            assert_eq!(letter, *b"O");
            let _ = send(stream.as_raw_fd(), b"!", MsgFlags::MSG_OOB);
            let _ = stream.shutdown(Shutdown::Write);
            assert_innocent(&rest(&mut stream));
        }
    });
    tally("attacks: urgent bytes sent", 400);
    target.stop();
}
