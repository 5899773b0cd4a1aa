//! Many sources.

use super::*;

#[test]
fn a_thousand_idle_sources_need_little_memory() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard).unwrap();
    if hard < 2500 {
        tell(FILE, "a thousand sources: too few descriptors");
        return;
    }
    let responder = Scripted::new();
    let site = Site::new().option("--connect-timeout", "20s").option("--reply-timeout", "20s");
    let lines: Vec<String> = (0..1000)
        .map(|number| site.line("127.0.0.1", responder.port(), &format!("log{number}")))
        .collect();
    site.configure(&lines);
    let running = site.start();
    let mut connections = Vec::new();
    while connections.len() < 1000 {
        let mut asked = responder.asked();
        asked.send(b"O 1001\n\x07");
        connections.push(asked);
    }
    site.wait_status("127.0.0.1", "OK\n");
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    eprintln!("1,000 idle sources: {kib} KiB resident");
    assert!(kib < 32 * 1024, "{kib} KiB");
    assert_eq!(fs::metadata(site.path("d/log7")).unwrap().size(), 0);
}

/// `count` sources of one log, `d/log0` and so on.
fn crowd(truth: &Truth, count: usize, sync: &str) -> Site {
    let site = Site::new().option("--sync", sync).option("--reply-timeout", "20s");
    let line = |number| site.line("127.0.0.1", truth.port(), &format!("log{number}"));
    site.configure(&(0..count).map(line).collect::<Vec<_>>());
    site
}

/// All copies are what the log is, and all pointers say that they are durable.
fn wait_durable(site: &Site, truth: &Truth, count: usize, what: &str) {
    let durable = |number: usize| {
        let current = truth.current();
        let held = parse_pointer(&site.read(&format!("d/log{number}.ptr")));
        matches!(held, Ok(Held::Pointer(pointer)) if pointer.durable == current.len() as u64)
            && site.copy(&format!("log{number}")) == Some(current)
    };
    wait_until(&format!("all is durable ({what})"), || (0..count).all(durable));
}

/// Whether checkpoints can be made together where tests have their files; else what is left out is told.
fn together(site: &Site, what: &str) -> bool {
    let volume = fetchlogs::sys::linux::volume::OpenVolume::open(&site.path("d")).unwrap();
    if volume.is_none() {
        tell(FILE, &format!("{what}: the file system can't be synced as a whole"));
    }
    volume.is_some() && can_trace(what)
}

#[test]
fn two_hundred_busy_sources_are_synced_together() {
    const COUNT: usize = 200;
    let truth = Truth::new();
    let site = crowd(&truth, COUNT, "1s");
    if !together(&site, "counting syncs") {
        return;
    }
    truth.grow(10);
    let _running = site.start_traced(&["-e", "trace=fsync,fdatasync,syncfs,sync_file_range"]);
    wait_durable(&site, &truth, COUNT, "begun");
    let calls = |name: &str| {
        let trace = String::from_utf8(site.read("trace")).unwrap();
        trace.lines().filter(|line| line.contains(&format!(" {name}("))).count()
    };
    let syncs = || ["fsync", "fdatasync", "syncfs"].map(calls).iter().sum::<usize>();
    let before = (syncs(), calls("syncfs"));
    for _ in 0..20 {
        truth.grow(100);
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_durable(&site, &truth, COUNT, "grown");
    let after = (syncs(), calls("syncfs"));
    eprintln!("{COUNT} busy sources: {} syncs in a second or two", after.0 - before.0);
    assert!(after.1 > before.1, "none is of the file system");
    assert!(after.0 - before.0 < COUNT / 2, "{}", after.0 - before.0);
    assert!(calls("sync_file_range") > COUNT);
}

#[test]
fn a_file_system_that_cant_be_synced_is_recovered_from_and_at_last_synced_file_by_file() {
    const COUNT: usize = 40;
    for when in [":when=1", ":when=2", ""] {
        let truth = Truth::new();
        let site = crowd(&truth, COUNT, "200ms");
        if !together(&site, "syncs of a file system that fail") {
            return;
        }
        let inject = format!("inject=syncfs:error=EIO{when}");
        let running = site.start_traced(&["-e", "trace=syncfs", "-e", &inject]);
        wait_until("a sync has failed", || {
            truth.grow(100);
            running.said("cannot sync file system of") > 0
        });
        wait_durable(&site, &truth, COUNT, when);
        truth.grow(1000);
        wait_durable(&site, &truth, COUNT, when);
        assert_eq!(running.said("lost"), 0);
    }
}

#[test]
fn killed_at_every_step_of_a_group_all_go_on_without_gap_or_repeat() {
    const COUNT: usize = 20;
    let mut kills = 0;
    // Files are renamed when sources begin, too.
    let calls = [("syncfs", 1..3, 1), ("sync_file_range", 1..80, 13), ("rename", 1..60, 7)];
    for (call, range, step) in calls {
        for when in range.step_by(step) {
            let truth = Truth::new();
            let site = crowd(&truth, COUNT, "50ms");
            if !together(&site, "a kill in a group") {
                return;
            }
            let inject = format!("inject={call}:signal=SIGKILL:when={when}");
            let mut running = site.start_traced(&["-e", &format!("trace={call}"), "-e", &inject]);
            let until = Instant::now() + Duration::from_secs(5);
            while running.try_ended().is_none() && Instant::now() < until {
                truth.grow(50);
                std::thread::sleep(Duration::from_millis(5));
            }
            kills += u32::from(running.try_ended().is_some());
            running.kill();
            let after = site.start();
            wait_durable(&site, &truth, COUNT, &format!("{call} {when}"));
            assert_eq!(after.said("lost"), 0, "{call} {when}");
        }
    }
    eprintln!("{kills} kills in groups");
    assert!(kills >= 10, "only {kills} kills");
}
