//! What the fetcher has given up.

use super::*;

/// Whether the kernel forbids a process what it gave up; else that is told.
fn forbids(fetcher: &Program) -> bool {
    // The log says it before anything else happens.
    let without = fetcher.stderr().contains("the kernel gives no Landlock");
    if without {
        tell(FILE, "what the fetcher gives up: the kernel gives no Landlock");
    }
    !without
}

#[test]
fn a_new_directory_beside_the_others_is_taken_and_one_elsewhere_needs_a_restart_and_is_told() {
    let truth = Truth::new();
    truth.grow(100);
    let site = Site::of(truth.port());
    let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut fetcher = site.start();
    site.wait_all(&truth);
    let line = |dir: &Path| {
        let copy = dir.join("log").display().to_string();
        format!("127.0.0.1 {} /var/log/log {copy} {copy}.ptr", truth.port())
    };
    let beside = site.path("d2/deeper");
    site.configure(&[
        site.line("127.0.0.1", truth.port(), "log"),
        line(&beside),
        line(&elsewhere.path().join("d")),
    ]);
    fetcher.signal(Signal::SIGHUP);
    let arrived = |dir: &Path| fs::read(dir.join("log")).is_ok_and(|copy| copy.len() == 100);
    wait_until("there is the copy beside", || arrived(&beside));
    if forbids(&fetcher) {
        fetcher.complained("before a restart: 127.0.0.1 ");
        fetcher.wait_said("ERR cannot make directory ");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fetcher.kill();
        fetcher = site.start();
    }
    wait_until("there is the copy elsewhere", || arrived(&elsewhere.path().join("d")));
    assert_eq!(fetcher.said("ERR"), 0, "{:?}", fetcher.lines());
}
