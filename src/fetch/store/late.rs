//! Late bytes of a generation that has ended go to the end of its archive.
//!
//! | late bytes | call | if the crash comes after it |
//! |---|---|---|
//! | L1 | write behind the end that the archive's line says | the archive is longer than its line: that rest is compared with what arrives and written again |
//! | L2 | sync the archive, take its digest | same |
//! | L3 | append the archive's new line to the manifest, sync it | the line is there, or torn and no line |
//!
//! The line is the truth, and the archive may be ahead of it, never behind. A line whose writing failed may be
//! there all the same, or become durable with the next one: so the manifest is read again before anything is
//! cut off ([`Store::later_line`]).

use std::path::{Path, PathBuf};

use super::{Doing, Done, OpenCopy, Stamp, Store};
use crate::fetch::copy::{Place, Rest, Trust};
use crate::fetch::manifest::{
    Appended, Ending, Line, append_line, line_of, manifest_path, read_last,
};
use crate::status::event::Event;
use crate::sys::fs::{Fs, may_be};

impl<F: Fs> Store<F> {
    /// The archive of a line. `None`: it is not there any more, or not as long as the line says.
    pub fn open_archive(&self, line: &Line) -> Option<OpenCopy<F>> {
        let file = self.fs.open(&self.archive_of(line)?).ok()?;
        let facts = self.fs.facts(&file).ok()?;
        (facts.size >= line.to - line.from).then(|| self.opened(file, &facts))
    }

    fn archive_of(&self, line: &Line) -> Option<PathBuf> {
        Some(self.copy.with_file_name(line.archive.as_ref()?))
    }

    /// The line of the archive that counts, if it tells of more than `line` does: L3 failed, and it is there
    /// all the same. It is on disk then.
    pub fn later_line(&self, line: &Line) -> Done<Option<Line>> {
        let path = manifest_path(&self.pointer);
        let counts = line_of(&self.fs, &path, line).doing("read manifest", &path)?;
        let Some(later) = counts.filter(|counts| counts.to > line.to) else { return Ok(None) };
        self.append(&later)?;
        Ok(Some(later))
    }

    /// Where late bytes belong in an archive, if it is what its line says. What is behind that, a process
    /// before us or a fault of our own left there.
    pub fn verify_archive(&self, archive: &OpenCopy<F>, line: &Line) -> Done<Option<Place>> {
        let Some(path) = self.archive_of(line) else { return Ok(None) };
        let len = line.to - line.from;
        let size = self.fs.len(&archive.file).doing("look at", &path)?;
        if size < len || self.digest(&archive.file, &path, len)? != line.digest {
            return Ok(None);
        }
        let trust =
            if size == len { Trust::Whole } else { Trust::Durable { rest: Rest::Doubtful } };
        Ok(Some(Place { base: line.from, durable: len, at: len, size, trust, ..Place::default() }))
    }

    /// L2 and L3 for an archive that is right up to `place.at`; what is behind is cut off. Gives the new
    /// line if the archive has grown; `Ok(Err(()))` if it is not there any more, or not as it was left.
    pub fn record_late(
        &self,
        archive: &OpenCopy<F>,
        line: &Line,
        place: &Place,
        stamp: &Stamp,
    ) -> Done<Result<Option<Line>, ()>> {
        let Some(path) = self.archive_of(line) else { return Ok(Err(())) };
        let named = self.fs.facts_at(&path).doing("look at", &path)?;
        let size = self.fs.len(&archive.file).doing("look at", &path)?;
        if size != place.size || !named.is_some_and(|facts| may_be(&facts, &archive.id)) {
            return Ok(Err(()));
        }
        if size > place.at {
            self.fs.set_len(&archive.file, place.at).doing("cut", &path)?;
        }
        self.fs.sync_data(&archive.file).doing("sync", &path)?;
        if place.at <= place.durable {
            return Ok(Ok(None));
        }
        let digest = self.digest(&archive.file, &path, place.at)?;
        let late = Some(place.at - place.durable);
        let to = line.from + place.at;
        let line = Line { time: stamp.time, to, digest, late, ..line.clone() };
        self.append(&line)?;
        Ok(Ok(Some(line)))
    }

    /// Adds a line to the manifest, unless it is there. One worker at a time: a rotation may do it
    /// while late bytes are recorded.
    /// Gives what the operator should know of what was there before.
    pub(super) fn append(&self, line: &Line) -> Done<Vec<Event>> {
        let path = manifest_path(&self.pointer);
        let mut had = self.manifest();
        let appended = append_line(&self.fs, &path, line, *had).doing("write manifest", &path)?;
        let Appended { before, size } = appended;
        let events = faults(&path, before.damaged, before.size, *had);
        // What is missing stays missing, however long it becomes.
        *had = if before.size < *had { *had + (size - before.whole) } else { size };
        Ok(events)
    }

    /// The line of the last archive that is a whole generation: the one to be asked for once more. And
    /// what the operator should know of the manifest.
    pub(super) fn last_complete(&self) -> Done<(Option<Line>, Vec<Event>)> {
        let path = manifest_path(&self.pointer);
        let had = *self.manifest();
        let last = read_last(&self.fs, &path).doing("read manifest", &path)?;
        let events = faults(&path, last.damaged, last.size, had);
        let complete = |line: &Line| line.ending == Ending::Complete;
        Ok((last.lines.into_iter().rfind(complete), events))
    }
}

/// What is wrong with a manifest that has so many damaged lines and `size` bytes, and `had` so many.
fn faults(path: &Path, damaged: u64, size: u64, had: u64) -> Vec<Event> {
    let path = || path.to_path_buf();
    let short = (size < had).then(|| Event::ManifestShort { path: path(), size, had });
    let damaged = (damaged > 0).then(|| Event::ManifestDamaged { path: path(), lines: damaged });
    short.into_iter().chain(damaged).collect()
}
