//! Status files.

use super::*;

#[test]
fn a_status_file_counts_the_sources_of_its_host_and_is_never_read_half() {
    let truth = Truth::new();
    let closed = Scripted::new().port();
    let site = Site::new();
    let lines = [site.line("127.0.0.1", truth.port(), "a"), site.line("127.0.0.1", closed, "b")];
    site.configure(&lines);
    let running = site.start();
    let failing = "ERR 1 of 2 sources: /var/log/b: ERR init connect: Connection refused\n";
    site.wait_status("127.0.0.1", failing);
    let whole = |status: Option<String>| {
        status.is_some_and(|text| {
            text == "OK\n" || (text.starts_with("ERR ") && text.ends_with('\n'))
        })
    };
    for _ in 0..5 {
        truth.set_down(true);
        wait_until("both are in error", || {
            assert!(whole(site.status("127.0.0.1")));
            site.status("127.0.0.1").unwrap().starts_with("ERR 2 of 2 sources: /var/log/a: ")
        });
        truth.set_down(false);
        wait_until("one is in error", || {
            assert!(whole(site.status("127.0.0.1")));
            site.status("127.0.0.1").unwrap() == failing
        });
    }
    site.configure(&lines[..1]);
    running.signal(Signal::SIGHUP);
    site.wait_status("127.0.0.1", "OK\n");
}

#[test]
fn a_host_without_sources_has_no_status_file_after_a_reload_and_after_a_restart() {
    let truth = Truth::new();
    let site = Site::new();
    let v4 = site.line("127.0.0.1", truth.port(), "a");
    let v6 = site.line("::1", Scripted::new().port(), "b");
    site.configure(&[v4.clone(), v6.clone()]);
    let mut running = site.start();
    site.wait_status("127.0.0.1", "OK\n");
    wait_until("there is the other", || site.status("::1").is_some());
    site.configure(std::slice::from_ref(&v4));
    running.signal(Signal::SIGHUP);
    wait_until("there is the end of the other", || site.status("::1").is_none());
    running.kill();
    site.configure(&[v6]);
    let _running = site.start();
    wait_until("there is the truth after a restart", || {
        site.status("127.0.0.1").is_none() && site.status("::1").is_some()
    });
}

#[test]
fn the_longest_host_name_has_a_status_file() {
    let name = format!("{}{}", format!("{}.", "a".repeat(49)).repeat(5), "bcd");
    assert_eq!(name.len(), 253);
    let site = Site::new();
    site.configure(&[site.line(&name, 19, "log")]);
    let running = site.start();
    wait_until("there is the status file", || site.status(&name).is_some());
    assert!(running.stderr().is_empty(), "{:?}", running.stderr());
}
