//! What is in `etc/`: examples teach what is true, and the tools that will read the other files, where
//! they are installed, read them here.
//!
//! Names of users and paths of the installed system are replaced by those of this test, nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fetchlogs::config::{ServeConfig, parse_fetch, parse_serve};

#[path = "common/left_out.rs"]
mod left_out;

use left_out::program;

/// Most that `systemd-analyze security` may say of a unit; 10 is the worst.
const EXPOSURE_MAX: f64 = 1.5;

const UNITS: [&str; 2] = ["serve_logs.service", "fetch_logs.service"];

fn left_out(needed: &[&str]) -> bool {
    left_out::left_out("tests/etc.rs", needed)
}

fn etc(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(name)
}

fn text_of(name: &str) -> String {
    fs::read_to_string(etc(name)).expect(name)
}

/// Runs to the end; what was said, both ways.
fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let told = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8_lossy(&told).into_owned())
}

/// The lines `#name ...` made active. Prose has a blank after its `#`.
fn with_examples(text: &str) -> String {
    let active = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|line| active(line) + "\n").collect()
}

fn first_words(text: &str) -> BTreeSet<&str> {
    let words = text.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| !word.starts_with('#')).collect()
}

#[test]
fn the_example_of_serve_logs_parses_and_lets_nobody_in() {
    let config = parse_serve("serve_logs.conf", text_of("serve_logs.conf").as_bytes());
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let files = config.files.clone();
    assert_eq!(config, ServeConfig { files, ..ServeConfig::default() });
}

#[test]
fn the_example_of_serve_logs_shows_every_directive_with_its_true_default() {
    let text = with_examples(&text_of("serve_logs.conf"));
    let shown = parse_serve("serve_logs.conf", text.as_bytes());
    let shown = shown.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let default = ServeConfig::default();
    assert_eq!(shown.listen[0], default.listen[0]);
    let ServeConfig { listen, allow, files, .. } = shown.clone();
    assert_eq!(shown, ServeConfig { listen, allow, files, ..default });
    // What is printed has a line for each directive there is.
    assert_eq!(first_words(&text), first_words(&shown.to_string()));
}

#[test]
fn the_example_of_fetch_logs_parses_with_and_without_what_is_commented_out() {
    let text = text_of("fetch_logs.conf");
    for text in [with_examples(&text), text] {
        let config = parse_fetch("fetch_logs.conf", text.as_bytes());
        let config = config.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        assert!(config.sources.len() >= 2);
    }
}

#[test]
fn the_example_of_fetch_logs_tells_the_true_defaults_of_its_options() {
    let text = text_of("fetch_logs.conf");
    let (_, help) = run(Command::new(env!("CARGO_BIN_EXE_fetch_logs")).arg("--help"));
    let options =
        help.split("--").filter(|option| option.contains("<TIME>") || option.contains("<ROOM>"));
    let mut options = options.peekable();
    assert!(options.peek().is_some(), "{help}");
    for option in options {
        let name = option.split_whitespace().next().unwrap();
        let default = option.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
        let taught = format!("--{name} {}", default.expect(option));
        assert!(text.contains(&taught), "{taught}");
    }
}

/// A unit whose programs are the ones just built, in a directory of its own.
fn unit(dir: &Path, name: &str) -> PathBuf {
    let text = text_of(&format!("systemd/{name}"))
        .replace("/usr/bin/serve_logs", env!("CARGO_BIN_EXE_serve_logs"))
        .replace("/usr/bin/fetch_logs", env!("CARGO_BIN_EXE_fetch_logs"));
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if left_out(&["systemd-analyze", "kill"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in UNITS {
        let unit = unit(dir.path(), name);
        let (output, told) =
            run(Command::new(program("systemd-analyze").unwrap()).arg("verify").arg(unit));
        assert!(output.status.success() && told.is_empty(), "{told}");
    }
}

#[test]
fn systemd_finds_the_units_hardly_exposed() {
    if left_out(&["systemd-analyze"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in UNITS {
        let mut command = Command::new(program("systemd-analyze").unwrap());
        command.args(["security", "--offline=true", "--no-pager"]).arg(unit(dir.path(), name));
        let (_, told) = run(&mut command);
        if told.contains("unrecognized option") {
            left_out::tell("tests/etc.rs", "this systemd-analyze reviews no files, 250 would");
            return;
        }
        let exposure = told.split("Overall exposure level for").nth(1).expect(&told);
        let exposure = exposure.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        let exposure: f64 = exposure.and_then(|text| text.parse().ok()).expect(&told);
        assert!(exposure <= EXPOSURE_MAX, "{told}");
    }
}

/// systemd 252 counts the calls of Landlock to no group but that of all known ones.
#[test]
fn the_units_let_the_programs_confine_themselves_and_give_no_more_than_they_keep() {
    for name in UNITS {
        let text = text_of(&format!("systemd/{name}"));
        let filter = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
        let (taken, given): (Vec<&str>, Vec<&str>) = filter.partition(|line| line.starts_with('~'));
        for call in ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"] {
            let has = |lines: &[&str]| lines.iter().any(|line| line.contains(call));
            assert!(has(&given) && !has(&taken), "{name}: {call}");
        }
        // capset is refused, so nothing may be left that the programs would have to drop.
        let bounds = text.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let kept = ["CAP_NET_BIND_SERVICE", "CAP_LEASE"];
        assert!(bounds.expect(name).split_whitespace().all(|one| kept.contains(&one)), "{name}");
    }
}

/// The first `ExecReload=` of a unit, whose configuration is to be read from `conf`.
fn check_of(dir: &Path, name: &str, conf: &str) -> (Output, String) {
    let text = fs::read_to_string(unit(dir, name)).unwrap();
    let script =
        text.split("ExecReload=/bin/sh -c '").nth(1).and_then(|rest| rest.split('\'').next());
    let script = script.expect(&text).replace("/etc/fetchlogs/", &format!("{conf}/"));
    run(Command::new("/bin/sh").arg("-c").arg(script))
}

#[test]
fn a_reload_by_systemd_fails_for_a_faulty_configuration_and_is_silent_for_a_right_one() {
    let dir = tempfile::tempdir().unwrap();
    for name in UNITS {
        let conf = etc("").display().to_string();
        let (output, told) = check_of(dir.path(), name, conf.trim_end_matches('/'));
        assert!(output.status.success() && told.is_empty(), "{told}");
        let conf = dir.path().join(name.replace(".service", ".conf"));
        fs::write(&conf, "nonsense\n").unwrap();
        let (output, told) = check_of(dir.path(), name, dir.path().to_str().unwrap());
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty() && told.contains(":1"), "{told}");
    }
}

/// What `id` says of the user who runs this test.
fn id(option: &str) -> String {
    let (output, told) = run(Command::new("id").arg(option));
    assert!(output.status.success(), "{told}");
    told.trim().to_owned()
}

/// logrotate's file with all in `dir`, for the user who runs this test, and the command that reads it.
fn logrotate(dir: &Path, text: &str, options: &[&str]) -> Command {
    let (user, group) = (id("-un"), id("-gn"));
    let text = text
        .replace("su fetchlogs fetchlogs", &format!("su {user} {group}"))
        .replace("/var/log/fetchlogs", dir.to_str().unwrap())
        .replace("/var/lib/fetchlogs", dir.to_str().unwrap());
    let conf = dir.join("logrotate.conf");
    fs::write(&conf, text).unwrap();
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(program("logrotate").unwrap());
    command.args(options).arg("-s").arg(dir.join("state")).arg(conf);
    command
}

/// The rotation of copies that is commented out, made active.
fn rotation_of_copies(text: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with("#/"));
    lines.map(|line| line.trim_start_matches('#').to_owned() + "\n").collect()
}

#[test]
fn logrotate_takes_its_file_and_the_rotation_of_copies_that_is_commented_out() {
    if left_out(&["logrotate"]) {
        return;
    }
    let text = text_of("logrotate.d/fetchlogs");
    for (text, log) in [(rotation_of_copies(&text), "192.0.2.7/syslog"), (text, "fetch_logs.log")] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(log);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(&log, "line\n").unwrap();
        let (output, told) = run(&mut logrotate(dir.path(), &text, &["-d"]));
        assert!(output.status.success() && !told.contains("error:"), "{told}");
        assert!(told.contains(&format!("considering log {}", log.display())), "{told}");
    }
}

#[test]
fn logrotate_cuts_the_event_log_under_its_writer_and_leaves_no_hole() {
    if left_out(&["logrotate"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("fetch_logs.log");
    let mut writer = fs::File::options().append(true).create(true).open(&log).unwrap();
    writer.write_all(b"before\n").unwrap();
    let text = text_of("logrotate.d/fetchlogs");
    let (output, told) = run(&mut logrotate(dir.path(), &text, &["-f"]));
    assert!(output.status.success() && told.is_empty(), "{told}");
    writer.write_all(b"after\n").unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "after\n");
    assert_eq!(fs::read_to_string(dir.path().join("fetch_logs.log.1")).unwrap(), "before\n");
}

#[test]
fn sysusers_and_tmpfiles_make_user_and_directories_as_often_as_they_are_asked() {
    if left_out(&["systemd-sysusers", "systemd-tmpfiles"]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    if fs::metadata(root.path()).unwrap().uid() != 0 {
        return left_out::tell("tests/etc.rs", "systemd-tmpfiles needs root to give files away");
    }
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let option = format!("--root={}", root.path().display());
    for _ in 0..2 {
        let mut sysusers = Command::new(program("systemd-sysusers").unwrap());
        let (output, told) = run(sysusers.arg(&option).arg(etc("sysusers.d/fetchlogs.conf")));
        assert!(output.status.success(), "{told}");
        let mut tmpfiles = Command::new(program("systemd-tmpfiles").unwrap());
        let conf = etc("tmpfiles.d/fetchlogs.conf");
        let (output, told) = run(tmpfiles.args(["--create", &option]).arg(conf));
        assert!(output.status.success() && told.is_empty(), "{told}");
    }
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let (user, fields) = passwd.trim_end().split_once(":x:").unwrap();
    let own: u32 = fields.split(':').next().unwrap().parse().unwrap();
    assert_eq!(user, "fetchlogs");
    for (path, mode, owner) in [
        ("etc/fetchlogs", 0o755, 0),
        ("var/lib/fetchlogs", 0o751, own),
        ("var/lib/fetchlogs/snmp", 0o755, own),
        ("var/log/fetchlogs", 0o750, own),
        ("var/log/fetchlogs/fetch_logs.log", 0o640, own),
    ] {
        let facts = fs::metadata(root.path().join(path)).expect(path);
        assert_eq!(
            (facts.mode() & 0o7777, facts.uid(), facts.gid()),
            (mode, owner, owner),
            "{path}"
        );
    }
    // Made as the unit's umask has it: a status file is for all to read, a copy is not.
    for (path, mode) in [("var/lib/fetchlogs/snmp/h", 0o644), ("var/lib/fetchlogs/log", 0o640)] {
        let path = root.path().join(path);
        let script = format!("umask 0027; : > '{}'", path.display());
        assert!(run(Command::new("/bin/sh").args(["-c", &script])).0.status.success());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
    }
    assert!(text_of("systemd/fetch_logs.service").contains("\nUMask=0027\n"));
}
