//! A host and a centre, each with a network of its own, and what happens between them.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::chance::{number, seed};
use crate::common::{Dir, Program, wait_until};
use crate::left_out;
use crate::tally::tally;
use crate::town::{Machine, Weather, Wire, bound};

/// What tests are left out of.
const FILE: &str = "tests/network";

/// A log on the host behind the wire, and one beside the centre to which nothing may happen.
struct World {
    // In this order they are dropped.
    fetcher: Program,
    _responders: [Program; 2],
    wire: Wire,
    centre: Machine,
    host: Machine,
    dir: Dir,
    chance: Chance,
    seed: u64,
}

const HOST: &str = "10.9.0.2";

fn can_part() -> bool {
    if left_out::left_out(FILE, &["ip", "nft", "ss"]) {
        return false;
    }
    let tried = Machine::start().and_then(|one| {
        let other = Machine::start()?;
        Wire::between([&one, &other], ["10.9.0.1", HOST], 1).map(drop)
    });
    if let Err(why) = &tried {
        left_out::tell(FILE, &format!("networks of their own need root and tun devices: {why}"));
    }
    tried.is_ok()
}

impl World {
    fn new(seed: u64) -> World {
        let dir = Dir::in_memory();
        for name in ["far.log", "near.log"] {
            dir.write(name, format!("the first line of {name}\n"));
        }
        let (centre, host) = (Machine::start().unwrap(), Machine::start().unwrap());
        let wire = Wire::between([&centre, &host], ["10.9.0.1", HOST], seed).unwrap();
        let serve = |machine: &Machine, name: &str| {
            let text = format!(
                "listen 0.0.0.0:4000\nallow 0.0.0.0/0\nfile BASE/{name}.log BASE/{name}.log.*[0-9]*\n\
                 heartbeat 1s\ncheck 100ms\nlinger 200ms\n"
            );
            let conf = dir.config(&format!("{name}.conf"), &text);
            let mut program = machine.run(move || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_serve_logs"));
                Program::spawn(bound(command.arg(conf)))
            });
            program.told("listening on ");
            program
        };
        let responders = [serve(&host, "far"), serve(&centre, "near")];
        let line = |host: &str, name: &str| {
            format!("{host} 4000 BASE/{name}.log BASE/{name} BASE/{name}.ptr\n")
        };
        let conf = dir.config("fetch.conf", &(line(HOST, "far") + &line("127.0.0.1", "near")));
        let status = dir.path("snmp");
        fs::create_dir(&status).unwrap();
        let fetcher = centre.run(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
            command.args(["--reconnect", "100ms", "--connect-timeout", "1s"]);
            command.args(["--reply-timeout", "1s", "--idle-timeout", "3s"]);
            Program::spawn(bound(command.args([status, conf])))
        });
        let chance = Chance::new(seed);
        let mut world =
            World { fetcher, _responders: responders, wire, centre, host, dir, chance, seed };
        world.wait_exact("far");
        world.wait_exact("near");
        world
    }

    fn write(&mut self, name: &str, most: u64) {
        let len = self.chance.below(most) + 1;
        let content: Vec<u8> = (0..len).map(|_| self.chance.below(256) as u8).collect();
        self.dir.append(&format!("{name}.log"), content);
    }

    /// The far log is rotated: what was in it has to become an archive.
    fn rotate(&mut self) {
        self.wait_exact("far");
        let name = |number: usize| match number {
            0 => "far.log".to_owned(),
            number => format!("far.log.{number}"),
        };
        let count = self.rotations();
        for number in (0..=count).rev() {
            self.dir.rename(&name(number), &name(number + 1));
        }
        let mut log = File::create_new(self.dir.path("far.log")).unwrap();
        log.write_all(format!("generation {}\n", count + 2).as_bytes()).unwrap();
    }

    fn rotations(&self) -> usize {
        let rotated = |number: &usize| self.dir.path(&format!("far.log.{number}")).exists();
        (1..).take_while(rotated).count()
    }

    fn wait_exact(&mut self, name: &str) {
        let (log, copy) = (self.dir.path(&format!("{name}.log")), self.dir.path(name));
        let same = || fs::read(&copy).is_ok_and(|copy| Ok(copy) == fs::read(&log).map_err(drop));
        wait_until(&format!("{name} is exact, seed {}", self.seed), same);
    }

    /// Bytes of the near log are here at once, whatever happens to the far one.
    fn near_goes_on(&mut self) {
        let begun = Instant::now();
        self.write("near", 5_000);
        self.wait_exact("near");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "the other source waited for {took:?}");
        assert_eq!(self.fetcher.said("near.log ERR"), 0, "{}", self.fetcher.stdout());
    }

    /// `begin` brings a fault that has to be noticed, `end` takes it away.
    fn endure(&mut self, begin: impl FnOnce(&World), end: impl FnOnce(&World)) {
        let errors = self.fetcher.said("far.log ERR");
        let oks = self.fetcher.said("far.log OK");
        begin(self);
        self.write("far", 100_000);
        self.near_goes_on();
        let told = || self.fetcher.said("far.log ERR") > errors;
        wait_until("the fault is noticed", told);
        self.near_goes_on();
        end(self);
        wait_until("it is told that the fault is over", || self.fetcher.said("far.log OK") > oks);
        self.wait_exact("far");
        self.rotate();
        self.wait_exact("far");
    }

    /// Every generation is here, once.
    fn judge(mut self) {
        self.wait_exact("far");
        let mut archives = Vec::new();
        for entry in fs::read_dir(self.dir.path("")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stamp = name.strip_prefix("far.").unwrap_or_default();
            if stamp.starts_with("20") {
                archives.push(fs::read(self.dir.path(&name)).unwrap());
            }
        }
        let rotated = |number| fs::read(self.dir.path(&format!("far.log.{number}"))).unwrap();
        let mut wanted: Vec<Vec<u8>> = (1..=self.rotations()).map(rotated).collect();
        wanted.sort();
        archives.sort();
        assert!(archives == wanted, "seed {}: {}", self.seed, self.fetcher.stdout());
        assert_eq!(self.fetcher.said(" lost "), 0, "{}", self.fetcher.stdout());
    }
}

/// Packet filters of a machine: as nft(8) reads them.
fn filter(machine: &Machine, [input, output]: [&str; 2]) {
    let table = format!(
        "nft -f - <<'END'\ntable inet t {{\n\
         chain in {{ type filter hook input priority 0; {input}; }}\n\
         chain out {{ type filter hook output priority 0; {output}; }}\n}}\nEND"
    );
    machine.shell(&table).unwrap();
}

fn no_filter(world: &World) {
    world.host.shell("nft delete table inet t").unwrap();
}

/// Has a world of its own go through a fault of the wire.
fn endure_filter(name: &str, rules: [&'static str; 2]) {
    if can_part() {
        let mut world = World::new(seed());
        let times = 2 * number("FETCHLOGS_NETWORK", 1);
        for _ in 0..times {
            world.endure(|world| filter(&world.host, rules), no_filter);
        }
        world.judge();
        tally(&format!("network: {name}"), times);
    }
}

#[test]
fn a_host_that_nothing_reaches_and_that_reaches_nobody_is_noticed_and_then_exact() {
    endure_filter("black holes", ["iif wire drop", "oif wire drop"]);
}

#[test]
fn a_host_that_is_not_heard_is_noticed_and_then_exact() {
    endure_filter("one-way black holes", ["", "oif wire drop"]);
}

#[test]
fn a_host_that_hears_nothing_is_noticed_and_then_exact() {
    endure_filter("one-way black holes", ["iif wire drop", ""]);
}

#[test]
fn a_host_whose_connections_are_reset_is_noticed_and_then_exact() {
    endure_filter("rejecting firewalls", ["iif wire meta l4proto tcp reject with tcp reset", ""]);
}

#[test]
fn a_host_that_takes_no_new_connection_is_noticed_and_then_exact() {
    if can_part() {
        let mut world = World::new(seed());
        let begin = |world: &World| {
            filter(&world.host, ["iif wire tcp flags & (syn | ack) == syn drop", ""]);
            world.host.shell("ss -K state established src 10.9.0.2").unwrap();
        };
        world.endure(begin, no_filter);
        world.judge();
        tally("network: hosts that take no new connection", 1);
    }
}

#[test]
fn sockets_that_are_closed_by_force_on_either_side_cost_only_time() {
    if can_part() {
        let times = 3 * number("FETCHLOGS_NETWORK", 1);
        for _ in 0..times {
            // What comes and goes more often is told as one fault.
            let mut world = World::new(seed());
            for side in 0..2 {
                let kill = |world: &World| {
                    let machine = if side == 0 { &world.host } else { &world.centre };
                    machine.shell("ss -K state established src 10.9.0.0/24").unwrap();
                };
                world.endure(kill, |_| ());
            }
            world.judge();
        }
        tally("network: sockets closed by force", 2 * times);
    }
}

#[test]
fn a_link_that_goes_down_is_noticed_and_then_exact() {
    if can_part() {
        let mut world = World::new(seed());
        for _ in 0..2 {
            let set = |how: &'static str| {
                move |world: &World| {
                    world.host.shell(&format!("ip link set wire {how}")).unwrap();
                }
            };
            world.endure(set("down"), set("up"));
        }
        world.judge();
        tally("network: links down and up", 2);
    }
}

#[test]
fn what_is_lost_late_doubled_and_overtaken_on_the_way_is_exact() {
    if can_part() {
        let mut world = World::new(seed());
        let (mut met, delay) = (0, Duration::from_millis(10));
        for weather in [
            Weather { lost: [50, 50], ..Weather::default() },
            Weather { late: 200, twice: 100, ..Weather::default() },
            Weather { delay, lost: [20, 20], late: 100, twice: 50 },
        ] {
            world.wire.set(weather);
            for _ in 0..10 {
                world.write("far", 60_000);
                world.near_goes_on();
            }
            world.rotate();
            world.wait_exact("far");
            assert!(world.wire.met() > met, "nothing happened to any packet");
            met = world.wire.met();
        }
        world.wire.set(Weather::default());
        world.judge();
        tally("network: packets lost, late or doubled", met);
    }
}
