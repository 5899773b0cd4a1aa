//! One run from one seed: the phase with faults, and the phase without.
//!
//! While there is trouble, the disk is judged whenever a life ends. Then all trouble ends, and within an
//! hour of virtual time everything has to be in step, and stay so over a last power loss. In some runs
//! the last life with trouble fetches once: it has to end by itself, and what it says has to be true.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fetchlogs::fetch::terms::Goal;

use crate::disk::{Disk, Order};
use crate::fs::{Death, SimFs};
use crate::mutants::Mutant;
use crate::oracle::{Moment, bytes_judged, judge, judge_acknowledged, judge_has};
use crate::plan::{Hosting, Plan, Weather};
use crate::rng::Rng;
use crate::serving::Meanwhile;
use crate::site::{self, Site};
use crate::totals::Totals;
use crate::workers::{Sites, end_in_order, turn};
use crate::world::World;

/// Everything was long in step by then, if it ever is: refusals and contradictions, three times three
/// tries each a minute and a quarter apart, are the longest way. And so much more for each generation.
const PATIENCE: Duration = Duration::from_secs(3600);
const GENERATION_PATIENCE: Duration = Duration::from_secs(60);

/// Who fetches once has ended by then: a responder that is busy is asked for a quarter of an hour, and
/// any byte begins that anew.
const ONCE_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// The copies of the sources; none begins as another does.
const NAMES: [&str; 3] = ["log", "mail", "web"];

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
    let order = if plan.strict { Order::Any } else { Order::InDirectory };
    let disk = Disk::new(order, plan.local_reuse);
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
        let hosting = Hosting { host: source % plan.hosts, ..plan.hosting };
        let (of, site_rng) = (fs.of(source), Rng::new(rng.next()));
        let mut site = Site::new(world, hosting, plan.weather, of, site_rng, now);
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
        self.each().for_each(|mut site| site.restart(false));
        // Each of several has fewer turns, so that a run is not much longer.
        while self.totals.steps < self.plan.steps * (self.sites.len() as u64 + 1) / 2 {
            if !self.turn() {
                self.begin_life()?;
            } else if rng.hits(self.plan.orderly) {
                self.each().for_each(|mut site| end_in_order(&mut site));
                self.begin_life()?;
            }
        }
        let calm_first = rng.coin();
        if self.plan.once {
            self.each().for_each(|mut site| site.goal = Goal::Once);
            if calm_first {
                self.calm(rng);
            }
            self.fetch_once(calm_first)?;
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
        let count = self.sites.len() as u64;
        if self.chance.hits(self.plan.weather.responder_kill) {
            let host = self.chance.below(self.plan.hosts as u64) as usize;
            let powerless = self.chance.below(4) == 0;
            let ours = self.each().filter(|site| site.hosting.host == host);
            ours.for_each(|mut site| site.kill_responder(powerless));
        }
        let which = if count > 1 { self.chance.below(count) } else { 0 };
        turn(&self.sites, which as usize)
    }

    /// The life that has ended is thrown away, and the next begins.
    fn begin_life(&mut self) -> Result<(), String> {
        self.totals.lives += 1;
        let death = self.fs.end_life();
        self.each().for_each(|site| site.say(|| format!("-- the life has ended: {death:?}")));
        self.doubtful |= death == Some(Death::Power) || self.fs.inner().counts.sync_errors > 0;
        self.judge(if self.doubtful { Moment::Doubtful } else { Moment::LifeEnded })?;
        let powerless = death == Some(Death::Power);
        self.each().for_each(|mut site| site.restart(powerless));
        Ok(())
    }

    fn judge(&self, moment: Moment) -> Result<(), String> {
        self.each().try_for_each(|site| self.judge_one(&site, moment))
    }

    fn judge_one(&self, site: &Site, moment: Moment) -> Result<(), String> {
        let (names, rules, shared) = (site.fs.names(), self.plan.rules(), self.fs.inner());
        if let Some(wrong) = &site.wrong {
            return Err(wrong.clone());
        }
        judge_acknowledged(&shared, names, site.acknowledged)?;
        judge(&shared, names, &site.logs.scene().world, &site.lost, rules, moment)
    }

    /// A life that fetches what there is and ends. In a `calm` world, what it can't say of itself with a
    /// status of 0 it has to have a reason for.
    fn fetch_once(&mut self, calm: bool) -> Result<(), String> {
        self.begin_life()?;
        self.totals.once += 1;
        let there: Vec<(usize, usize)> =
            self.each().map(|site| site.logs.scene().world.newest()).collect();
        let until: Vec<Instant> = self.each().map(|site| site.now + ONCE_PATIENCE).collect();
        let over = loop {
            if !self.turn() {
                break false;
            }
            if self.each().all(|site| site.complete.is_some() && !site.entry.late.pending()) {
                break true;
            }
            if self.each().zip(&until).any(|(site, until)| site.now > *until) {
                return Err("it was to fetch once, and goes on for ever".to_owned());
            }
        };
        self.each().for_each(|mut site| site.goal = Goal::Follow);
        if !over {
            return Ok(());
        }
        self.each().for_each(|mut site| end_in_order(&mut site));
        let rules = self.plan.rules();
        let sites = Sites::clone(&self.sites);
        for (site, at) in sites.iter().zip(there) {
            let site = site.lock().unwrap();
            let complete = site.complete == Some(true) && site.entry.late.owed().is_none();
            self.totals.once_complete += u64::from(complete);
            let shared = self.fs.inner();
            let world = &site.logs.scene().world;
            if complete && site.told_lost {
                return Err("it told of a loss, and says that all is here".to_owned());
            }
            // An honest exception: protocol 1 does not tell a file that was just renamed from the current one.
            if complete && !rules.silent_gaps && !site.hosting.one {
                judge_has(&shared, site.fs.names(), world, &site.lost, rules, at)
                    .map_err(|what| format!("it says that all is here: {what}"))?;
            }
            // An honest exception: in protocol 1 a source that has fewer bytes than the copy is all that is known.
            let shorter = site.hosting.one && !self.plan.habits.is_kept();
            if !complete && calm && !site.told_lost && !self.plan.hosting.original && !shorter {
                return Err("nothing was lost, and it says that not all is here".to_owned());
            }
        }
        Ok(())
    }

    /// No more trouble from here on.
    fn calm(&mut self, rng: &mut Rng) {
        self.plan.weather.responder_kill = 0;
        for mut site in self.each() {
            site.say(|| "-- no more trouble".to_owned());
            site.notice_power();
            {
                let mut scene = site.logs.scene();
                scene.world.settle(self.plan.last_line);
                scene.meanwhile = Meanwhile::default();
                scene.acted = true;
            }
            site.hurry();
            let together = site.weather.together;
            let (hints, quick) = (site.weather.hints, site.goal == Goal::Once);
            site.weather =
                Weather { together, hints, room: 4000, haste: 5000, quick, ..Weather::default() };
        }
        let mut shared = self.fs.inner();
        shared.calm();
        if shared.death.is_none() {
            shared.death = rng.pick(&[None, Some(Death::Kill), Some(Death::Power)]);
        }
    }

    fn get_in_step(&mut self) -> Result<(), String> {
        let until: Vec<Instant> = self
            .each()
            .map(|site| {
                let generations = site.logs.scene().world.generations.len() as u32;
                site.now + PATIENCE + GENERATION_PATIENCE * generations
            })
            .collect();
        let (mut grown, exact) = (false, self.plan.rules().exact);
        loop {
            // In protocol 1 a log that was emptied, and has as many bytes as are not compared again, shows that
            // when it grows.
            let late = |site: &Site, until: Instant| site.now + PATIENCE / 2 > until;
            if !grown && self.each().zip(&until).any(|(site, &until)| late(&site, until)) {
                grown = true;
                for site in self.each().filter(|_| !exact) {
                    let mut scene = site.logs.scene();
                    if let Some(current) = scene.world.current() {
                        scene.world.grow(current, 1);
                    }
                }
            }
            for _ in 0..20 * self.sites.len() {
                assert!(self.turn(), "nobody dies without trouble");
            }
            let mut all = true;
            for (site, &until) in self.each().zip(&until) {
                if site.now <= until && site.unsettled() {
                    all = false;
                    continue;
                }
                match self.judge_one(&site, Moment::InStep) {
                    Ok(()) if !site.unsettled() => continue,
                    Err(what) if site.now > until => return Err(what),
                    Ok(()) if site.now > until => {
                        return Err("in step, and never durable".to_owned());
                    }
                    _ => all = false,
                }
            }
            if all {
                return self.each().try_for_each(|site| site.check_lists());
            }
        }
    }

    fn sum_up(&self) -> Totals {
        let mut totals = Totals { seeds: 1, disk: self.fs.inner().counts, ..self.totals };
        for site in self.each() {
            let scene = site.logs.scene();
            totals.rotations += scene.world.rotations;
            totals.truncations += scene.world.truncations;
            totals.deletions += scene.world.deletions;
            totals.source_powers += scene.world.powers;
            totals.copies += scene.world.copies;
            totals.packings += scene.world.packings;
            totals.restorations += scene.world.restorations;
            totals.lost += site.lost.len() as u64;
            totals.sites.add(&site::Counts { served: site.served(), ..site.counts });
            totals.bytes += bytes_judged(&self.fs.inner(), site.fs.names());
            totals.virtual_secs += (site.now - site.began).as_secs();
        }
        totals
    }
}
