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
