//! What a hostile responder, or a slip of the operator's, once did to the fetcher.

use std::fs;
use std::time::{Duration, Instant};

use fetchlogs::proto::answer::File;
use fetchlogs::proto::frame::{Reason, emit_close, emit_heartbeat};

use crate::common::wait_until;
use crate::scripted::{Asked, Scripted, answer};
use crate::site::Site;
use crate::truth::Truth;

/// Found by attacks: a copy that was removed while it was written was written to on, without a name; when
/// its generation ended there was no archive, and nothing of it was left here. Nobody looked whether the copy
/// still had a name; checkpoints and rotations do now, and it is fetched again.
#[test]
fn a_copy_that_is_removed_while_it_is_written_is_fetched_again() {
    let truth = Truth::new();
    truth.grow(5000);
    let site = Site::of(truth.port()).option("--sync", "never");
    let fetcher = site.start();
    site.wait_all(&truth);
    fs::remove_file(site.path("d/log")).unwrap();
    truth.rotate();
    truth.grow(10);
    fetcher.wait_said("it was removed by somebody else");
    site.wait_all(&truth);
}

/// Found by attacks: a responder that only ever says that the file has more bytes than it sends was shown as
/// well, since each of its heartbeats was a sign of life. One that tells of more counts only if that comes.
#[test]
fn signs_of_life_that_tell_of_bytes_which_never_come_are_a_fault() {
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--idle-timeout", "500ms");
    let fetcher = site.start();
    let mut asked = responder.asked();
    asked.send(answer(File::First, 1001, 0));
    let until = Instant::now() + Duration::from_secs(20);
    while fetcher.said("ERR read: nothing but signs of life, and there is more") == 0 {
        assert!(Instant::now() < until, "it is believed");
        asked.send(emit_heartbeat(1 << 40, 1));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Found by attacks: a responder whose beginnings are right and whose ends are not was well and in error by
/// turns, and two lines were told of it at each connection, for ever. What comes and goes is one trouble now.
#[test]
fn a_fault_that_comes_and_goes_is_told_a_few_times() {
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--reconnect", "5ms");
    let fetcher = site.start();
    for _ in 0..20 {
        let mut asked: Asked = responder.asked();
        let file = if asked.request.ends_with(" 0 0") { File::First } else { File::Same };
        let from = asked.from() as u64;
        asked.send(answer(file, 1001, from)).send(emit_heartbeat(from, 1));
        asked.send(emit_close(Reason::Rotated, from)).send(b"more");
        wait_until("the connection is closed", || asked.gone());
    }
    let lines = fetcher.lines();
    assert!((7..=8).contains(&lines.len()), "{lines:#?}");
}
