//! The served files that somebody is told of, and what has changed among them.
//!
//! What was told is remembered, so what is in memory is bounded by the configuration. A look goes through
//! the files that a hint named, or through all; it stops when it has found so much news, and goes on when
//! that was said. A slow reader slows down his own list.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::files::{FileNo, Files, Served};
use super::finder::is_gone_or_closed;
use crate::config::PathGlob;
use crate::pos::{FileFacts, Inode};
use crate::proto::list::{Listing as Line, emit_listing};
use crate::sys::logs::Logs;

/// News are told when they are so many bytes.
const NEWS_BYTES: usize = 64 << 10;

/// Files looked at before the next errand has its turn.
const FILES_MAX: usize = 10_000;

/// Where there may be news.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nowhere.
    Nothing,
    /// In these files.
    Some(BTreeSet<FileNo>),
    /// Anywhere.
    All,
}

impl Look {
    /// There as well.
    pub fn add(&mut self, more: Look) {
        match (&mut *self, more) {
            (Look::All, _) | (_, Look::Nothing) => {}
            (Look::Some(numbers), Look::Some(more)) => numbers.extend(more),
            (_, more) => *self = more,
        }
    }

    /// All of it; then it is nowhere.
    pub fn take(&mut self) -> Look {
        std::mem::replace(self, Look::Nothing)
    }
}

/// A list.
#[derive(Debug)]
pub struct Listing {
    glob: PathGlob,
    /// What was told to be there: by its path, the file.
    told: BTreeMap<Vec<u8>, FileFacts>,
    looking: Option<Looking>,
}

/// A look, and how far it is.
#[derive(Debug)]
struct Looking {
    /// The table of when it was begun.
    files: Arc<Files>,
    /// What is still to be looked at, the last of it first.
    rest: Vec<FileNo>,
    /// What was told and is in the table no more is gone; looked for at the end.
    all: bool,
    gone: Vec<Vec<u8>>,
}

impl Listing {
    /// Nothing is told yet.
    pub fn new(glob: PathGlob) -> Listing {
        Listing { glob, told: BTreeMap::new(), looking: None }
    }

    /// Whether a look is not at its end.
    pub fn is_looking(&self) -> bool {
        self.looking.is_some()
    }

    /// Begins a look.
    pub fn begin(&mut self, look: Look, files: &Arc<Files>) {
        let matches = |number: &FileNo| self.glob.matches(path_of(files.get(*number)));
        let mut rest: Vec<FileNo> = match &look {
            Look::Nothing => return,
            Look::Some(numbers) => numbers.iter().copied().filter(matches).collect(),
            Look::All => files.iter().map(|(number, _)| number).filter(matches).collect(),
        };
        rest.reverse();
        self.looking = Some(Looking {
            files: Arc::clone(files),
            rest,
            all: look == Look::All,
            gone: Vec::new(),
        });
    }

    /// Goes on with the look, and gives what is to be told.
    pub fn look<L: Logs>(&mut self, logs: &L) -> Vec<u8> {
        let mut news = Vec::new();
        let Some(looking) = &mut self.looking else { return news };
        for _ in 0..FILES_MAX {
            if news.len() >= NEWS_BYTES {
                return news;
            }
            if let Some(number) = looking.rest.pop() {
                let served = looking.files.get(number);
                let there = match logs.facts_at(&served.path) {
                    Ok(facts) => facts.filter(|facts| facts.regular),
                    Err(error) if is_gone_or_closed(&error) => None,
                    // For want of a descriptor, perhaps: the next look may tell.
                    Err(_) => continue,
                };
                news.extend(compare(&mut self.told, path_of(served), there));
                continue;
            }
            if std::mem::take(&mut looking.all) {
                let files = &looking.files;
                let gone = self.told.keys().filter(|path| files.look_up(path).is_none());
                looking.gone = gone.cloned().collect();
            }
            let Some(path) = looking.gone.pop() else {
                self.looking = None;
                return news;
            };
            news.extend(compare(&mut self.told, &path, None));
        }
        news
    }
}

fn path_of(served: &Served) -> &[u8] {
    served.asked_as.as_os_str().as_bytes()
}

/// What is to be told of a file.
fn compare(
    told: &mut BTreeMap<Vec<u8>, FileFacts>,
    path: &[u8],
    there: Option<FileFacts>,
) -> Vec<u8> {
    match (told.get(path), there) {
        (Some(before), Some(now)) if before.same_file(&now) => Vec::new(),
        (_, Some(now)) => {
            told.insert(path.to_vec(), now);
            let FileFacts { id, size, modified_ns: mtime_ns, .. } = now;
            let inode = Inode::new(id.inode);
            emit_listing(&Line::File { inode, size, mtime_ns, path: path.to_vec() })
        }
        (Some(_), None) => {
            told.remove(path);
            emit_listing(&Line::Gone { path: path.to_vec() })
        }
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
