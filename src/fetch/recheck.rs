//! What a worker does for late bytes: it looks at an archive, or makes what came for it durable.

use super::copy::Place;
use super::late::{Opened, Recorded};
use super::manifest::Line;
use super::store::{OpenCopy, Stamp, Store};
use crate::evloop::slots::Slot;
use crate::sys::fs::Fs;

/// One look at an archive, or one record of it.
#[derive(Debug)]
pub struct Recheck<F: Fs> {
    /// Whose it is.
    pub slot: Slot,
    /// Where.
    pub store: Store<F>,
    /// The open archive.
    pub archive: OpenCopy<F>,
    /// What the manifest says of it.
    pub line: Line,
    /// How far it is, if that is to be recorded; else it is looked at.
    pub place: Option<Place>,
}

/// What has become of it.
#[derive(Debug)]
pub enum Rechecked {
    /// It was looked at.
    Opened(Opened),
    /// It was recorded.
    Recorded(Recorded),
}

/// Does it; may wait for the disk.
pub fn recheck<F: Fs>(task: &Recheck<F>, stamp: &Stamp) -> Rechecked {
    let Recheck { store, archive, line, .. } = task;
    match &task.place {
        None => Rechecked::Opened(open(store, archive, line)),
        Some(place) => Rechecked::Recorded(match store.record_late(archive, line, place, stamp) {
            Ok(Ok(Some(line))) => Recorded::Grown(line),
            Ok(Ok(None)) => Recorded::Nothing,
            Ok(Err(())) => Recorded::Changed,
            Err(fault) => Recorded::Failed(fault.to_string()),
        }),
    }
}

/// Where late bytes belong, as far as the archive is what the manifest says by now.
fn open<F: Fs>(store: &Store<F>, archive: &OpenCopy<F>, line: &Line) -> Opened {
    let placed = match store.later_line(line) {
        Ok(Some(later)) => return Opened::Listed(later),
        Ok(None) => store.verify_archive(archive, line),
        Err(fault) => Err(fault),
    };
    match placed {
        Ok(Some(place)) => Opened::Ready(place),
        Ok(None) => Opened::Changed,
        Err(fault) => Opened::Failed(fault.to_string()),
    }
}
