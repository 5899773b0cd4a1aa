//! What runs have tried.

use crate::fs::Counts;
use crate::site;
use crate::tally::tally;

#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub steps: u64,
    pub lives: u64,
    /// Time that has passed at the sources, in seconds.
    pub virtual_secs: u64,
    pub disk: Counts,
    pub sites: site::Counts,
    pub rotations: u64,
    pub truncations: u64,
    pub deletions: u64,
    pub source_powers: u64,
    pub copies: u64,
    pub packings: u64,
    pub restorations: u64,
    pub lost: u64,
    /// Lives that fetched once, and how many of their sources said that all is here.
    pub once: u64,
    pub once_complete: u64,
    /// Bytes of archives and copies that were judged at the end.
    pub bytes: u64,
}

impl Totals {
    /// For the page of totals.
    pub fn tell(&self) {
        let Totals { disk, sites, .. } = self;
        for (what, count) in [
            ("worlds", self.seeds),
            ("virtual hours", self.virtual_secs / 3600),
            ("steps", self.steps),
            ("calls of the file system", disk.calls),
            ("kills of fetch_logs", disk.kills),
            ("power losses of the fetcher's host", disk.powers),
            ("failed syncs", disk.sync_errors),
            ("other calls that failed", disk.errors),
            ("full disks", disk.full),
            ("connections", sites.connections),
            ("connections refused or never answered", sites.refused),
            ("connections cut at some byte", sites.cuts),
            ("connections that fell silent", sites.silences),
            ("connections that stalled", sites.stalls),
            ("kills of serve_logs", sites.responder_kills),
            ("errands of serve_logs", sites.served.errands),
            ("errands called off", sites.served.called_off),
            ("errands that failed without a word", sites.served.failed),
            ("clocks set", sites.jumps),
            ("bytes that came late and were fetched", sites.late_bytes),
            ("acknowledgements", sites.acknowledged),
            ("digests asked for", sites.digests),
            ("lists followed", sites.lists),
            ("runs with --once", self.once),
            ("rotations", self.rotations),
            ("truncations in place", self.truncations),
            ("deletions of rotated files", self.deletions),
            ("power losses of source hosts", self.source_powers),
            ("copies before a truncation", self.copies),
            ("files compressed", self.packings),
            ("logs restored from a backup", self.restorations),
            ("losses told", self.lost),
            ("bytes judged", self.bytes),
        ] {
            tally(&format!("simulation: {what}"), count);
        }
    }

    pub fn add(&mut self, one: &Totals) {
        self.seeds += one.seeds;
        self.steps += one.steps;
        self.lives += one.lives;
        self.virtual_secs += one.virtual_secs;
        self.disk.add(&one.disk);
        self.sites.add(&one.sites);
        self.rotations += one.rotations;
        self.truncations += one.truncations;
        self.deletions += one.deletions;
        self.source_powers += one.source_powers;
        self.copies += one.copies;
        self.packings += one.packings;
        self.restorations += one.restorations;
        self.lost += one.lost;
        self.once += one.once;
        self.once_complete += one.once_complete;
        self.bytes += one.bytes;
    }
}
