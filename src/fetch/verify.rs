//! Copies and archives are compared with their sources by digest, without transferring them, and with
//! the manifest: `fetch_logs --verify`.
//!
//! It runs beside a fetcher, locks nothing and writes nothing. A thread asks the sources of one host one
//! after the other, a few hosts are asked at once; connections and disks are waited for.
//!
//! * [`proof`] which question is next, and what the answers mean; pure
//! * [`lines`] what is told, and what of it is good
//! * [`bytes`] our bytes; [`local`] and [`shelf`] where they are; [`remote`] a question and its answer

pub mod bytes;
pub mod lines;
pub mod local;
pub mod proof;
pub mod remote;
pub mod shelf;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::manifest::{self, line_of, manifest_path, read_latest};
use super::terms::{Timing, WORKING_MAX};
use crate::config::{FetchConfig, Protocol, SourceConfig, emit_word};
use crate::pos::{Generation, Offset, Position, Token};
use crate::proto::ask;
use crate::proto::asked::Asked;
use crate::proto::digest::Whole;
use crate::sys::cause::cause;
use crate::sys::fs::{DiskFs, dir_of};
use bytes::Bytes;
use lines::{Compared, Extent, Line, Listed, Verdict, What};
use local::{Copy, LOOK_INTERVAL, LOOKS_MAX, becoming, manifest_had, read_copy};
use proof::{Finding, Heard, Proof, Question, Step};
use remote::{Responder, Told};

/// Hosts that are asked at once: enough to keep a disk busy, not so many that it only seeks.
const HOSTS_MAX: usize = 8;

/// A responder that is busy is asked again so often, first after so much time and then after twice as much
/// each time: for two minutes.
const BUSY_TRIES: u32 = 7;
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Verifies every source of `config`, and has each line told as it comes. Says whether all is good; the
/// error is of `tell`, or of a thread that could not be started.
pub fn verify(
    config: &FetchConfig,
    timing: &Timing,
    mut tell: impl FnMut(&Line) -> io::Result<()>,
) -> io::Result<bool> {
    let hosts = by_host(&config.sources);
    let threads = HOSTS_MAX.min(hosts.len());
    let hosts = Mutex::new(hosts);
    let next = || hosts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (sender, lines) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            let work = move || {
                while let Some(sources) = next() {
                    // Once nobody listens there is nothing more to be told.
                    let verify = |source| Work::new(source, timing, &sender).verify();
                    if sources.into_iter().map(verify).any(|told| told.is_err()) {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name("verify".to_owned()).spawn_scoped(scope, work)?;
        }
        drop(sender);
        let mut good = true;
        for line in lines {
            good &= line.is_good();
            tell(&line)?;
        }
        Ok(good)
    })
}

/// The sources of each host, in their order.
fn by_host(sources: &[SourceConfig]) -> VecDeque<Vec<&SourceConfig>> {
    let mut places = HashMap::new();
    let mut hosts: VecDeque<Vec<&SourceConfig>> = VecDeque::new();
    for source in sources {
        let place = *places.entry(&source.host).or_insert(hosts.len());
        match hosts.get_mut(place) {
            Some(others) => others.push(source),
            None => hosts.push_back(vec![source]),
        }
    }
    hosts
}

/// The error: nobody listens any more.
type Listened = Result<(), ()>;

/// One source.
struct Work<'a> {
    source: &'a SourceConfig,
    fs: DiskFs,
    responder: Responder<'a>,
    lines: &'a Sender<Line>,
    /// Which file the copy is of, and where in the generation it begins.
    copied: Option<(Token, Offset)>,
}

impl<'a> Work<'a> {
    fn new(source: &'a SourceConfig, timing: &'a Timing, lines: &'a Sender<Line>) -> Work<'a> {
        let responder = Responder::new(&source.host, source.port, timing, WORKING_MAX);
        Work { source, fs: DiskFs::for_reading(), responder, lines, copied: None }
    }

    fn tell(&self, what: What, verdict: Verdict) -> Listened {
        let (host, path) = (self.source.host.to_string(), self.source.remote_word().into_owned());
        self.lines.send(Line { host, path, what, verdict }).map_err(drop)
    }

    /// The copy, and then the archives: what is rotated between is an archive then.
    fn verify(mut self) -> Listened {
        let (local, pointer) = (&self.source.local, &self.source.pointer);
        match read_copy(&self.fs, local, pointer) {
            Copy::Held { generation, range, mut bytes } => {
                let extent = Extent { inode: generation.inode, range: range.clone() };
                self.copied = generation.id.map(|id| (id, range.start));
                let source = self.prove(Proof::new(generation, range), &mut bytes);
                let verdict = Verdict::Compared { source, manifest: Listed::Not };
                self.tell(What::Copy(Some(extent)), verdict)
            }
            Copy::Missing => self.tell(What::Copy(None), Verdict::Missing),
            Copy::Short { extent, bytes } => {
                self.tell(What::Copy(Some(extent)), Verdict::Length(bytes))
            }
            Copy::Unknown(why) => self.tell(What::Copy(None), Verdict::Unreadable(why)),
        }?;
        self.verify_archives()
    }

    fn verify_archives(&mut self) -> Listened {
        let (local, pointer) = (&self.source.local, &self.source.pointer);
        // In this order: an archive that is there has its line, or the pointer tells of it; and the
        // manifest only grows meanwhile.
        let beside = shelf::archives(&self.fs, local);
        let becoming = becoming(&self.fs, local, pointer);
        let had = manifest_had(&self.fs, pointer);
        let path = manifest_path(pointer);
        let (archives, extent) = match read_latest(&self.fs, &path, had) {
            Ok(None) if had > 0 => {
                self.tell(What::Manifest, Verdict::Missing)?;
                Default::default()
            }
            Ok(None) => Default::default(),
            Ok(Some(read)) => read,
            Err(error) => {
                let why = format!("cannot read {}: {}", path.display(), cause(&error));
                return self.tell(What::Manifest, Verdict::Unreadable(why));
            }
        };
        if (1..had).contains(&extent.size) {
            self.tell(What::Manifest, Verdict::Length(extent.size))?;
        }
        if extent.damaged > 0 {
            self.tell(What::Manifest, Verdict::Damaged(extent.damaged))?;
        }
        let listed: HashSet<OsString> =
            archives.iter().filter_map(|line| line.archive.clone()).chain(becoming).collect();
        let of_archives = archives.iter().map(|line| line.id.zip(Some(line.from)));
        let pieces: Vec<_> = of_archives.chain([self.copied]).collect();
        for (at, archive) in archives.into_iter().enumerate() {
            let mut later = pieces[at + 1..].iter().flatten();
            // One that ended otherwise may be another's, and then that is to be found.
            let emptied = archive.ending == manifest::Ending::Complete
                && later.any(|&(id, from)| archive.id == Some(id) && from < archive.to);
            self.verify_archive(archive, emptied)?;
        }
        match beside {
            Ok(beside) => beside
                .iter()
                .filter(|name| !listed.contains(&name.plain))
                .try_for_each(|name| self.tell(archive(&name.now, None), Verdict::Unlisted)),
            Err(error) => {
                let why = format!("cannot list {}: {}", dir_of(local).display(), cause(&error));
                self.tell(What::Manifest, Verdict::Unreadable(why))
            }
        }
    }

    /// `emptied`: the same file was begun anew since.
    fn verify_archive(&mut self, mut listed: manifest::Line, emptied: bool) -> Listened {
        let mut name = listed.archive.clone().unwrap_or("-".into());
        let found = match listed.archive {
            None => Ok(None),
            Some(_) => self.settled(&name, &mut listed),
        };
        let verdict = match found {
            Ok(None) => Verdict::Missing,
            Ok(Some((bytes, len))) => {
                name = bytes.name().to_owned();
                match len == listed.to - listed.from {
                    true => self.compare(&listed, bytes, emptied),
                    false => Verdict::Length(len),
                }
            }
            Err(why) => Verdict::Unreadable(why),
        };
        let extent = Extent { inode: listed.inode, range: listed.from..listed.to };
        let what = archive(&name, Some(extent));
        self.tell(what.clone(), verdict)?;
        listed.lost.map_or(Ok(()), |gap| self.tell(what, Verdict::Lost(gap)))
    }

    /// The archive called `name` and its length, once the manifest tells of it as it is: bytes that come
    /// late may just be put into it. Its line is read again meanwhile. It may have been compressed.
    fn settled(
        &self,
        name: &OsStr,
        listed: &mut manifest::Line,
    ) -> Result<Option<(Bytes, Offset)>, String> {
        let path = self.source.local.with_file_name(name);
        for _ in 0..LOOKS_MAX {
            let Some((bytes, len)) = Bytes::open(&self.fs, &path, listed.from)? else {
                return self.packed(&path, listed.from);
            };
            // One that is shorter was never to be.
            if len <= listed.to - listed.from {
                return Ok(Some((bytes, len)));
            }
            std::thread::park_timeout(LOOK_INTERVAL);
            let manifest = manifest_path(&self.source.pointer);
            if let Ok(Some(again)) = line_of(&self.fs, &manifest, listed) {
                *listed = again;
            }
        }
        Bytes::open(&self.fs, &path, listed.from)
    }

    /// What the archive at `path` was compressed to.
    fn packed(&self, path: &Path, base: Offset) -> Result<Option<(Bytes, Offset)>, String> {
        shelf::packed(path)
            .find_map(|(path, format)| {
                Bytes::open_packed(&self.fs, &path, base, format).transpose()
            })
            .transpose()
    }

    fn compare(&mut self, listed: &manifest::Line, mut bytes: Bytes, emptied: bool) -> Verdict {
        let range = listed.from..listed.to;
        let manifest = match bytes.digest(&self.fs, &range) {
            Ok(ours) if ours == listed.digest => Listed::Equal,
            Ok(_) => Listed::Differs,
            Err(why) => return Verdict::Unreadable(why),
        };
        let manifest::Line { inode, id, seen_ns, .. } = *listed;
        let generation = Generation { id, seen_ns, ..Generation::of(inode) };
        let proof = Proof::new(generation, range);
        let proof = if emptied { proof.of_emptied() } else { proof };
        let source = self.prove(proof, &mut bytes);
        Verdict::Compared { source, manifest }
    }

    /// Compares our bytes of a generation with the source's.
    fn prove(&mut self, mut proof: Proof, bytes: &mut Bytes) -> Compared {
        if self.source.protocol == Protocol::One {
            return Compared::Unknown("it is asked for in protocol 1".to_owned());
        }
        loop {
            match proof.step() {
                Step::Done(Finding::Equal) => return Compared::Equal,
                Step::Done(Finding::Differs(at)) => return Compared::Differs(at),
                Step::Done(Finding::Gone) => return Compared::Gone,
                Step::Ask(question) => match self.ask(&question, bytes) {
                    Ok((heard, ours)) => proof.handle(heard, ours),
                    Err(why) => return Compared::Unknown(why),
                },
            }
        }
    }

    /// The answer to a question, and the digest of our own bytes, made while the responder makes its.
    fn ask(&mut self, question: &Question, bytes: &mut Bytes) -> Result<(Heard, Whole), String> {
        let Question { inode, id, seen_ns, range, tail, head } = question;
        let to = Position { inode: *inode, offset: range.end };
        let asked = Asked {
            id: *id,
            tail: bytes.sample(&self.fs, range.end, *tail)?,
            head: bytes.sample(&self.fs, *head, *head)?,
            seen_ns: *seen_ns,
            ..Asked::default()
        };
        let path = self.source.remote.as_os_str().as_bytes().to_vec();
        let extent = ask::Extent { path, from: range.start, to, asked };
        let mut tries = 0;
        loop {
            let waiting = self.responder.ask(extent.clone())?;
            let ours = bytes.digest(&self.fs, range)?;
            match waiting.hear()? {
                Told::Heard(heard) => return Ok((heard, ours)),
                Told::Busy(why) if tries == BUSY_TRIES => return Err(why),
                Told::Busy(_) => std::thread::park_timeout(BUSY_WAIT * (1 << tries)),
            }
            tries += 1;
        }
    }
}

fn archive(name: &OsStr, extent: Option<Extent>) -> What {
    What::Archive { name: emit_word(name.as_bytes()), extent }
}
