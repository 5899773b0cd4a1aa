//! Responders that are away, broken, or restored from a crash.

use super::*;

#[test]
fn a_responder_that_accepts_and_closes_is_not_asked_in_a_hot_loop_and_loses_nothing() {
    let truth = Truth::new();
    truth.grow(1000);
    let site = Site::of(truth.port());
    let running = site.start();
    site.wait_all(&truth);
    truth.set_down(true);
    running.wait_said("ERR init read: connection closed");
    wait_until("it asks anew", || {
        truth.requests().iter().filter(|request| request.ends_with(" 0 0")).count() >= 3
    });
    truth.set_down(false);
    truth.grow(1000);
    site.wait_all(&truth);
    assert_eq!(site.archives().len(), 0, "{:?}", running.lines());
    assert_eq!(running.said("lost"), 0);
}

#[test]
fn responders_that_close_for_ever_are_not_asked_in_a_hot_loop() {
    let replies: [&[u8]; 4] = [b"", b"O 1001\n", b"O 1001\n\x07", b"O 1001\nbytes"];
    for reply in replies {
        let responder = Scripted::new();
        let site = Site::of(responder.port());
        let _running = site.start();
        let count = responder.count(Duration::from_secs(1), |stream| {
            let mut asked = scripted::Asked::read(stream);
            // The same bytes at any offset: a responder that repeats itself never says more.
            if reply.ends_with(b"bytes") && !asked.request.ends_with(" 0") {
                asked.send(b"O 1001\n").close();
            } else {
                asked.send(reply).close();
            }
        });
        assert!((2..=50).contains(&count), "{count} connections in 1 s for {reply:?}");
    }
}

#[test]
fn heartbeats_alone_are_well_and_make_an_empty_copy() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    let mut asked = responder.asked();
    asked.send(b"O 1001\n\x07\x07\x07");
    site.wait_status("127.0.0.1", "OK\n");
    assert_eq!(site.copy("log").as_deref(), Some(&b""[..]));
    assert!(running.lines().is_empty(), "{:?}", running.lines());
}

#[test]
fn a_source_that_lost_the_end_of_a_rotated_log_does_not_hold_up_what_follows() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    let all = content(1, 1000);
    responder.asked().send([b"O 1001\n", &all[..]].concat()).reset();
    site.wait_copy(&all);
    let mut connections = 0;
    while site.copy("log").as_deref() != Some(b"next") {
        let Some(stream) = responder.try_accept() else { continue };
        connections += 1;
        assert!(connections < 10, "asked in vain {connections} times");
        let mut asked = scripted::Asked::read(stream);
        let from = asked.from();
        match from {
            950 | 0 => drop(asked.send(b"O 1002\nnext")),
            from if from < 950 => {
                asked.send([b"O 1001\n", &all[from..950]].concat());
            }
            _ => {}
        }
        if from == 950 {
            site.wait_copy(b"next");
        }
    }
    assert_eq!(site.archives(), [all]);
    // Nobody can say what was behind it.
    running.wait_said("lost 1001:1000 to an unknown end");
    assert_eq!(running.said("source ended 1001 at byte 950, the copy has 1000"), 1);
}
