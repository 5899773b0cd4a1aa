//! The command line.

use super::*;

fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = site.command(FETCH_LOGS).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_check_prints_the_sources_as_understood_and_makes_nothing() {
    let site = Site::new();
    let conf = site.path("conf").display().to_string();
    let snmp = site.path("snmp").display().to_string();
    fs::write(&conf, "# sources\n\n  [::1]  019 /var/log/a \"a b\" p # end\nx 1 /b c d\n").unwrap();
    let (code, stdout, stderr) = run(&site, &["--check", &snmp, &conf]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout, "::1 19 /var/log/a \"a b\" p\nx 1 /b c d\n");
    assert!(!site.path("snmp").exists());
}

#[test]
fn every_fault_of_a_configuration_or_command_line_is_exit_2_with_nothing_made() {
    let site = Site::new();
    let copy = site.path("made/log").display().to_string();
    let conf = site.path("conf").display().to_string();
    let snmp = site.path("snmp").display().to_string();
    let long = format!("{}/{}", site.path("made").display(), "n".repeat(250));
    let faults = [
        String::new(),
        "# nothing\n".to_owned(),
        format!("h 0 /a {copy} {copy}.ptr"),
        format!("h 65536 /a {copy} {copy}.ptr"),
        format!("h 19 relative {copy} {copy}.ptr"),
        format!("h 19 /a {copy} {copy}"),
        format!("h 19 /a {copy}"),
        format!("h 19 /a {copy} {copy}.ptr unknown=1"),
        format!("a/b 19 /a {copy} {copy}.ptr"),
        format!("h 19 /a {copy} {copy}.ptr\nh 19 /b {copy} {copy}.2"),
        format!("h 19 /a {copy} \"{copy}.ptr"),
        format!("h 19 /a {long} {copy}.ptr"),
        format!("h 19 /a {copy} {long}"),
    ];
    for text in faults {
        fs::write(&conf, &text).unwrap();
        for arguments in [vec!["--check", &snmp, &conf], vec![&snmp, &conf]] {
            let mut running = Program::spawn(site.command(FETCH_LOGS).args(&arguments));
            assert_eq!(running.ended().code(), Some(2), "{text:?}");
            wait_until("there is a word on stderr", || !running.stderr().is_empty());
        }
        assert!(!site.path("snmp").exists() && !site.path("made").exists(), "{text:?}");
    }
    fs::write(&conf, format!("127.0.0.1 19 /a {copy} {copy}.ptr")).unwrap();
    let (snmp, conf) = (snmp.as_str(), conf.as_str());
    for wrong in [
        &[][..],
        &[snmp],
        &[snmp, conf, "third"],
        &["--nonsense", snmp, conf],
        &["--reconnect", "5", snmp, conf],
        &["--reconnect", "0s", snmp, conf],
        &["--connect-timeout", "0s", snmp, conf],
        &["--reply-timeout", "0ms", snmp, conf],
        &["--idle-timeout", "0h", snmp, conf],
        &["--once", "--demo", snmp, conf],
        &["--verify"],
        &["--verify", "--check", snmp, conf],
        &["--list"],
        &["--list", "nohost"],
        &["--list", "127.0.0.1:0"],
        &["--list", "127.0.0.1:19", ""],
        &["--list", "127.0.0.1:19", "/*", "third"],
        &["--list", "127.0.0.1:19", "--once"],
    ] {
        let mut running = Program::spawn(site.command(FETCH_LOGS).args(wrong));
        assert_eq!(running.ended().code(), Some(2), "{wrong:?}");
    }
    assert!(!site.path("snmp").exists() && !site.path("made").exists());
}
