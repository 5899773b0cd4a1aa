//! The network of one source: who dials, what becomes of connections, and who else comes to the responder.

use std::time::{Duration, Instant};

use fetchlogs::fetch::conn::{Conn, Role};

use crate::plan::Weather;
use crate::rng::Rng;
use crate::site::Site;
use crate::visitor::{Mood, Visitor};
use crate::wire::{End, Wire};

/// A connection on its way to the responder.
pub struct Dialled {
    pub wire: Wire,
    /// When the attempt is decided, and whether it works.
    pub decided_at: Instant,
    pub works: bool,
    pub connected: bool,
    /// When the responder takes it.
    pub accepted_at: Instant,
}

impl Site {
    pub fn storm(&mut self) {
        let Weather { cut, silence, stall, .. } = self.weather;
        if self.wires.is_empty() {
            return;
        }
        let which = self.rng.below(self.wires.len() as u64) as usize;
        if self.rng.hits(cut) {
            self.counts.cuts += 1;
            self.wires[which].cut(&mut self.rng);
            self.say(|| "connection cut".to_owned());
        } else if self.rng.hits(silence) {
            self.counts.silences += 1;
            self.wires[which].fall_silent(self.now);
            self.say(|| "connection silent".to_owned());
        } else if self.rng.hits(stall) {
            self.counts.stalls += 1;
            let until = self.now + Duration::from_secs(self.rng.pick(&[2, 30, 110, 150]));
            let end = self.rng.pick(&[End::Fetcher, End::Responder]);
            self.wires[which].stall(end, until);
            self.say(|| "connection stalls".to_owned());
        }
    }

    pub fn connect_and_carry(&mut self) {
        let (now, down_until) = (self.now, self.down_until);
        for one in &mut self.dialled {
            if !one.connected && one.decided_at <= now {
                one.connected = true;
                one.works &= now >= down_until;
                one.wire.connect(one.works);
            }
        }
        self.dialled.retain(|one| one.works || !one.connected);
        self.wires.retain(|wire| !wire.is_over());
        self.wires.iter().for_each(|wire| wire.carry(now));
    }

    pub fn dial(&mut self, role: Role) -> Result<(), &'static str> {
        self.counts.connections += 1;
        let Weather { refused, unaccepted, room, .. } = self.weather;
        if self.rng.hits(refused / 4) {
            self.counts.refused += 1;
            return Err("too many open files");
        }
        let (wire, plug) = Wire::new(room, Rng::new(self.rng.next()));
        let slow = if self.weather.quick { 50 } else { 4000 };
        let decided = Duration::from_millis(self.rng.pick(&[0, 1, 1, 50, 50, slow / 2, slow]));
        let waits = if self.rng.hits(unaccepted) { self.rng.between(1, 100) } else { 0 };
        let works = !self.rng.hits(refused);
        self.counts.refused += u64::from(!works);
        let decided_at = self.now + decided;
        let accepted_at = decided_at + Duration::from_secs(waits);
        let dialled =
            Dialled { wire: wire.clone(), decided_at, works, connected: false, accepted_at };
        self.dialled.push(dialled);
        self.wires.push(wire);
        self.conns[role as usize] = Some(Conn::new(plug, self.slot, role));
        Ok(())
    }

    /// Others come, ask, hear and go.
    pub fn visit(&mut self) {
        if self.visitors.len() < 2 && self.rng.hits(self.weather.visits) {
            let (wire, plug) = Wire::new(self.weather.room, Rng::new(self.rng.next()));
            let scene = self.logs.scene();
            let there = scene.world.habits.is_kept();
            let visitor = Visitor::new(plug, &scene.world, there, &mut self.rng, self.now);
            drop(scene);
            let now = self.now;
            let dialled = Dialled {
                wire: wire.clone(),
                decided_at: now,
                works: true,
                connected: false,
                accepted_at: now,
            };
            self.dialled.push(dialled);
            self.wires.push(wire);
            match visitor.is_lister() {
                true => self.counts.lists += 1,
                false => self.counts.digests += 1,
            }
            self.visitors.push(visitor);
        }
        for at in (0..self.visitors.len()).rev() {
            match self.visitors[at].step() {
                Mood::Waits => {}
                Mood::Leaves => drop(self.visitors.swap_remove(at)),
                Mood::Wrong(what) => {
                    self.wrong.get_or_insert(what);
                }
            }
        }
    }

    /// Whoever is told what is served knows it, a while after it changed last.
    pub fn check_lists(&self) -> Result<(), String> {
        let told_by = self.calm_at + Duration::from_secs(30);
        let world = &self.logs.scene().world;
        let current = world.current().map(|file| world.files[file].inode);
        for visitor in self.visitors.iter().filter(|one| one.since < self.calm_at) {
            let Some(told) = visitor.listed() else { continue };
            if self.now > told_by && visitor.is_idle() && told != current {
                return Err(format!("a list says {told:?}, and it is {current:?}"));
            }
        }
        Ok(())
    }
}
