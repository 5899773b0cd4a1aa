//! `snmp_from_file`: its protocol without I/O, and the real program through pipes.

use fetchlogs::agent::oid::Oid;
use fetchlogs::agent::protocol::{
    Answer, LINE_BYTES_MAX, Request, Requests, Value, emit_answer, printable,
};
use fetchlogs::agent::table::{ADDRESS_BYTES_MAX, Host, Hosts, Tree, View, index_of};
use fetchlogs::agent::verdict::Found;
use proptest::prelude::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

const BASE: &str = ".1.3.6.1.4.99.1";
const TABLE: &str = ".1.3.6.1.4.1.32473.99.1";

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn requests_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Request> {
    let mut requests = Requests::default();
    let mut all = Vec::new();
    for piece in pieces {
        requests.handle_input(piece);
        all.extend(std::iter::from_fn(|| requests.poll_request()));
    }
    all
}

#[test]
fn a_conversation_gives_the_same_requests_in_every_split() {
    let said = b"PING\nget\n.1.3.6\nPING\ngetnext\n.1.3\nPING\nset\n.1.3.6\ninteger 5\n\nPING\n";
    let meant = [
        Request::Ping,
        Request::Get(oid(".1.3.6")),
        Request::Ping,
        Request::GetNext(oid(".1.3")),
        Request::Ping,
        Request::Set,
        Request::Ping,
    ];
    for cut in 0..=said.len() {
        for again in cut..=said.len() {
            let pieces = [&said[..cut], &said[cut..again], &said[again..]];
            assert_eq!(requests_of(pieces), meant, "cut at {cut} and {again}");
        }
    }
    assert_eq!(requests_of(said.chunks(1)), meant);
}

#[test]
fn a_ping_glued_to_a_value_without_a_line_end_is_a_ping() {
    let glued = b"set\n.1.3.6\n.1.3.6PING\nget\n.1.3\n";
    assert_eq!(requests_of([&glued[..]]), [Request::Set, Request::Ping, Request::Get(oid(".1.3"))]);
}

#[test]
fn what_is_no_command_is_ignored_and_what_is_no_oid_is_answered() {
    let said =
        b"\n\nhelp\nGET\nget \n get\ninteger 5\n\0\xff\nPING pong\nget\n\ngetnext\nPING\nset\n?\n";
    assert_eq!(requests_of([&said[..]]), [Request::NoOid, Request::NoOid, Request::Set]);
    assert_eq!(requests_of([&b"get\n.1.3.6"[..]]), [], "the line has not ended");
}

#[test]
fn a_line_too_long_is_nothing_and_the_next_line_counts_again() {
    let mut said = vec![b'x'; LINE_BYTES_MAX];
    said.extend_from_slice(b"PING\nget\n.1.3.6");
    said.extend(".1".repeat(LINE_BYTES_MAX).bytes());
    said.extend_from_slice(b"\nPING\n");
    for size in [1, 7, 4096, said.len()] {
        assert_eq!(requests_of(said.chunks(size)), [Request::NoOid, Request::Ping], "{size}");
    }
}

#[test]
fn a_reply_is_three_lines_of_printable_ascii() {
    let reply = |value| {
        let mut out = Vec::new();
        emit_answer(Some(&Answer { oid: oid(".1.3"), value }), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(reply(Value::Text("OK".into())), ".1.3\nstring\nOK\n");
    assert_eq!(reply(Value::Integer(3)), ".1.3\ninteger\n3\n");
    assert_eq!(reply(Value::Gauge(u32::MAX)), ".1.3\ngauge\n4294967295\n");
    assert_eq!(reply(Value::Text("a\nPING\té".into())), ".1.3\nstring\na?PING???\n");
    assert_eq!(reply(Value::Text(String::new())), ".1.3\nstring\n?\n");
    assert_eq!(printable(&[b'x'; 255]), "x".repeat(255));
    assert_eq!(printable(&[b'x'; 256]), format!("{}...", "x".repeat(252)));
    let mut none = Vec::new();
    emit_answer(None, &mut none);
    assert_eq!(none, b"NONE\n");
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader_and_no_split_changes_it(
        words in prop::collection::vec(prop_oneof![
            Just(b"PING\n".to_vec()), Just(b"get\n".to_vec()), Just(b"getnext\n".to_vec()),
            Just(b"set\n".to_vec()), Just(b".1.3.6\n".to_vec()), any::<Vec<u8>>(),
        ], 0..20),
        size in 1usize..50,
    ) {
        let said = words.concat();
        prop_assert_eq!(requests_of(said.chunks(size)), requests_of([&said[..]]));
    }

    #[test]
    fn an_oid_is_written_and_read_back(ids in prop::collection::vec(any::<u32>(), 1..=128)) {
        let text: String = ids.iter().map(|id| format!(".{id}")).collect();
        let read = oid(&text);
        prop_assert_eq!(read.ids(), &ids[..]);
        prop_assert_eq!(read.to_string(), text);
    }
}

/// The tree with these hosts, all fine but those whose name begins with `x`.
fn shown(names: &[&str]) -> (Tree, Hosts) {
    let hosts = names.iter().map(|name| {
        let text = if name.starts_with('x') { "ERR" } else { "OK" }.into();
        let found = Found::Line { text, modified: SystemTime::UNIX_EPOCH };
        (index_of(name.as_bytes()), Host { path: format!("/s/{name}"), found })
    });
    (Tree::new(oid(BASE), oid(TABLE)).unwrap(), hosts.collect())
}

fn view(hosts: &Hosts) -> View<'_> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(50);
    View { hosts, fault: None, directory: "/s", now, stale: Duration::from_secs(120) }
}

/// Every answer after `from`, as `OID value`.
fn walk(tree: &Tree, view: &View, from: &str) -> Vec<String> {
    let mut at = oid(from);
    let mut all = Vec::new();
    while let Some(answer) = tree.next(&at, view) {
        assert!(answer.oid > at, "{} does not follow {at}", answer.oid);
        assert_eq!(tree.get(&answer.oid, view).as_ref(), Some(&answer));
        all.push(format!("{} {:?}", answer.oid, answer.value));
        at = answer.oid;
    }
    all
}

#[test]
fn the_compatible_tree_walks_by_number_and_shows_only_ipv4() {
    let (tree, hosts) = shown(&["10.0.0.1", "9.0.0.1", "192.0.2.10", "192.0.2.9", "::1", "db"]);
    let expected = ["9.0.0.1", "10.0.0.1", "192.0.2.9", "192.0.2.10"]
        .map(|address| format!("{BASE}.{address} Text(\"OK\")"));
    assert_eq!(walk(&tree, &view(&hosts), BASE), expected);
    let from = format!("{BASE}.10.0.0.1");
    assert_eq!(walk(&tree, &view(&hosts), &from), expected[2..]);
    for (from, left) in [(".9", 4), (".9.0.0.1.0", 3), (".10.0.0", 3), (".192.0.2.10", 0)] {
        assert_eq!(walk(&tree, &view(&hosts), &format!("{BASE}{from}")).len(), left, "{from}");
    }
}

#[test]
fn the_table_has_scalars_and_a_row_for_every_host() {
    let (tree, hosts) = shown(&["xdb", "2001:db8::1", "192.0.2.7"]);
    let rows = [
        "1.4.192.0.2.7".to_owned(),
        format!("2.16.32.1.13.184{}.1", ".0".repeat(11)),
        "16.3.120.100.98".to_owned(),
    ];
    let mut expected = ["1.1.0 Gauge(3)", "1.2.0 Gauge(1)", "1.3.0 Text(\"OK\")"]
        .map(|line| format!("{TABLE}.{line}"))
        .to_vec();
    let columns = [
        (3, ["Text(\"OK\")", "Text(\"OK\")", "Text(\"ERR\")"]),
        (4, ["Integer(1)", "Integer(1)", "Integer(2)"]),
        (5, ["Gauge(50)"; 3]),
    ];
    for (column, values) in columns {
        for (row, value) in rows.iter().zip(values) {
            expected.push(format!("{TABLE}.1.4.1.{column}.{row} {value}"));
        }
    }
    assert_eq!(walk(&tree, &view(&hosts), TABLE), expected);
    for (from, left) in [(".1.1.0", 11), (".1.3.0.0", 9), (".1.4", 9), (".1.4.1.5.2", 2), (".2", 0)]
    {
        assert_eq!(walk(&tree, &view(&hosts), &format!("{TABLE}{from}")).len(), left, "{from}");
    }
    for absent in
        ["", ".1.1", ".1.1.1", ".1.1.0.0", ".1.4.1.2.1.4.192.0.2.7", ".1.4.1.3.1.4.192.0.2"]
    {
        assert_eq!(tree.get(&oid(&format!("{TABLE}{absent}")), &view(&hosts)), None, "{absent}");
    }
}

#[test]
fn a_fault_of_the_directory_is_told_and_takes_the_counts_away() {
    let (tree, hosts) = shown(&[]);
    let view = View { fault: Some("Permission denied"), ..view(&hosts) };
    let expected = [format!("{TABLE}.1.3.0 Text(\"ERR read /s: Permission denied\")")];
    assert_eq!(walk(&tree, &view, TABLE), expected);
    assert_eq!(tree.get(&oid(&format!("{TABLE}.1.1.0")), &view), None);
}

#[test]
fn a_name_too_long_for_an_oid_is_counted_and_has_no_row() {
    let (longest, longer) = ("a".repeat(ADDRESS_BYTES_MAX), "b".repeat(ADDRESS_BYTES_MAX + 1));
    let (_, hosts) = shown(&[&longest, &longer]);
    let table = format!("{TABLE}{}", ".1".repeat(16 - 9));
    let tree = Tree::new(oid(BASE), oid(&table)).unwrap();
    let all = walk(&tree, &view(&hosts), &table);
    assert_eq!(all.len(), 3 + 3, "{all:?}");
    assert!(all[0].ends_with("Gauge(2)"));
}

#[test]
fn roots_that_overlap_or_are_too_long_are_refused() {
    for (base, table) in [(".1.3", ".1.3.6"), (".1.3.6", ".1.3"), (".1.3", ".1.3")] {
        assert!(Tree::new(oid(base), oid(table)).is_err_and(|e| e.contains("overlap")));
    }
    assert!(Tree::new(oid(BASE), oid(&".1".repeat(17))).is_err());
}

/// The real program, its pipes in our hands.
struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Agent {
    fn start(directory: &Path) -> Agent {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snmp_from_file"));
        command.arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Agent { child, input, output }
    }

    fn ask(&mut self, words: &str, lines: usize) -> String {
        self.input.as_mut().unwrap().write_all(words.as_bytes()).unwrap();
        let mut reply = String::new();
        for _ in 0..lines {
            self.output.read_line(&mut reply).unwrap();
        }
        reply
    }

    fn text(&mut self, oid: &str) -> String {
        let reply = self.ask(&format!("get\n{oid}\n"), 3);
        reply.strip_prefix(&format!("{oid}\nstring\n")).expect(&reply).trim_end().to_owned()
    }

    /// Ends the input; what came out after that, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        self.input = None;
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(directory: &Path, name: &str, contents: &[u8]) -> File {
    std::fs::write(directory.join(name), contents).unwrap();
    File::options().write(true).open(directory.join(name)).unwrap()
}

#[test]
fn the_program_answers_as_the_manual_of_snmpd_says() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), "192.0.2.7", b"OK\n");
    let mut agent = Agent::start(temp.path());
    assert_eq!(agent.ask("PING\n", 1), "PONG\n");
    let known = format!("{BASE}.192.0.2.7\nstring\nOK\n");
    assert_eq!(agent.ask(&format!("get\n{BASE}.192.0.2.7\n"), 3), known);
    assert_eq!(agent.ask(&format!("getnext\n{BASE}\n"), 3), known);
    assert_eq!(agent.ask(&format!("getnext\n{BASE}.192.0.2.7\n"), 1), "NONE\n");
    assert_eq!(agent.ask(&format!("get\n{BASE}.192.0.2.256\n"), 1), "NONE\n");
    assert_eq!(agent.ask(&format!("get\n{BASE}\n"), 1), "NONE\n");
    let set = format!("set\n{BASE}.192.0.2.7\nstring \"PING\"\n\nPING\n");
    assert_eq!(agent.ask(&set, 2), "not-writable\nPONG\n");
    assert_eq!(agent.ask("get\n\nPING\n", 2), "NONE\nPONG\n");
    assert_eq!(agent.end(), (String::new(), Some(0)));
}

#[test]
fn the_program_tells_errors_staleness_and_absence() {
    let temp = tempfile::tempdir().unwrap();
    let (at, now) = (temp.path(), SystemTime::now());
    let hour = Duration::from_secs(3600);
    write(at, "192.0.2.1", b"ERR 2 of 7 sources: /var/log/messages: ERR read: connection closed\n");
    write(at, "192.0.2.2", b"OK\n").set_modified(now - Duration::from_secs(121)).unwrap();
    write(at, "192.0.2.3", b"OK\n").set_modified(now - Duration::from_secs(60)).unwrap();
    write(at, "192.0.2.4", b"OK\n").set_modified(now + hour).unwrap();
    write(at, "192.0.2.5", b"");
    write(at, "192.0.2.6", &[b'A'; 9999]);
    std::fs::create_dir(at.join("192.0.2.7")).unwrap();
    let path = |last| format!("{}/192.0.2.{last}", at.display());
    let mut agent = Agent::start(at);
    for (last, text) in [
        (1, "ERR 2 of 7 sources: /var/log/messages: ERR read: connection closed".to_owned()),
        (2, format!("ERR {} is stale", path(2))),
        (3, "OK".to_owned()),
        (4, format!("ERR {} is stale", path(4))),
        (5, "ERR NO DATA".to_owned()),
        (6, format!("{}...", "A".repeat(252))),
        (7, format!("ERR stat {}: Not a regular file", path(7))),
        (8, format!("ERR stat {}: No such file or directory", path(8))),
    ] {
        assert_eq!(agent.text(&format!("{BASE}.192.0.2.{last}")), text);
    }
    assert_eq!(agent.end(), (String::new(), Some(0)));
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_written_to_stderr_can_reach_snmpd() {
    let temp = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(temp.path());
    assert_eq!(agent.ask("PING\n", 1), "PONG\n");
    let stderr = std::fs::read_link(format!("/proc/{}/fd/2", agent.child.id())).unwrap();
    assert_eq!(stderr, Path::new("/dev/null"));
}

#[test]
fn only_regular_files_that_are_not_hidden_are_hosts() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    for name in [".hidden", "db.example", "2001:db8::1", "2001:DB8::1", "192.0.2.7"] {
        write(at, name, b"OK\n");
    }
    write(at, "2001:DB8::1", b"ERR the spelling that does not count\n");
    std::fs::create_dir(at.join("directory")).unwrap();
    std::os::unix::fs::symlink(at.join("db.example"), at.join("link")).unwrap();
    nix::unistd::mkfifo(&at.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut agent = Agent::start(at);
    let count = |agent: &mut Agent, oid| agent.ask(&format!("get\n{TABLE}.1.{oid}.0\n"), 3);
    assert_eq!(count(&mut agent, 1), format!("{TABLE}.1.1.0\ngauge\n3\n"));
    assert_eq!(count(&mut agent, 2), format!("{TABLE}.1.2.0\ngauge\n0\n"));
    let last = format!("{TABLE}.1.4.1.3.16");
    let name = "db.example".bytes().map(|b| format!(".{b}")).collect::<String>();
    let row = format!("{last}.10{name}\nstring\nOK\n");
    assert_eq!(agent.ask(&format!("getnext\n{last}\n"), 3), row);
}

#[test]
fn a_directory_that_appears_later_is_seen_then() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().join("snmp");
    let mut agent = Agent::start(&at);
    let fault = format!("ERR read {}: No such file or directory", at.display());
    assert_eq!(agent.text(&format!("{TABLE}.1.3.0")), fault);
    std::fs::create_dir(&at).unwrap();
    write(&at, "192.0.2.7", b"OK\n");
    assert_eq!(agent.text(&format!("{BASE}.192.0.2.7")), "OK", "one host is asked for at once");
    let deadline = SystemTime::now() + Duration::from_secs(30);
    while agent.text(&format!("{TABLE}.1.3.0")) != "OK" {
        assert!(SystemTime::now() < deadline, "the directory is not looked at again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        agent.ask(&format!("get\n{TABLE}.1.1.0\n"), 3),
        format!("{TABLE}.1.1.0\ngauge\n1\n")
    );
}

#[test]
fn wrong_arguments_are_told_on_stderr_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["/s", "not.an.oid"],
        &["/s", ".1.3.6", "--table-oid", ".1.3.6.1"],
        &["/s", "--stale", "soon"],
        &["/s", "--stale", "5"],
        &["/s", "--unknown"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snmp_from_file"));
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in ["--help", "--version"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snmp_from_file"));
        let output = command.arg(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn the_fragment_for_snmpd_asks_for_the_subtrees_we_have() {
    let fragment = include_str!("../snmp/snmpd.conf.fragment");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> =
        fragment.lines().filter(|l| l.starts_with("pass_persist")).map(words).collect();
    let oids: Vec<_> = lines.iter().map(|words| words[1].as_str()).collect();
    assert_eq!(oids, [BASE, TABLE]);
    assert!(lines.iter().all(|words| words[2].ends_with("/snmp_from_file") && words.len() == 4));
}
