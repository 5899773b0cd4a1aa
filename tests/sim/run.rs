//! One run from one seed: what is drawn, the phase with faults, and the phase without.
//!
//! Each seed draws which kinds of trouble there are at all (a swarm: a run with everything hides what
//! a run with little shows), and how often. While there is trouble, the disk is judged whenever a life
//! ends. Then all trouble ends, and within an hour of virtual time everything has to be in step, and
//! stay so over a last power loss.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::driver::{Site, Sites, Weather, end_in_order, turn};
use crate::fs::{Chances, Counts, Death, Names, SimFs};
use crate::mutants::Mutant;
use crate::oracle::{Moment, Rules, bytes_judged, judge, judge_acknowledged};
use crate::rng::Rng;
use crate::tally::tally;
use crate::world::{Habits, World};

/// Everything was long in step by then, if it ever is: refusals and contradictions, three times three
/// tries each a minute and a quarter apart, are the longest way. And so much more for each generation.
const PATIENCE: Duration = Duration::from_secs(3600);
const GENERATION_PATIENCE: Duration = Duration::from_secs(60);

/// The copies of the sources; none begins as another does.
const NAMES: [&str; 3] = ["log", "mail", "web"];

#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub steps: u64,
    pub lives: u64,
    pub disk: Counts,
    pub rotations: u64,
    pub truncations: u64,
    pub deletions: u64,
    pub events: u64,
    pub lost: u64,
    /// Time that has passed at the sources, in milliseconds.
    pub virtual_ms: u64,
    /// Bytes of archives and copies that were judged at the end.
    pub bytes: u64,
}

impl Totals {
    /// For the page of totals.
    pub fn tell(&self) {
        for (what, count) in [
            ("worlds", self.seeds),
            ("virtual hours", self.virtual_ms / 3_600_000),
            ("steps", self.steps),
            ("calls of the file system", self.disk.calls),
            ("kills of fetch_logs", self.disk.kills),
            ("power losses of the fetcher's host", self.disk.powers),
            ("failed syncs", self.disk.sync_errors),
            ("other calls that failed", self.disk.errors),
            ("full disks", self.disk.full),
            ("rotations", self.rotations),
            ("truncations in place", self.truncations),
            ("deletions of rotated files", self.deletions),
            ("bytes judged", self.bytes),
        ] {
            tally(&format!("simulation: {what}"), count);
        }
    }

    pub fn add(&mut self, one: &Totals) {
        self.seeds += one.seeds;
        self.steps += one.steps;
        self.lives += one.lives;
        self.disk.add(&one.disk);
        self.rotations += one.rotations;
        self.truncations += one.truncations;
        self.deletions += one.deletions;
        self.events += one.events;
        self.lost += one.lost;
        self.virtual_ms += one.virtual_ms;
        self.bytes += one.bytes;
    }
}

/// What a seed has drawn.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    habits: Habits,
    weather: Weather,
    chances: Chances,
    strict: bool,
    local_reuse: bool,
    pointer_apart: bool,
    /// How many sources the fetcher has.
    sources: usize,
    steps: u64,
    /// The process is asked to end; chances in ten thousand steps.
    orderly: u64,
    last_line: u64,
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
        let weather = Weather {
            cut: some(&[10, 50, 300]),
            silence: some(&[5, 20]),
            refused: some(&[500, 3000]),
            original: some(&[1]) * some(&[1]) * some(&[1]) == 1,
            together: 0,
            deeds: 0,
            room: 0,
            haste: 0,
            renamed: some(&[1]) * some(&[1]) * some(&[1]) * 20,
        };
        // An honest exception: where a copy was renamed, the new one has nothing yet to compare with a
        // source whose number may have been used again.
        let lossy = weather.renamed == 0 && some(&[1]) * some(&[1]) == 1;
        let habits = Habits {
            keep: (lossy && some(&[1]) == 1).then_some(1 + some(&[1, 2, 4]) as usize),
            reuse: lossy && some(&[1]) == 1,
            truncation: lossy && some(&[1]) == 1,
            late_writers: some(&[1]) == 1,
            no_leases: some(&[1]) == 1,
            bursts: some(&[1]) == 1,
            common: if lossy { 0 } else { some(&[5, 40, 300]) as usize },
            rotations: rng.pick(&[50, 200, 1000]),
            line_max: rng.pick(&[5, 40, 200]),
        };
        let together = rng.pick(&[0, 0, 5000, 10_000]);
        Plan {
            chances,
            weather: Weather {
                together,
                deeds: rng.pick(&[500, 2000, 6000]),
                room: rng.pick(&[30, 300, 4000]),
                haste: rng.pick(&[500, 3000, 10_000]),
                ..weather
            },
            habits,
            strict: rng.coin(),
            local_reuse: rng.coin(),
            pointer_apart: rng.coin(),
            sources: if together > 0 { rng.pick(&[1, 2, 3]) } else { 1 },
            steps: rng.pick(&[60, 120, 250, 500]),
            orderly: rng.pick(&[0, 0, 20]),
            // An honest exception: under a number that is used again, nothing tells an empty file from
            // the one that was there before, until it has a byte.
            last_line: if habits.reuse || habits.truncation { 20 } else { rng.pick(&[0, 20]) },
        }
    }

    /// The kinds of trouble, in short.
    fn kinds(&self) -> String {
        let Plan { habits, weather, chances, .. } = self;
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
            ("refused", weather.refused > 0),
            ("original", weather.original),
            ("renamed", weather.renamed > 0),
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

    fn names(&self, name: &str) -> Names {
        let dir = if self.pointer_apart { format!("/p/{name}") } else { "/d".to_owned() };
        let (copy, pointer) = (format!("/d/{name}"), format!("{dir}/{name}.ptr"));
        Names { copy: PathBuf::from(copy), pointer: PathBuf::from(pointer) }
    }

    fn rules(&self) -> Rules {
        Rules {
            silent_gaps: self.weather.original,
            silent_when_empty: self.habits.reuse || self.habits.truncation,
            continued: self.weather.renamed > 0,
        }
    }
}

struct Run {
    plan: Plan,
    fs: SimFs,
    sites: Sites,
    /// Whose turn it is.
    chance: Rng,
    totals: Totals,
    /// The copy may have more than is right.
    doubtful: bool,
}

/// Runs one seed; the error says what was wrong and when.
pub fn run(seed: u64, mutant: Option<Mutant>, trace: bool) -> Result<Totals, String> {
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng);
    if trace {
        eprintln!("{plan:#?}");
    }
    let disk = Disk::new(plan.strict, plan.local_reuse);
    let fs_rng = Rng::new(rng.next());
    let fs =
        SimFs::new(disk, fs_rng, NAMES[..plan.sources].iter().map(|n| plan.names(n)).collect());
    {
        let mut shared = fs.inner();
        shared.chances = plan.chances;
        shared.mutant = mutant;
        shared.trace = trace;
    }
    let now = Instant::now();
    let new_site = |source| {
        let world = World::new(plan.habits, Rng::new(rng.next()));
        let mut site = Site::new(world, plan.weather, fs.of(source), Rng::new(rng.next()), now);
        site.trace = trace;
        Mutex::new(site)
    };
    let sites = (0..plan.sources).map(new_site).collect();
    let chance = Rng::new(rng.next());
    let mut run = Run { plan, fs, sites, chance, totals: Totals::default(), doubtful: false };
    let result = run.all(&mut rng);
    let step = run.totals.steps;
    result.map(|()| run.sum_up()).map_err(|what| format!("step {step}: {what} ({})", plan.kinds()))
}

impl Run {
    fn all(&mut self, rng: &mut Rng) -> Result<(), String> {
        self.each().for_each(|mut site| site.restart());
        // Each of several has fewer turns, so that a run is not much longer.
        while self.totals.steps < self.plan.steps * (self.sites.len() as u64 + 1) / 2 {
            if !self.turn() {
                self.begin_life()?;
            } else if rng.hits(self.plan.orderly) {
                self.each().for_each(|mut site| end_in_order(&mut site));
                self.begin_life()?;
            }
        }
        self.calm(rng);
        self.begin_life()?;
        self.get_in_step()?;
        self.fs.inner().death = Some(Death::Power);
        self.fs.end_life();
        self.judge(Moment::InStep).map_err(|what| format!("after a last power loss: {what}"))
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Site>> {
        self.sites.iter().map(|site| site.lock().unwrap())
    }

    fn turn(&mut self) -> bool {
        self.totals.steps += 1;
        let which =
            if self.sites.len() > 1 { self.chance.below(self.sites.len() as u64) } else { 0 };
        turn(&self.sites, which as usize)
    }

    /// The life that has ended is thrown away, and the next begins.
    fn begin_life(&mut self) -> Result<(), String> {
        self.totals.lives += 1;
        let death = self.fs.end_life();
        self.each().for_each(|site| site.say(|| format!("-- the life has ended: {death:?}")));
        self.doubtful |= death == Some(Death::Power) || self.fs.inner().counts.sync_errors > 0;
        self.judge(if self.doubtful { Moment::Doubtful } else { Moment::LifeEnded })?;
        self.each().for_each(|mut site| site.restart());
        Ok(())
    }

    fn judge(&self, moment: Moment) -> Result<(), String> {
        self.each().try_for_each(|site| self.judge_one(&site, moment))
    }

    fn judge_one(&self, site: &Site, moment: Moment) -> Result<(), String> {
        let (names, rules, shared) = (site.fs.names(), self.plan.rules(), self.fs.inner());
        judge_acknowledged(&shared, names, site.acknowledged)?;
        judge(&shared, names, &site.world, &site.lost, rules, moment)
    }

    /// No more trouble from here on.
    fn calm(&mut self, rng: &mut Rng) {
        for mut site in self.each() {
            site.say(|| "-- no more trouble".to_owned());
            site.world.settle(self.plan.last_line);
            let Weather { original, together, .. } = self.plan.weather;
            site.weather =
                Weather { original, together, room: 4000, haste: 5000, ..Weather::default() };
        }
        let mut shared = self.fs.inner();
        shared.chances = Chances::default();
        if shared.death.is_none() {
            shared.death = rng.pick(&[None, Some(Death::Kill), Some(Death::Power)]);
        }
    }

    fn get_in_step(&mut self) -> Result<(), String> {
        let until: Vec<Instant> = self
            .each()
            .map(|site| {
                site.now + PATIENCE + GENERATION_PATIENCE * site.world.generations.len() as u32
            })
            .collect();
        loop {
            for _ in 0..20 * self.sites.len() {
                assert!(self.turn(), "nobody dies without trouble");
            }
            let mut all = true;
            for (site, &until) in self.each().zip(&until) {
                // To judge takes longer than to be settled.
                if site.unsettled() && site.now <= until {
                    all = false;
                    continue;
                }
                match self.judge_one(&site, Moment::InStep) {
                    Err(what) if site.now > until => return Err(what),
                    Ok(()) if site.unsettled() => {
                        return Err("in step, and never durable".to_owned());
                    }
                    judged => all &= judged.is_ok(),
                }
            }
            if all {
                return Ok(());
            }
        }
    }

    fn sum_up(&self) -> Totals {
        let mut totals = Totals { seeds: 1, disk: self.fs.inner().counts, ..self.totals };
        for site in self.each() {
            totals.rotations += site.world.rotations;
            totals.truncations += site.world.truncations;
            totals.deletions += site.world.deletions;
            totals.events += site.events;
            totals.lost += site.lost.len() as u64;
            totals.virtual_ms += site.world.age_ms();
            totals.bytes += bytes_judged(&self.fs.inner(), site.fs.names());
        }
        totals
    }
}
