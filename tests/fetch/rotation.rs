//! The end of a generation and the beginning of the next.

use super::*;

#[test]
fn another_inode_makes_an_archive_and_a_first_contact_makes_none() {
    let truth = Truth::new();
    truth.grow(3000);
    let site = Site::of(truth.port());
    let running = site.start();
    site.wait_all(&truth);
    assert_eq!(site.names(), ["log", "log.ptr"]);
    truth.rotate();
    truth.grow(100);
    site.wait_all(&truth);
    assert_eq!(site.archives().len(), 1);
    let archive = site.names().into_iter().find(|name| name.starts_with("log.2")).unwrap();
    assert_eq!(archive.len(), "log.20261120132249".len());
    running.wait_said("127.0.0.1 /var/log/log rotated to 1002");
    assert_eq!(running.lines().len(), 1, "{:?}", running.lines());
}

#[test]
fn ten_rotations_in_a_second_make_ten_archives_in_order_empty_ones_too() {
    let truth = Truth::new();
    truth.grow(10);
    let site = Site::of(truth.port());
    let _running = site.start();
    site.wait_all(&truth);
    for number in 0..10 {
        truth.rotate();
        truth.grow(number % 3 * 500);
    }
    site.wait_all(&truth);
    assert_eq!(site.archives().len(), 10);
    assert!(site.archives()[1].is_empty());
}

#[test]
fn a_lost_generation_is_told_exactly_so_and_the_next_begins() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    responder.asked().send(b"O 1001\nfirst").close();
    site.wait_copy(b"first");
    let mut asked = responder.asked();
    assert_eq!(asked.request, "/var/log/log 1001 5");
    asked.send(b"L 1001\n");
    running.wait_said(" 127.0.0.1 /var/log/log ERR init header is broken: ");
    assert_eq!(site.archives().len(), 0);
    let mut asked = responder.asked();
    assert_eq!(asked.request, "/var/log/log 1001 0");
    asked.send(b"L 2002\nsecond");
    site.wait_copy(b"second");
    assert_eq!(site.archives(), [b"first"]);
    running.wait_said("/var/log/log lost 1001:5 to an unknown end");
}
