//! What a seed has drawn: which kinds of trouble there are at all, and how often.
//!
//! A swarm: a run with everything hides what a run with little shows.

use std::path::PathBuf;

use crate::fs::{Chances, Names};
use crate::host::{Host, Naming};
use crate::oracle::Rules;
use crate::rng::Rng;
use crate::world::Habits;

/// What may become of connections and of responders; chances in ten thousand steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A connection is cut at some byte.
    pub cut: u64,
    /// Nothing more comes through, and nobody says so.
    pub silence: u64,
    /// What is under way takes long.
    pub stall: u64,
    /// A connection can't be made; of ten thousand. A fourth of these for want of a descriptor.
    pub refused: u64,
    /// The responder takes a connection late, if at all; of ten thousand.
    pub unaccepted: u64,
    /// The responder can't open a file, since as many are open as may be; of ten thousand.
    pub full: u64,
    /// Steps that the log makes, of ten thousand.
    pub deeds: u64,
    /// The same between two calls of the responder.
    pub meanwhile: u64,
    /// The responder is told when the log has changed; of ten thousand.
    pub hints: u64,
    /// Bytes that the kernels hold.
    pub room: usize,
    /// A queued job or errand begins, a report is looked at; of ten thousand.
    pub haste: u64,
    /// An errand fails without a word; of ten thousand.
    pub failing: u64,
    /// Somebody renames the copy and says so.
    pub renamed: u64,
    /// A checkpoint is made in a group; of ten thousand.
    pub together: u64,
    /// A clock is set: that of the host, forward; at a start of ten thousand that of the fetcher.
    pub jumps: u64,
    /// Nothing takes longer than anybody waits for it.
    pub quick: bool,
    /// Somebody else asks for a digest or a list.
    pub visits: u64,
    /// The responder's process is killed.
    pub responder_kill: u64,
}

/// Who serves a source, and how it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hosting {
    /// Its responder's number.
    pub host: usize,
    /// It is asked in protocol 1.
    pub one: bool,
    /// The responder is that of fetchlogs 1.1.
    pub original: bool,
    /// Generations that have ended are asked for once more.
    pub late: bool,
}

/// What a seed has drawn.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub habits: Habits,
    pub weather: Weather,
    pub chances: Chances,
    pub hosting: Hosting,
    pub strict: bool,
    pub local_reuse: bool,
    pub pointer_apart: bool,
    /// How many sources the fetcher has, and how many responders.
    pub sources: usize,
    pub hosts: usize,
    pub steps: u64,
    /// The process is asked to end; chances in ten thousand steps.
    pub orderly: u64,
    /// The last life with trouble fetches once.
    pub once: bool,
    pub last_line: u64,
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Plan {
        let mut some = |of: &[u64]| if rng.coin() { rng.pick(of) } else { 0 };
        let chances = Chances {
            kill: some(&[20, 100, 300]),
            power: some(&[20, 100, 300]),
            sync: some(&[200, 1000, 3000]),
            evict: some(&[1]) * some(&[3000]),
            any: some(&[10, 50, 200]) * u64::from(some(&[1]) == 1),
            full: some(&[10, 50]),
            short: some(&[100, 1000]),
            foreign: some(&[1]) * some(&[2000]),
        };
        let hosting = Hosting {
            host: 0,
            original: some(&[1]) * some(&[1]) * some(&[1]) == 1,
            one: some(&[1]) * some(&[1]) == 1,
            late: some(&[1]) == 1,
        };
        let weather = Weather {
            cut: some(&[10, 50, 300]),
            silence: some(&[5, 20]),
            stall: some(&[20, 100]),
            refused: some(&[500, 3000]),
            unaccepted: some(&[1]) * some(&[2000]),
            full: some(&[1]) * some(&[200, 2000]),
            meanwhile: some(&[20, 200, 1000]),
            failing: some(&[1]) * some(&[500]),
            renamed: some(&[1]) * some(&[1]) * some(&[1]) * 20,
            jumps: some(&[1]) * some(&[20]),
            responder_kill: some(&[10, 50, 200]),
            visits: some(&[50, 300]) * u64::from(!hosting.original),
            ..Weather::default()
        };
        // An honest exception: where a copy was renamed, the new one has nothing yet to compare with a
        // source whose number may have been used again.
        let lossy = weather.renamed == 0 && some(&[1]) * some(&[1]) == 1;
        let exact = !hosting.one && !hosting.original;
        let host = if exact { Host::draw(rng, lossy) } else { Host::default() };
        let mut some = |of: &[u64]| if rng.coin() { rng.pick(of) } else { 0 };
        let habits = Habits {
            host,
            keep: (lossy && some(&[1]) == 1).then_some(1 + some(&[1, 2, 4]) as usize),
            reuse: lossy && some(&[1]) == 1,
            truncation: lossy && some(&[1]) == 1,
            // An honest exception: without births a line that comes late to a rotated file makes it the newer
            // one by all that is known of it, whatever its name says, or the copy of a log that was emptied.
            late_writers: some(&[1]) == 1 && !host.no_births,
            no_leases: some(&[1]) == 1,
            bursts: some(&[1]) == 1,
            too_late: hosting.late && !hosting.one && !hosting.original,
            // An honest exception: a log that is emptied and begins anew with the bytes that are looked at
            // is taken for the old one.
            common: if lossy || host.copied > 0 { 0 } else { some(&[5, 40, 300]) as usize },
            rotations: rng.pick(&[50, 200, 1000]),
            line_max: rng.pick(&[5, 40, 200]),
        };
        let deleting = habits.keep.is_some() || habits.reuse || habits.truncation;
        let habits = Habits { host: host.tamed(deleting, habits.common > 0), ..habits };
        let together = rng.pick(&[0, 0, 0, 5000, 10_000]);
        let sources = if together > 0 { rng.pick(&[1, 2, 3, 3]) } else { 1 };
        Plan {
            chances,
            hosting,
            weather: Weather {
                together,
                deeds: rng.pick(&[500, 2000, 6000]),
                hints: rng.pick(&[0, 8000, 10_000, 10_000]),
                room: rng.pick(&[30, 300, 4000]),
                haste: rng.pick(&[500, 3000, 10_000]),
                ..weather
            },
            habits,
            strict: rng.coin(),
            local_reuse: rng.coin(),
            pointer_apart: rng.coin(),
            sources,
            hosts: rng.between(1, sources as u64) as usize,
            steps: rng.pick(&[60, 120, 250, 500]),
            orderly: rng.pick(&[0, 0, 20]),
            once: rng.below(4) == 0,
            // An honest exception: under a number that is used again, nothing tells an empty file from
            // the one that was there before, until it has a byte.
            last_line: if lossy || host.copied > 0 { 20 } else { rng.pick(&[1, 20]) },
        }
    }

    /// The kinds of trouble, in short.
    pub fn kinds(&self) -> String {
        let Plan { habits, weather, chances, hosting, .. } = self;
        let kinds = [
            ("kill", chances.kill > 0),
            ("power", chances.power > 0),
            ("sync", chances.sync > 0),
            ("evict", chances.evict > 0),
            ("eio", chances.any > 0),
            ("full", chances.full > 0),
            ("short", chances.short > 0),
            ("foreign", chances.foreign > 0),
            ("cut", weather.cut > 0),
            ("silence", weather.silence > 0),
            ("stall", weather.stall > 0),
            ("refused", weather.refused > 0),
            ("unaccepted", weather.unaccepted > 0),
            ("emfile", weather.full > 0),
            ("meanwhile", weather.meanwhile > 0),
            ("failing", weather.failing > 0),
            ("jumps", weather.jumps > 0),
            ("responder", weather.responder_kill > 0),
            ("visits", weather.visits > 0),
            ("hintless", weather.hints == 0),
            ("one", hosting.one),
            ("original", hosting.original),
            ("recheck", hosting.late),
            ("once", self.once),
            ("renamed", weather.renamed > 0),
            ("stamps", habits.host.naming == Naming::Stamp),
            ("apart", habits.host.apart),
            ("birthless", habits.host.no_births),
            ("copied", habits.host.copied > 0),
            ("between", habits.host.between),
            ("packed", habits.host.packed > 0),
            ("damaged", habits.host.damaged > 0),
            ("powerless", habits.host.power > 0),
            ("rollback", habits.host.rollback > 0),
            ("restored", habits.host.restored > 0),
            ("unlinked", habits.host.deleted > 0),
            ("deleted", habits.keep.is_some()),
            ("reuse", habits.reuse && habits.keep.is_some()),
            ("truncation", habits.truncation),
            ("late", habits.late_writers),
            ("leaseless", habits.no_leases),
            ("bursts", habits.bursts),
            ("alike", habits.common > 0),
            ("strict", self.strict),
            ("together", weather.together > 0),
            ("several", self.sources > 1),
        ];
        let there: Vec<&str> = kinds.iter().filter(|kind| kind.1).map(|kind| kind.0).collect();
        there.join(" ")
    }

    pub fn names(&self, name: &str) -> Names {
        let dir = if self.pointer_apart { format!("/p/{name}") } else { "/d".to_owned() };
        let (copy, pointer) = (format!("/d/{name}"), format!("{dir}/{name}.ptr"));
        Names { copy: PathBuf::from(copy), pointer: PathBuf::from(pointer) }
    }

    pub fn rules(&self) -> Rules {
        let Habits { reuse, truncation, .. } = self.habits;
        let one = self.hosting.one || self.hosting.original;
        Rules {
            silent_gaps: self.hosting.original,
            silent_when_empty: truncation || reuse && one,
            continued: self.weather.renamed > 0,
            exact: !one,
            late: self.habits.too_late,
            late_whole: self.habits.too_late
                && !(truncation || reuse || self.habits.keep.is_some() || self.habits.host.lossy),
        }
    }
}
