//! Signals.

use super::*;

#[test]
fn a_reload_leaves_what_is_unchanged_connected() {
    let responder = Scripted::new();
    let (gone, new) = (Truth::new(), Truth::new());
    new.grow(10);
    let site = Site::new();
    let kept = site.line("127.0.0.1", responder.port(), "log");
    site.configure(&[kept.clone(), site.line("127.0.0.1", gone.port(), "gone")]);
    let running = site.start();
    let mut asked = responder.asked();
    asked.send(b"O 1001\none");
    site.wait_copy(b"one");
    site.configure(&["# moved down".to_owned(), site.line("127.0.0.1", new.port(), "new"), kept]);
    running.signal(Signal::SIGHUP);
    wait_until("there is the new source", || site.copy("new").is_some_and(|copy| copy.len() == 10));
    asked.send(b"two");
    site.wait_copy(b"onetwo");
    assert!(!asked.gone() && responder.try_accept().is_none());
    gone.grow(10);
    holds_for(Duration::from_millis(200), "the old source stays away", || {
        site.copy("gone").unwrap_or_default().is_empty()
    });
}

#[test]
fn a_broken_configuration_is_told_and_the_old_one_stays() {
    let truth = Truth::new();
    let site = Site::of(truth.port());
    let mut running = site.start();
    site.wait_all(&truth);
    fs::write(site.path("conf"), "127.0.0.1 99999 relative\n").unwrap();
    running.signal(Signal::SIGHUP);
    running.complained("the configuration stays as it was: ");
    fs::remove_file(site.path("conf")).unwrap();
    running.signal(Signal::SIGHUP);
    running.complained("cannot read ");
    truth.grow(100);
    site.wait_all(&truth);
    assert_eq!(truth.requests().len(), 1);
    assert!(running.try_ended().is_none());
}

#[test]
fn a_line_that_changes_and_keeps_its_copy_goes_on_in_it() {
    let truth = Truth::new();
    truth.grow(1000);
    let site = Site::of(truth.port());
    let running = site.start();
    site.wait_all(&truth);
    let copy = site.path("d/log").display().to_string();
    for round in 0..10 {
        truth.grow(10);
        site.configure(&[format!(
            "127.0.0.1 {} /var/log/other{round} {copy} {copy}.ptr",
            truth.port()
        )]);
        running.signal(Signal::SIGHUP);
        let asked = format!("/var/log/other{round} ");
        wait_until("there is a request for the other path", || {
            truth.requests().iter().any(|request| request.starts_with(&asked))
        });
        site.wait_all(&truth);
    }
    assert_eq!(running.said("ERR"), 0, "{:?}", running.lines());
}

#[test]
fn a_renamed_copy_goes_on_in_a_new_file_exactly_where_it_was_even_if_killed_then() {
    for killed in [false, true] {
        let truth = Truth::new();
        truth.grow(5000);
        let site = Site::of(truth.port());
        let mut running = site.start();
        site.wait_all(&truth);
        fs::rename(site.path("d/log"), site.path("d/log-old")).unwrap();
        truth.grow(500);
        wait_until("the renamed copy has them", || site.copy("log-old").unwrap().len() == 5500);
        running.signal(Signal::SIGUSR1);
        if killed {
            running.kill();
            running = site.start();
        }
        running.wait_said("copy reopened at byte 5500");
        truth.grow(700);
        wait_until("there is the new copy", || {
            site.copy("log").is_some_and(|copy| copy.len() == 700)
        });
        assert_eq!(site.pointer().base, 5500);
        let both = [site.copy("log-old").unwrap(), site.copy("log").unwrap()].concat();
        assert!(both == truth.current());
        running.signal(Signal::SIGUSR1);
        truth.rotate();
        truth.grow(5);
        wait_until("there is the next generation", || site.copy("log") == Some(truth.current()));
        assert_eq!(site.archives().len(), 1);
        assert_eq!(site.archives()[0], both[5500..]);
        assert_eq!(running.said("reopened"), 1);
    }
}

#[test]
fn asked_to_end_it_ends_at_once_and_everything_is_durable() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let truth = Truth::new();
        truth.grow(300_000);
        let site = Site::of(truth.port());
        let mut running = site.start();
        site.wait_all(&truth);
        let start = Instant::now();
        running.signal(signal);
        let status = running.ended();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(status.code(), Some(0));
        assert_eq!(site.pointer().durable, 300_000);
    }
}

/// The rename of a rotation takes long, and the end comes meanwhile.
#[test]
fn asked_to_end_in_the_middle_of_a_rotation_it_leaves_the_rotation_alone() {
    if !can_trace("an end in the middle of a rotation") {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let truth = Truth::new();
        truth.grow(1000);
        let site = Site::of(truth.port());
        let delay = "inject=renameat2:delay_exit=300000:when=1";
        let mut running = site.start_traced(&["-e", "trace=renameat2", "-e", delay]);
        site.wait_all(&truth);
        truth.rotate();
        wait_until("there is the rename", || !site.archives().is_empty());
        let copy = site.path("d/log").display().to_string();
        site.configure(&[format!("127.0.0.1 {} /var/log/other {copy} {copy}.ptr", truth.port())]);
        running.signal(signal);
        if signal == Signal::SIGTERM {
            running.ended();
            running = site.start();
        }
        truth.grow(100);
        site.wait_all(&truth);
        assert_eq!(running.said("ERR"), 0, "{signal}: {:?}", running.lines());
    }
}

#[test]
fn a_slow_lookup_makes_one_connection_when_it_ends() {
    if !can_trace("a slow lookup") {
        return;
    }
    let responder = Scripted::new();
    let site = Site::new();
    site.configure(&[site.line("localhost", responder.port(), "log")]);
    let site = site.option("--connect-timeout", "200ms");
    let running = site.start_traced(&[
        "-P",
        "/etc/hosts",
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:delay_enter=1500000",
    ]);
    running.wait_said("ERR init connect: timeout");
    let mut connections = Vec::new();
    responder.count(Duration::from_secs(3), |stream| connections.push(stream));
    assert!((1..=2).contains(&connections.len()), "{} connections", connections.len());
}
