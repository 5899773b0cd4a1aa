//! Configurations: what is understood, and what the operator reads when it is not.
//!
//! Every `tests/config/fetch-*.conf` and `serve-*.conf` has its result next to it in `*.expected`:
//! the configuration printed back, or its faults. `UPDATE_GOLDENS=1` writes them anew.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetchlogs::config::*;
use proptest::prelude::*;

/// What the operator sees for this text: the configuration, or its faults. Whatever is accepted must
/// parse again from what was printed, and be the same.
fn outcome(file: &str, text: &[u8]) -> String {
    if file.starts_with("serve") {
        match parse_serve(file, text) {
            Ok(config) => {
                let printed = config.to_string();
                assert_eq!(parse_serve("printed", printed.as_bytes()), Ok(config), "{printed}");
                printed
            }
            Err(faults) => format!("{faults}\n"),
        }
    } else {
        match parse_fetch(file, text) {
            Ok(config) => {
                let printed = config.to_string();
                assert_eq!(parse_fetch("printed", printed.as_bytes()), Ok(config), "{printed}");
                printed
            }
            Err(faults) => format!("{faults}\n"),
        }
    }
}

/// What differs, as lines with `-` (expected) and `+` (found).
fn differences(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let mut text = String::new();
    for at in 0..expected.len().max(found.len()) {
        let (old, new) = (expected.get(at), found.get(at));
        if old == new {
            continue;
        }
        for (sign, line) in [('-', old), ('+', new)] {
            if let Some(line) = line {
                text.push_str(&format!("{:4} {sign} {line}\n", at + 1));
            }
        }
    }
    text
}

#[test]
fn every_configuration_is_understood_as_its_golden_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("conf")));
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = String::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = outcome(name, &std::fs::read(&path).unwrap());
        assert!(found.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{name}");
        let golden = path.with_extension("expected");
        if update {
            std::fs::write(&golden, &found).unwrap();
            continue;
        }
        match std::fs::read_to_string(&golden) {
            Ok(expected) if expected == found => {}
            Ok(expected) => {
                wrong.push_str(&format!("{name}\n{}", differences(&expected, &found)));
            }
            Err(error) => wrong.push_str(&format!("{name}: cannot read its golden: {error}\n")),
        }
    }
    assert!(wrong.is_empty(), "goldens differ (- expected, + found):\n{wrong}");
}

#[test]
fn sources_are_compared_by_what_they_ask_for_and_not_by_their_line() {
    let one = parse_fetch("f", b"a 19 /l c p\n").unwrap();
    let same = parse_fetch("f", b"# moved\n\na  019 /l \"c\" p # once more\n").unwrap();
    assert_eq!(one, same);
    assert_eq!((one.sources[0].line, same.sources[0].line), (1, 3));
    for other in ["b 19 /l c p", "a 20 /l c p", "a 19 //l c p", "a 19 /l d p", "a 19 /l c q"] {
        assert_ne!(one, parse_fetch("f", other.as_bytes()).unwrap(), "{other}");
    }
}

#[test]
fn a_file_of_rubbish_has_its_faults_counted() {
    let rubbish = "rubbish\n".repeat(50_000);
    let faults = parse_fetch("f", rubbish.as_bytes()).unwrap_err();
    assert_eq!((faults.list.len(), faults.more), (FAULTS_MAX, 50_000 - FAULTS_MAX));
    let faults = parse_serve("f", rubbish.as_bytes()).unwrap_err();
    assert_eq!((faults.list.len(), faults.more), (FAULTS_MAX, 50_001 - FAULTS_MAX));
}

#[test]
fn a_configuration_has_no_more_sources_than_can_be_followed() {
    let mut text: String =
        (0..SOURCES_MAX).map(|n| format!("h{n} 19 /log c/{n} p/{n}\n")).collect();
    assert_eq!(parse_fetch("f", text.as_bytes()).unwrap().sources.len(), SOURCES_MAX);
    text.push_str("one 19 /more c/x p/x\nrubbish\n");
    let faults = parse_fetch("f", text.as_bytes()).unwrap_err();
    let said = "f:100001: cannot take another source: there are 100000 already";
    assert_eq!(faults.to_string(), said);
}

#[test]
fn a_fault_knows_its_column() {
    let faults = parse_fetch("f", b"a 19 /l  c p\n b 0  l c2 p2 x\n").unwrap_err();
    let places: Vec<_> = faults.list.iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(places, [(2, 4), (2, 7), (2, 15)]);
}

#[test]
fn limits_of_a_responder_hold_at_their_ends() {
    let accepts = |line: &str| parse_serve("f", format!("file /l\n{line}").as_bytes()).is_ok();
    for line in [
        "heartbeat 1s",
        "heartbeat 1h",
        "check 50ms",
        "check 60m",
        "linger 0s",
        "linger 0ms",
        "linger 24h",
        "request-timeout 100ms",
        "request-timeout 10m",
        "max-connections 1",
        "max-connections 1000000",
    ] {
        assert!(accepts(line), "{line}");
    }
    for line in [
        "heartbeat 999ms",
        "heartbeat 0s",
        "heartbeat 61m",
        "check 49ms",
        "linger 25h",
        "request-timeout 99ms",
        "request-timeout 601s",
        "max-connections 0",
        "max-connections +1",
        "max-connections 1000001",
    ] {
        assert!(!accepts(line), "{line}");
    }
}

#[test]
fn a_path_of_1024_bytes_is_served_with_its_default_patterns() {
    let path = format!("/{}", "[".repeat(PATH_BYTES_MAX - 1));
    let printed = outcome("serve", format!("file {path}").as_bytes());
    assert!(printed.contains(&format!("file {path} /\\[")), "{printed}");
    let faults = outcome("serve", format!("file {path}x").as_bytes());
    assert!(faults.contains("longer than 1024 bytes"), "{faults}");
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = parse_serve("f", b"file /var/log/app.log").unwrap();
    let ServeConfig { files, .. } = config.clone();
    assert_eq!(config, ServeConfig { files, ..ServeConfig::default() });
    assert_eq!(config.heartbeat, Duration::from_secs(60));
    let patterns = &config.files[0].patterns;
    let takes = |name: &str| patterns.iter().any(|pattern| pattern.matches(OsStr::new(name)));
    assert!(patterns.iter().all(|pattern| pattern.dir() == Path::new("/var/log")));
    assert!(
        takes("app.log.1")
            && takes("app.log-20261231.gz")
            && !takes("app.log")
            && !takes("app.logs")
    );
}

#[test]
fn ten_thousand_files_are_read_at_once() {
    let text: String = (0..10_000).map(|n| format!("file /var/log/app{n}.log\n")).collect();
    let start = std::time::Instant::now();
    let config = parse_serve("f", text.as_bytes()).unwrap();
    assert_eq!(config.files.iter().map(|file| file.patterns.len()).sum::<usize>(), 20_000);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Words that make sense somewhere, and some that do not.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "10.4.3.1",
        "::1",
        "[2001:db8::1]",
        "web1",
        "19",
        "0",
        "/var/log/a",
        "/var/log/a b",
        "/a/../b",
        "c/a",
        "c//a",
        "p",
        "./p",
        "c/a.20261231235959",
        "k=v",
        "listen",
        "allow",
        "file",
        "heartbeat",
        "check",
        "linger",
        "request-timeout",
        "max-connections",
        "0.0.0.0:19",
        "[::]:0",
        "10.4.3.0/24",
        "10.4.3.7/24",
        "::/0",
        "/d/l",
        "/d/l.*",
        "/d/[a-c]?\\*",
        "/d\\[/x*",
        "5s",
        "60s",
        "200ms",
        "",
        "#",
        "\\",
    ]);
    prop_oneof![
        8 => known.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(1..=255u8, 0..8),
        1 => prop::collection::vec(1..=255u8, 1..8).prop_map(|tail| [b"/d/", &tail[..]].concat()),
    ]
}

/// A line that is likely to be a source with paths of its own.
fn source() -> impl Strategy<Value = String> {
    let path = || prop::collection::vec(1..=255u8, 1..8);
    let host = prop::sample::select(vec!["web1", "::1", "[::ffff:1.2.3.4]", "10.4.3.1"]);
    (host, 1..=u16::MAX, path(), path(), path()).prop_map(|(host, port, remote, local, pointer)| {
        let remote = emit_word(&[b"/", &remote[..]].concat());
        format!("{host} {port} {remote} {} {}", emit_word(&local), emit_word(&pointer))
    })
}

/// A line that is likely to be a directive.
fn directive() -> impl Strategy<Value = String> {
    let tail = || prop::collection::vec(1..=255u8, 1..8);
    let path = move || tail().prop_map(|tail| emit_word(&[b"/d/", &tail[..]].concat()));
    prop_oneof![
        (path(), prop::collection::vec(path(), 0..3))
            .prop_map(|(path, patterns)| format!("file {path} {}", patterns.join(" "))),
        (any::<u32>(), 0..=32u8).prop_map(|(bits, length)| {
            let net = ipnet::IpNet::new(std::net::Ipv4Addr::from(bits).into(), length).unwrap();
            format!("allow {}", net.trunc())
        }),
        (any::<u128>(), 0..=128u8).prop_map(|(bits, length)| {
            let net = ipnet::IpNet::new(std::net::Ipv6Addr::from(bits).into(), length).unwrap();
            format!("allow {}", net.trunc())
        }),
        any::<u16>().prop_map(|port| format!("listen [::1]:{port}")),
        (100..90_000_000u64).prop_map(|ms| format!("linger {ms}ms")),
    ]
}

/// Lines of words, each in its quotes.
fn lines_of_words() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::collection::vec(word(), 0..8).prop_map(|words| {
        let words: Vec<String> = words.iter().map(|word| emit_word(word)).collect();
        words.join(" \t").into_bytes()
    });
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join(&b"\r\n"[..]))
}

/// Texts are printable ASCII, one line each, and of the form the house wants.
fn check_faults(faults: &Faults) -> Result<(), TestCaseError> {
    for fault in &faults.list {
        prop_assert!(fault.text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{fault:?}");
        prop_assert!(fault.text.starts_with("cannot ") && fault.text.contains(": "), "{fault:?}");
        prop_assert!(fault.text.len() < 2000, "{fault:?}");
    }
    Ok(())
}

/// Never a panic; what is accepted is the same when it is printed and parsed; faults are legible.
fn check_both(text: &[u8]) -> Result<(), TestCaseError> {
    match parse_fetch("f", text) {
        Ok(config) => {
            let printed = config.to_string();
            prop_assert_eq!(parse_fetch("p", printed.as_bytes()), Ok(config), "{}", printed);
        }
        Err(faults) => check_faults(&faults)?,
    }
    match parse_serve("f", text) {
        Ok(config) => {
            let printed = config.to_string();
            prop_assert_eq!(parse_serve("p", printed.as_bytes()), Ok(config), "{}", printed);
        }
        Err(faults) => check_faults(&faults)?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
        check_both(&text)?;
    }

    #[test]
    fn no_words_make_it_panic(text in lines_of_words()) {
        check_both(&text)?;
    }

    #[test]
    fn no_change_of_one_byte_makes_it_panic(
        mut text in lines_of_words(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        check_both(&text)?;
    }

    #[test]
    fn sources_are_the_same_after_they_were_printed(lines in prop::collection::vec(source(), 1..4)) {
        check_both(lines.join("\n").as_bytes())?;
    }

    #[test]
    fn directives_are_the_same_after_they_were_printed(lines in prop::collection::vec(directive(), 1..5)) {
        check_both(lines.join("\n").as_bytes())?;
    }

    #[test]
    fn words_are_the_same_after_they_were_quoted(
        words in prop::collection::vec(prop::collection::vec(1..=255u8, 0..20), 0..6),
    ) {
        let texts: Vec<String> = words.iter().map(|word| emit_word(word)).collect();
        let read = split_words(texts.join(" ").as_bytes()).unwrap();
        let read: Vec<Vec<u8>> = read.into_iter().map(|word| word.bytes).collect();
        prop_assert_eq!(read, words);
    }

    #[test]
    fn a_duration_is_the_same_after_it_was_written(ms in 0..=DURATION_MAX.as_millis() as u64) {
        let duration = Duration::from_millis(ms);
        prop_assert_eq!(parse_duration(&emit_duration(duration)), Ok(duration));
    }

    #[test]
    fn the_default_patterns_take_every_rotation_of_any_name(
        name in prop::collection::vec(1..=255u8, 1..20), suffix in prop::collection::vec(1..=255u8, 0..9),
    ) {
        let name: Vec<u8> = name.into_iter().map(|b| if b == b'/' { b'[' } else { b }).collect();
        let name = if name == b"." || name == b".." { b"*".to_vec() } else { name };
        let path = [b"/v/", &name[..]].concat();
        let text = format!("file {}", emit_word(&path));
        let config = parse_serve("f", text.as_bytes()).unwrap();
        for (pattern, sign) in config.files[0].patterns.iter().zip([b'.', b'-']) {
            let rotated = [&name[..], &[sign], &suffix].concat();
            prop_assert!(pattern.matches(OsStr::from_bytes(&rotated)));
            prop_assert!(!pattern.matches(OsStr::from_bytes(&name)));
        }
    }
}
