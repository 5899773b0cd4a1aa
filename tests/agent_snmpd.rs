//! `snmp_from_file` under a real snmpd, asked by the real snmpget, snmpgetnext, snmpwalk, snmpset.
//!
//! Where net-snmp is not installed these tests pass and say so: see [`left_out`].

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

#[path = "common/left_out.rs"]
mod left_out;

use left_out::program;

const BASE: &str = ".1.3.6.1.4.99.1";
const TABLE: &str = ".1.3.6.1.4.1.32473.99.1";
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether net-snmp is missing; if so, that is told.
fn left_out() -> bool {
    let needed = ["snmpd", "snmpget", "snmpgetnext", "snmpwalk", "snmpset", "snmptranslate"];
    left_out::left_out("tests/agent_snmpd.rs", &needed)
}

/// A program of net-snmp that loads no MIBs and no configuration of this host.
fn net_snmp(name: &str, home: &Path) -> Command {
    let mut command = Command::new(program(name).unwrap());
    command.env("MIBS", "").env("SNMPCONFPATH", home).env("SNMP_PERSISTENT_DIR", home);
    command
}

/// An snmpd of our own on a port of its own, with two agents, killed when dropped.
struct Snmpd {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
    hosts: PathBuf,
}

impl Snmpd {
    /// Starts it over a directory that `prepare` filled, and waits until it answers.
    fn start(prepare: impl FnOnce(&Path)) -> Snmpd {
        let home = tempfile::tempdir().unwrap();
        let hosts = home.path().join("snmp");
        std::fs::create_dir(&hosts).unwrap();
        prepare(&hosts);
        let (child, port) = Snmpd::launch(home.path(), &hosts);
        let mut snmpd = Snmpd { child, port, home, hosts };
        let deadline = Instant::now() + PATIENCE;
        while !snmpd.ask("snmpget", "reader", &[&format!("{TABLE}.1.3.0")]).status.success() {
            assert!(Instant::now() < deadline, "snmpd does not answer:\n{}", snmpd.log());
            if snmpd.child.try_wait().unwrap().is_some() {
                // Somebody took the port between our finding it free and snmpd's taking it.
                (snmpd.child, snmpd.port) = Snmpd::launch(snmpd.home.path(), &snmpd.hosts);
            }
        }
        snmpd
    }

    fn launch(home: &Path, hosts: &Path) -> (Child, u16) {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let agent = format!("{} {}", env!("CARGO_BIN_EXE_snmp_from_file"), hosts.display());
        let conf = home.join("snmpd.conf");
        let lines = format!(
            "agentaddress udp:127.0.0.1:{port}\n\
             rocommunity reader 127.0.0.1\n\
             rwcommunity writer 127.0.0.1\n\
             pass_persist {BASE} {agent}\n\
             pass_persist {TABLE} {agent}\n"
        );
        std::fs::write(&conf, lines).unwrap();
        let log = std::fs::File::create(home.join("log")).unwrap();
        let mut command = net_snmp("snmpd", home);
        command.args(["-f", "-Lo", "-C", "-c"]).arg(conf).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        (child, port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Runs a program of net-snmp against this snmpd.
    fn ask(&self, name: &str, community: &str, arguments: &[&str]) -> Output {
        let mut command = net_snmp(name, self.home.path());
        command.args(["-v2c", "-On", "-Oe", "-t", "0.5", "-r", "20", "-c", community]);
        command.arg(format!("udp:127.0.0.1:{}", self.port)).args(arguments);
        command.output().unwrap()
    }

    /// What a program that only reads says, line by line.
    fn read(&self, name: &str, oid: &str) -> Vec<String> {
        let output = self.ask(name, "reader", &[oid]);
        assert!(output.status.success(), "{name} {oid}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn get(&self, oid: &str) -> String {
        self.read("snmpget", oid).concat()
    }

    /// Waits until `oid` is said to be `value`.
    fn wait_for(&self, oid: &str, value: &str) {
        let (deadline, expected) = (Instant::now() + PATIENCE, format!("{oid} = {value}"));
        while self.get(oid) != expected {
            assert!(Instant::now() < deadline, "{} and not {value}", self.get(oid));
        }
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(directory: &Path, name: &str, contents: &str, age_secs: u64) {
    std::fs::write(directory.join(name), contents).unwrap();
    let file = std::fs::File::options().write(true).open(directory.join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age_secs)).unwrap();
}

/// A row's index: type, length, bytes.
fn row(kind: u8, bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|b| format!(".{b}")).collect();
    format!("{kind}.{}{bytes}", bytes.matches('.').count())
}

const ERROR: &str = "ERR 2 of 7 sources: /var/log/messages: ERR read: connection closed";

/// Four hosts: fine, in error, stale, fine; two of them no IPv4 addresses.
fn four_hosts(directory: &Path) {
    write(directory, "192.0.2.10", "OK\n", 0);
    write(directory, "192.0.2.9", &format!("{ERROR}\n"), 0);
    write(directory, "2001:db8::1", "OK\n", 500);
    write(directory, "db.example", "OK\n", 0);
    write(directory, ".192.0.2.11", "OK\n", 0);
}

#[test]
fn snmpd_gets_and_walks_the_compatible_tree() {
    if left_out() {
        return;
    }
    let snmpd = Snmpd::start(four_hosts);
    let ok = format!("{BASE}.192.0.2.10 = STRING: \"OK\"");
    let error = format!("{BASE}.192.0.2.9 = STRING: \"{ERROR}\"");
    assert_eq!(snmpd.get(&format!("{BASE}.192.0.2.10")), ok);
    assert_eq!(snmpd.read("snmpwalk", BASE), [error.clone(), ok.clone()]);
    assert_eq!(snmpd.read("snmpgetnext", BASE), [error]);
    assert_eq!(snmpd.read("snmpgetnext", &format!("{BASE}.192.0.2.9")), [ok]);
    let absent = format!("{BASE}.192.0.2.77");
    let path = snmpd.hosts.join("192.0.2.77");
    let told =
        format!("{absent} = STRING: \"ERR stat {}: No such file or directory\"", path.display());
    assert_eq!(snmpd.get(&absent), told);
    let none = "No Such Instance currently exists at this OID";
    for no_address in ["192.0.2", "192.0.2.256", "192.0.2.10.0"] {
        let oid = format!("{BASE}.{no_address}");
        assert_eq!(snmpd.get(&oid), format!("{oid} = {none}"));
    }
}

#[test]
fn snmpd_walks_the_table_of_all_hosts() {
    if left_out() {
        return;
    }
    let snmpd = Snmpd::start(four_hosts);
    let all = snmpd.read("snmpwalk", TABLE);
    let stale = format!("ERR {} is stale", snmpd.hosts.join("2001:db8::1").display());
    let ipv6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let hosts = [
        (row(1, &[192, 0, 2, 9]), ERROR, 2, 0),
        (row(1, &[192, 0, 2, 10]), "OK", 1, 0),
        (row(2, &ipv6), &stale, 3, 500),
        (row(16, b"db.example"), "OK", 1, 0),
    ];
    let mut expected: Vec<String> =
        ["1.1.0 = Gauge32: 4", "1.2.0 = Gauge32: 2", "1.3.0 = STRING: \"OK\""]
            .map(|line| format!("{TABLE}.{line}"))
            .to_vec();
    let column = |number, row: &str| format!("{TABLE}.1.4.1.{number}.{row}");
    for (row, text, ..) in &hosts {
        expected.push(format!("{} = STRING: \"{text}\"", column(3, row)));
    }
    for (row, _, state, _) in &hosts {
        expected.push(format!("{} = INTEGER: {state}", column(4, row)));
    }
    assert_eq!(all[..expected.len()], expected);
    let ages = &all[expected.len()..];
    assert_eq!(ages.len(), hosts.len(), "{ages:?}");
    for ((row, .., least), line) in hosts.iter().zip(ages) {
        let age = line.strip_prefix(&format!("{} = Gauge32: ", column(5, row))).expect(line);
        let age: u64 = age.parse().unwrap();
        assert!((*least..least + PATIENCE.as_secs()).contains(&age), "{line}");
    }
    let bulk = snmpd.ask("snmpwalk", "reader", &[".1.3.6.1.4"]);
    let bulk = String::from_utf8(bulk.stdout).unwrap();
    let ours = bulk.lines().filter(|l| l.starts_with(TABLE) || l.starts_with(BASE)).count();
    assert_eq!(ours, all.len() + 2, "a walk from above finds each answer once:\n{bulk}");
}

/// Each subtree has an agent of its own: what one has seen, the other may see a second later.
#[test]
fn snmpd_sees_hosts_come_go_and_change() {
    if left_out() {
        return;
    }
    let snmpd = Snmpd::start(four_hosts);
    let count = format!("{TABLE}.1.1.0");
    snmpd.wait_for(&count, "Gauge32: 4");
    write(&snmpd.hosts, "192.0.2.7", "OK\n", 0);
    snmpd.wait_for(&count, "Gauge32: 5");
    let first = format!("{BASE}.192.0.2.7");
    assert_eq!(snmpd.read("snmpgetnext", BASE), [format!("{first} = STRING: \"OK\"")]);
    write(&snmpd.hosts, "192.0.2.7", "ER\n", 0);
    snmpd.wait_for(&format!("{TABLE}.1.2.0"), "Gauge32: 3");
    snmpd.wait_for(&first, "STRING: \"ER\"");
    std::fs::remove_file(snmpd.hosts.join("192.0.2.7")).unwrap();
    snmpd.wait_for(&count, "Gauge32: 4");
    let told = format!("ERR stat {}/192.0.2.7: No such file or directory", snmpd.hosts.display());
    snmpd.wait_for(&first, &format!("STRING: \"{told}\""));
    assert_eq!(snmpd.read("snmpwalk", BASE).len(), 2);
}

#[test]
fn snmpd_refuses_to_set_and_the_agent_stays_in_step() {
    if left_out() {
        return;
    }
    let snmpd = Snmpd::start(four_hosts);
    let text = format!("{BASE}.192.0.2.10");
    let state = format!("{TABLE}.1.4.1.4.1.4.192.0.2.10");
    let long = "x".repeat(1200) + "PING";
    for (oid, kind, value) in [
        (&text, "s", "ERR"),
        (&text, "s", "PING"),
        (&text, "s", &long),
        (&text, "x", "0a50494e470a"),
        (&state, "i", "4"),
        (&state, "u", "4"),
        (&state, "o", ".1.3.6"),
        (&state, "a", "192.0.2.10"),
    ] {
        let output = snmpd.ask("snmpset", "writer", &[oid, kind, value]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("notWritable"), "{value}: {told}");
        assert_eq!(snmpd.get(&text), format!("{text} = STRING: \"OK\""));
        assert_eq!(snmpd.get(&state), format!("{state} = INTEGER: 1"));
    }
}

#[test]
fn snmpd_passes_on_the_longest_request_and_the_longest_answer() {
    if left_out() {
        return;
    }
    let name = "z".repeat(106);
    let text = format!("ERR {}", "y".repeat(251));
    let snmpd = Snmpd::start(|directory| write(directory, &name, &text, 0));
    let oid = format!("{TABLE}.1.4.1.3.{}", row(16, name.as_bytes()));
    let told = snmpd.read("snmpgetnext", &format!("{TABLE}.1.4.1.3"));
    assert_eq!(told, [format!("{oid} = STRING: \"{text}\"")]);
    let longest = format!("{BASE}{}", ".4294967295".repeat(128 - 7));
    assert!(snmpd.get(&longest).ends_with("No Such Instance currently exists at this OID"));
    assert_eq!(snmpd.get(&oid), told[0]);
}

/// The IETF's modules may not be copied here and Debian has none. These stand-ins define no more
/// than FETCHLOGS-MIB imports, so that its own grammar, names and numbers are tried everywhere.
fn write_stand_ins(directory: &Path) {
    for (module, body) in [
        (
            "SNMPv2-SMI",
            "org OBJECT IDENTIFIER ::= { iso 3 }\n\
             dod OBJECT IDENTIFIER ::= { org 6 }\n\
             internet OBJECT IDENTIFIER ::= { dod 1 }\n\
             private OBJECT IDENTIFIER ::= { internet 4 }\n\
             enterprises OBJECT IDENTIFIER ::= { private 1 }\n",
        ),
        (
            "SNMPv2-TC",
            "DisplayString ::= TEXTUAL-CONVENTION DISPLAY-HINT \"255a\" STATUS current \
             DESCRIPTION \"Stand-in.\" SYNTAX OCTET STRING (SIZE (0..255))\n",
        ),
        ("SNMPv2-CONF", ""),
        (
            "INET-ADDRESS-MIB",
            "InetAddressType ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION \"Stand-in.\" \
             SYNTAX INTEGER { unknown(0), ipv4(1), ipv6(2), dns(16) }\n\
             InetAddress ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION \"Stand-in.\" \
             SYNTAX OCTET STRING (SIZE (0..255))\n",
        ),
    ] {
        let text = format!("{module} DEFINITIONS ::= BEGIN\n{body}END\n");
        std::fs::write(directory.join(format!("{module}.txt")), text).unwrap();
    }
}

#[test]
fn net_snmp_loads_the_mib_without_a_word_and_its_names_are_our_numbers() {
    if left_out() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    write_stand_ins(temp.path());
    // net-snmp says so when it has to make this directory itself.
    std::fs::create_dir(temp.path().join("cert_indexes")).unwrap();
    for (name, oid) in [
        ("fetchlogsMIB", ""),
        ("fetchlogsHosts.0", ".1.1.0"),
        ("fetchlogsHostsNotOk.0", ".1.2.0"),
        ("fetchlogsDirectoryText.0", ".1.3.0"),
        ("fetchlogsHostText", ".1.4.1.3"),
        ("fetchlogsHostState.ipv4.\"192.0.2.7\"", ".1.4.1.4.1.4.192.0.2.7"),
        ("fetchlogsHostAge.dns.\"db\"", ".1.4.1.5.16.2.100.98"),
    ] {
        let mut command = net_snmp("snmptranslate", temp.path());
        let mibs = format!("{}:{}/snmp", temp.path().display(), env!("CARGO_MANIFEST_DIR"));
        command.args(["-M", &mibs, "-m", "FETCHLOGS-MIB"]);
        let output = command.arg(format!("{TABLE}{oid}")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told.trim_end(), format!("FETCHLOGS-MIB::{name}"));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
