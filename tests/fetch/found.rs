//! What is found on disk at the start.

use super::*;

/// A site whose fetcher had everything and ended in order.
fn stopped(truth: &Truth) -> Site {
    let site = Site::of(truth.port());
    let mut running = site.start();
    site.wait_all(truth);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0));
    assert_eq!(site.pointer().durable, truth.current().len() as u64);
    site
}

#[test]
fn a_pointer_that_can_not_be_used_costs_nothing_but_a_comparison() {
    let damage: [(&str, &[u8]); 4] = [
        ("it is empty", b""),
        ("it is damaged", b"1001 5 nonsense\n"),
        ("it is not text", b"\xff\xfe\x00"),
        ("its checksum is wrong", b"1001 5 v=1 base=0 crc32=00000000\n"),
    ];
    let truth = Truth::new();
    truth.grow(2000);
    let site = stopped(&truth);
    for (told, bytes) in damage {
        fs::write(site.path("d/log.ptr"), bytes).unwrap();
        let mut running = site.start();
        running.wait_said(told);
        truth.grow(10);
        site.wait_all(&truth);
        running.signal(Signal::SIGTERM);
        running.ended();
    }
    fs::remove_file(site.path("d/log.ptr")).unwrap();
    let _running = site.start();
    truth.grow(10);
    site.wait_all(&truth);
    assert_eq!(site.names(), ["log", "log.ptr"]);
}

#[test]
fn a_pointer_of_the_original_goes_on() {
    let truth = Truth::new();
    truth.grow(2000);
    let site = Site::of(truth.port());
    fs::write(site.path("d/log"), &truth.current()[..1500]).unwrap();
    fs::write(site.path("d/log.ptr"), "1001").unwrap();
    let _running = site.start();
    site.wait_all(&truth);
    assert_eq!(truth.requests(), ["/var/log/log 1001 1244"]);
}

#[test]
fn a_copy_that_is_not_what_the_pointer_says_becomes_the_truth_again() {
    let truth = Truth::new();
    truth.grow(2000);
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 7] = [
        ("missing", |copy| fs::remove_file(copy).unwrap()),
        ("emptied", |copy| fs::write(copy, "").unwrap()),
        ("cut", |copy| fs::File::options().write(true).open(copy).unwrap().set_len(500).unwrap()),
        ("replaced by the same", |copy| {
            let new = copy.with_file_name("new");
            fs::copy(copy, &new).unwrap();
            fs::rename(&new, copy).unwrap();
        }),
        ("replaced", |copy| {
            fs::remove_file(copy).unwrap();
            fs::write(copy, "something else").unwrap();
        }),
        ("edited at its end", |copy| {
            let mut bytes = fs::read(copy).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(copy, bytes).unwrap();
        }),
        ("appended to", |copy| {
            let mut bytes = fs::read(copy).unwrap();
            bytes.extend_from_slice(b"by hand");
            fs::write(copy, bytes).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let site = stopped(&truth);
        damage(&site.path("d/log"));
        let foreign = site.copy("log").unwrap_or_default();
        let running = site.start();
        site.wait_copy(&truth.current());
        if !truth.current().starts_with(&foreign) {
            // Bytes that are nobody's are kept under some other name.
            let kept = site.names().iter().any(|name| {
                let bytes = site.copy(name).unwrap();
                name != "log" && (bytes == foreign || foreign.ends_with(&bytes))
            });
            assert!(kept, "{what}: {:?}", site.names());
            wait_until("there is a word of it", || !running.lines().is_empty());
        }
    }
}

#[test]
fn a_tail_that_a_power_loss_left_is_cut_off_and_fetched_again() {
    let truth = Truth::new();
    truth.grow(2000);
    for (durable, size) in [(1000, 2000), (1000, 3000), (0, 2000), (1999, 2001)] {
        let site = stopped(&truth);
        site.change_pointer(|pointer| {
            pointer.boot = "another".to_owned();
            pointer.durable = durable;
        });
        let mut bytes = truth.current()[..durable as usize].to_vec();
        bytes.resize(size, 0);
        fs::write(site.path("d/log"), bytes).unwrap();
        let running = site.start();
        site.wait_copy(&truth.current());
        running.wait_said(&format!("to {size} of the copy did not survive: fetching them again"));
        assert_eq!(site.names(), ["log", "log.ptr"]);
    }
}

#[test]
fn what_can_not_be_a_copy_is_told_and_left_alone() {
    let truth = Truth::new();
    truth.grow(100);
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "precious").unwrap();
    for name in ["log", "log.ptr"] {
        let site = Site::of(truth.port());
        fs::create_dir(site.path("d").join(name)).unwrap();
        let running = site.start();
        running.wait_said("/var/log/log ERR cannot ");
        let mut running = running;
        running.kill();
        fs::remove_dir(site.path("d").join(name)).unwrap();
        std::os::unix::fs::symlink(outside.path(), site.path("d").join(name)).unwrap();
        let running = site.start();
        running.wait_said("/var/log/log ERR cannot ");
        fs::remove_file(site.path("d").join(name)).unwrap();
        site.wait_copy(&truth.current());
    }
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "precious");
}

#[test]
fn missing_directories_are_made_and_one_that_can_not_be_made_is_told() {
    let truth = Truth::new();
    truth.grow(100);
    let site = Site::new();
    fs::write(site.path("file"), "").unwrap();
    let at = |dir: &str| {
        let dir = site.path(dir).display().to_string();
        format!("127.0.0.1 {} /var/log/log {dir}/log {dir}/pointers/log", truth.port())
    };
    site.configure(&[at("a/b/c"), at("file/below")]);
    let running = site.start();
    wait_until("there is the copy", || site.read("a/b/c/log") == truth.current());
    running.wait_said("ERR cannot make directory ");
    assert_eq!(running.said("Not a directory"), 1);
    wait_until("one of two is in error", || {
        site.status("127.0.0.1").is_some_and(|status| status.starts_with("ERR 1 of 2 sources: "))
    });
}

#[test]
fn a_second_fetcher_of_one_copy_waits_for_the_first_to_end() {
    let truth = Truth::new();
    truth.grow(100);
    let site = Site::of(truth.port());
    let mut first = site.start();
    site.wait_all(&truth);
    // The same directory by another name.
    std::os::unix::fs::symlink(site.path("d"), site.path("also")).unwrap();
    let other = Site::new();
    let copy = site.path("also/log").display().to_string();
    other.configure(&[format!("127.0.0.1 {} /var/log/log {copy} {copy}.ptr", truth.port())]);
    let second = other.start();
    second.wait_said(": another fetch_logs keeps it");
    let asked = truth.requests().len();
    truth.grow(100);
    site.wait_all(&truth);
    assert_eq!(truth.requests().len(), asked);
    first.signal(Signal::SIGTERM);
    first.ended();
    second.wait_said("OK after ");
    truth.grow(100);
    site.wait_all(&truth);
    assert_eq!(site.names(), ["log", "log.ptr"]);
}
