//! One run from one seed: what is drawn, the phase with faults, and the phase without.
//!
//! Each seed draws which kinds of trouble there are at all (a swarm: a run with everything hides what
//! a run with little shows), and how often. While there is trouble, the disk is judged whenever a life
//! ends. Then all trouble ends, and within an hour of virtual time everything has to be in step, and
//! stay so over a last power loss.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::driver::{Site, Weather, end_in_order, turn};
use crate::fs::{Chances, Counts, Death, SimFs};
use crate::mutants::Mutant;
use crate::oracle::{Moment, Rules, judge};
use crate::rng::Rng;
use crate::world::{Habits, World};

/// Everything was long in step by then, if it ever is: refusals and contradictions, three times three
/// tries each a minute and a quarter apart, are the longest way. And so much more for each generation.
const PATIENCE: Duration = Duration::from_secs(3600);
const GENERATION_PATIENCE: Duration = Duration::from_secs(60);

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
}

impl Totals {
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
        Plan {
            chances,
            weather: Weather {
                deeds: rng.pick(&[500, 2000, 6000]),
                room: rng.pick(&[30, 300, 4000]),
                haste: rng.pick(&[500, 3000, 10_000]),
                ..weather
            },
            habits,
            strict: rng.coin(),
            local_reuse: rng.coin(),
            pointer_apart: rng.coin(),
            steps: rng.between(300, 1500),
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
        ];
        let there: Vec<&str> = kinds.iter().filter(|kind| kind.1).map(|kind| kind.0).collect();
        there.join(" ")
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
    site: Arc<Mutex<Site>>,
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
    let pointer = if plan.pointer_apart { "/p/log.ptr" } else { "/d/log.ptr" };
    let fs_rng = Rng::new(rng.next());
    let fs = SimFs::new(disk, fs_rng, PathBuf::from("/d/log"), PathBuf::from(pointer));
    {
        let mut shared = fs.inner();
        shared.chances = plan.chances;
        shared.mutant = mutant;
        shared.trace = trace;
    }
    let world = World::new(plan.habits, Rng::new(rng.next()));
    let mut site = Site::new(world, plan.weather, &fs, Rng::new(rng.next()), Instant::now());
    site.trace = trace;
    let site = Arc::new(Mutex::new(site));
    let mut run = Run { plan, fs, site, totals: Totals::default(), doubtful: false };
    let result = run.all(&mut rng);
    let step = run.totals.steps;
    result.map(|()| run.sum_up()).map_err(|what| format!("step {step}: {what} ({})", plan.kinds()))
}

impl Run {
    fn all(&mut self, rng: &mut Rng) -> Result<(), String> {
        self.site.lock().unwrap().restart(&self.fs);
        while self.totals.steps < self.plan.steps {
            if !self.turn() {
                self.begin_life()?;
            } else if rng.hits(self.plan.orderly) {
                end_in_order(&mut self.site.lock().unwrap(), &self.fs);
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

    fn turn(&mut self) -> bool {
        self.totals.steps += 1;
        turn(&self.site, &self.fs)
    }

    /// The life that has ended is thrown away, and the next begins.
    fn begin_life(&mut self) -> Result<(), String> {
        self.totals.lives += 1;
        let death = self.fs.end_life();
        self.site.lock().unwrap().say(|| format!("-- the life has ended: {death:?}"));
        self.doubtful |= death == Some(Death::Power) || self.fs.inner().counts.sync_errors > 0;
        self.judge(if self.doubtful { Moment::Doubtful } else { Moment::LifeEnded })?;
        self.site.lock().unwrap().restart(&self.fs);
        Ok(())
    }

    fn judge(&self, moment: Moment) -> Result<(), String> {
        let site = self.site.lock().unwrap();
        judge(&self.fs.inner(), &site.world, &site.lost, self.plan.rules(), moment)
    }

    /// No more trouble from here on.
    fn calm(&mut self, rng: &mut Rng) {
        let mut site = self.site.lock().unwrap();
        site.say(|| "-- no more trouble".to_owned());
        site.world.settle(self.plan.last_line);
        let original = self.plan.weather.original;
        site.weather = Weather { original, room: 4000, haste: 5000, ..Weather::default() };
        let mut shared = self.fs.inner();
        shared.chances = Chances::default();
        if shared.death.is_none() {
            shared.death = rng.pick(&[None, Some(Death::Kill), Some(Death::Power)]);
        }
    }

    fn get_in_step(&mut self) -> Result<(), String> {
        let until = {
            let site = self.site.lock().unwrap();
            site.now + PATIENCE + GENERATION_PATIENCE * site.world.generations.len() as u32
        };
        loop {
            for _ in 0..20 {
                assert!(self.turn(), "nobody dies without trouble");
            }
            let settled = !self.site.lock().unwrap().unsettled();
            match self.judge(Moment::InStep) {
                Ok(()) if settled => return Ok(()),
                Err(what) if self.site.lock().unwrap().now > until => return Err(what),
                Ok(()) if self.site.lock().unwrap().now > until => {
                    return Err("in step, and never durable".to_owned());
                }
                _ => {}
            }
        }
    }

    fn sum_up(&self) -> Totals {
        let site = self.site.lock().unwrap();
        Totals {
            seeds: 1,
            disk: self.fs.inner().counts,
            rotations: site.world.rotations,
            truncations: site.world.truncations,
            deletions: site.world.deletions,
            events: site.events,
            lost: site.lost.len() as u64,
            ..self.totals
        }
    }
}
