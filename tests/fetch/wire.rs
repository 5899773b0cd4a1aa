//! What comes over the wire, right or wrong.

use super::*;

#[test]
fn a_status_line_is_understood_however_it_is_split() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let mut running = site.start();
    let stream = b"O 1001\nfirst";
    responder.asked().send(stream).close();
    site.wait_copy(b"first");
    for cut in 0..=stream.len() {
        let mut asked = responder.asked();
        let reply = [b"O 1001\n", &b"first"[asked.from()..], b"\x07"].concat();
        asked.send_split(&reply, &[cut.min(reply.len())]).close();
    }
    let mut asked = responder.asked();
    while asked.from() != 0 {
        // It asks for what follows only; since there is no other generation, it compares then.
        asked.send(b"O 1001\n");
        asked = responder.asked();
    }
    asked.send_split(b"O 1001\nfirstmore", &(1..16).collect::<Vec<_>>());
    site.wait_copy(b"firstmore");
    assert!(running.try_ended().is_none());
    assert_eq!(site.archives().len(), 0);
}

#[test]
fn what_is_no_status_line_is_refused_told_once_and_escaped() {
    let lines: [(&[u8], &str); 10] = [
        (b"O x\n", "bad status line \"O x\""),
        (b"O -1\n", "bad status line \"O -1\""),
        (b"O 18446744073709551616\n", "bad status line"),
        (b"O 0\n", "bad status line"),
        (b"X 1\n", "bad status line"),
        (b"\n", "bad status line \"\""),
        (b"\x1b[2J\x1b]0;owned\x07\n", r#"bad status line "\x1b[2J\x1b]0;owned\x07""#),
        (b"data before the status\nO 1001\n", "bad status line \"data before the status\""),
        (b"\x07\x07O 1001\n", r#"bad status line "\x07\x07O 1001""#),
        (&[b'O'; 100_000], "line longer than 4096 bytes"),
    ];
    for (line, told) in lines {
        let responder = Scripted::new();
        let site = Site::of(responder.port());
        let running = site.start();
        for _ in 0..3 {
            let mut asked = responder.asked();
            assert_eq!(asked.request, "/var/log/log 0 0");
            asked.send(line);
            running.wait_said(told);
            wait_until("there is the end of the connection", || asked.gone());
        }
        assert_eq!(running.lines().len(), 1);
        let line = running.lines().remove(0);
        assert!(line.contains(" ERR init header is broken: "), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(site.names().is_empty(), "{:?}", site.names());
    }
}

#[test]
fn every_byte_value_but_the_heartbeat_arrives_and_heartbeats_go_wherever_they_are() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let _running = site.start();
    let all: Vec<u8> = (0..=255).filter(|&byte| byte != 7).collect();
    let mut sent = b"O 1001\n\x07\x07".to_vec();
    let mut expected = Vec::new();
    for shift in 0..all.len() {
        let mut piece = all.clone();
        piece.rotate_left(shift);
        expected.extend_from_slice(&piece);
        piece.insert(shift, 7);
        piece.extend_from_slice(&b"\x07\x07\x07"[..shift % 4]);
        sent.extend_from_slice(&piece);
    }
    let cuts: Vec<usize> = (1..sent.len()).step_by(997).collect();
    let mut asked = responder.asked();
    asked.send_split(&sent, &cuts);
    site.wait_copy(&expected);
    asked.send(b"\x07");
    assert!(!asked.gone());
}

#[test]
fn a_connection_that_breaks_at_any_byte_costs_nothing_but_time() {
    let truth = content(1, 40);
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--reconnect", "2ms");
    let _running = site.start();
    // Whatever is asked for is answered rightly, and broken off after `cut` bytes.
    for cut in 0..=7 + truth.len() {
        let mut asked = responder.asked();
        let from = asked.from();
        let reply = [b"O 1001\n", &truth[from.min(truth.len())..]].concat();
        asked.send(&reply[..cut.min(reply.len())]);
        if cut % 2 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        asked.reset();
        let copy = site.copy("log").unwrap_or_default();
        assert!(truth.starts_with(&copy), "cut at {cut}");
    }
    let mut asked = responder.asked();
    let from = asked.from();
    asked.send([b"O 1001\n", &truth[from..]].concat());
    site.wait_copy(&truth);
    assert_eq!(site.archives().len(), 0);
}

#[test]
fn silence_has_its_limits_before_and_after_the_status_line() {
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--idle-timeout", "300ms");
    let running = site.start();
    let _silent = responder.asked();
    running.wait_said("ERR init read: timeout");
    let mut asked = responder.asked();
    asked.send(b"O 1001\n\x07");
    running.wait_said("OK after 1 failure in ");
    holds_for(Duration::from_millis(600), "a heartbeat keeps the connection", || {
        asked.send(b"\x07");
        !asked.gone()
    });
    assert_eq!(running.said("ERR read"), 0);
    running.wait_said("ERR read: timeout");
    wait_until("there is the end of the connection", || asked.gone());
}

#[test]
fn a_refused_connection_and_a_name_unknown_are_told_once_in_local_time() {
    let closed = Scripted::new().port();
    let site = Site::new();
    site.configure(&[site.line("127.0.0.1", closed, "a"), site.line("host.invalid", 19, "b")]);
    let before = chrono::Local::now().naive_local();
    let running = site.start();
    running.wait_said("127.0.0.1 /var/log/a ERR init connect: Connection refused");
    running.wait_said("host.invalid /var/log/b ERR init connect: cannot look up host.invalid: ");
    holds_for(Duration::from_millis(700), "a fault is told once", || running.lines().len() == 2);
    for line in running.lines() {
        let told = chrono::NaiveDateTime::parse_from_str(&line[..19], "%Y-%m-%dT%H:%M:%S").unwrap();
        assert!((told - before).num_seconds().abs() <= 5, "{line}");
    }
    site.wait_status(
        "127.0.0.1",
        "ERR 1 of 1 sources: /var/log/a: ERR init connect: Connection refused\n",
    );
}

#[test]
fn ipv6_addresses_and_names_are_followed() {
    let v6 = Scripted::at("[::1]:0".parse().unwrap());
    let v4 = Scripted::new();
    let site = Site::new();
    site.configure(&[
        site.line("::1", v6.port(), "six"),
        site.line("localhost", v4.port(), "four"),
    ]);
    let running = site.start();
    v6.asked().send(b"O 1\nsix");
    v4.asked().send(b"O 1\nfour").close();
    v4.asked().send(b"O 2\nfour").close();
    v4.asked().send(b"O 3\nfour");
    wait_until("both copies are there", || {
        site.copy("six").as_deref() == Some(b"six") && site.copy("four").as_deref() == Some(b"four")
    });
    site.wait_status("::1", "OK\n");
    site.wait_status("localhost", "OK\n");
    assert_eq!(running.said("ERR"), 0, "{:?}", running.lines());
}

/// As a host with an IPv6 address does whose responder listens at IPv4 only.
#[test]
fn a_host_that_listens_at_one_of_its_addresses_is_well() {
    let truth = Truth::new();
    truth.grow(10);
    let site = Site::new();
    site.configure(&[site.line("twofold", truth.port(), "log")]);
    fs::write(site.path("hosts"), "::1 twofold\n127.0.0.2 twofold\n127.0.0.1 twofold\n").unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = site.command("unshare");
    command.args(["-m", "sh", "-c", script]).arg(site.path("hosts"));
    if !command.arg("true").status().is_ok_and(|status| status.success()) {
        tell(FILE, "a host with a dead address: /etc/hosts can't be replaced");
        return;
    }
    let mut command = site.command("unshare");
    command.args(["-m", "sh", "-c", script]).arg(site.path("hosts")).arg(FETCH_LOGS);
    let running = Program::spawn(site.arguments(&mut command));
    for _ in 0..3 {
        site.wait_all(&truth);
        truth.rotate();
        truth.grow(10);
    }
    site.wait_all(&truth);
    assert_eq!(running.said("ERR"), 0, "{:?}", running.lines());
    site.wait_status("twofold", "OK\n");
}
