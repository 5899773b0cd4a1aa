//! Sources that are fetched once: which are left, and what is told of those that were not completed.

use std::fmt;

use super::Fetcher;
use crate::config::SourceConfig;
use crate::evloop::slots::Slot;
use crate::fetch::entry::Entry;
use crate::fetch::terms::Goal;
use crate::status::event::{self, Fault};

/// A source of which not all that there was is here. Displayed as `cannot complete HOST PATH: WHY`.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The source.
    pub source: SourceConfig,
    /// Its last fault, or what ended it.
    pub why: String,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unfinished { source, why } = self;
        let told = format!("cannot complete {} {}: {why}", source.host, source.remote_word());
        f.write_str(&event::one_line(told))
    }
}

impl Fetcher {
    /// Whether nothing is left to be done: all is here or given up, and the status files say so.
    pub(super) fn all_done(&self) -> bool {
        self.settings.goal == Goal::Once
            && self.ending.is_none()
            && self.arriving.is_empty()
            && self.finished == self.sources.len()
            && !self.sources.iter().any(|(_, entry)| entry.late.pending())
            && self.board.settled()
    }

    /// Nothing more is done for a source.
    pub(super) fn finish(&mut self, slot: Slot, complete: bool) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        entry.done = true;
        self.finished += 1;
        if !complete {
            self.unfinished.push(unfinished(entry, "it was given up"));
        }
    }

    /// The fetcher ends: maybe before this source was completed, maybe without bytes that came late.
    pub(super) fn note_missing(&mut self, slot: Slot) {
        let Some(entry) = self.sources.get(slot) else { return };
        if self.settings.goal == Goal::Follow {
            return;
        }
        if !entry.done {
            self.unfinished.push(unfinished(entry, "ended before all of it was fetched"));
        } else if let Some(inode) = entry.late.owed()
            && !self.unfinished.iter().any(|known| known.source == entry.config)
        {
            let why = format!("late bytes of {inode} are not here");
            self.unfinished.push(unfinished(entry, &why));
        }
    }
}

fn unfinished(entry: &Entry, otherwise: &str) -> Unfinished {
    let fault = entry.repeats.fault().map(Fault::to_string);
    let why = fault.or_else(|| entry.core.lost().map(|lost| format!("bytes were {lost}")));
    let why = why.as_deref().unwrap_or(otherwise);
    let why = why.strip_prefix("ERR ").unwrap_or(why).to_owned();
    Unfinished { source: entry.config.clone(), why }
}
