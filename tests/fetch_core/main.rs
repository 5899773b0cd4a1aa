//! The fetcher's two cores: the life of one source without sockets, clocks or files, and the store
//! over real directories.

mod halting;
mod leaving;
mod manifest;
mod once;
mod recovery;
mod rotation;
mod source;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fetchlogs::fetch::copy::{Place, Rest, Took, Trust, take};
use fetchlogs::fetch::manifest::{
    Ended, Ending, Extent, Gap, Line, Outcome, append_line, emit_line, manifest_path, parse_time,
    read_latest, read_manifest,
};
use fetchlogs::fetch::pointer::{
    BOOT_UNKNOWN, Held, Pointer, State, emit_pointer, parse_pointer, scratch_path,
};
use fetchlogs::fetch::source::{OVERLAP, Source};
use fetchlogs::fetch::store::{Cut, OpenCopy, Stamp, Standing, Store, StoreFault};
use fetchlogs::fetch::terms::{End, Goal, Job, Output, Recheck, SyncPolicy, Timing, Wants};
use fetchlogs::pos::{Generation, Inode, Start, Token};
use fetchlogs::proto::WireFault;
use fetchlogs::proto::answer::{Answer, File, Why};
use fetchlogs::proto::asked::Sample;
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::refusal::{Code, Refusal};
use fetchlogs::proto::request::{Request, emit_request};
use fetchlogs::proto::status::parse_status;
use fetchlogs::status::event::{Event, Fault};
use fetchlogs::sys::fs::{DiskFs, Fs};

const SYNC: Duration = Duration::from_secs(5);

const TIMING: Timing = Timing {
    reconnect: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(3),
    reply_timeout: Duration::from_secs(3),
    idle_timeout: Duration::from_secs(120),
    sync: SyncPolicy::Within(SYNC),
    recheck: Recheck::Never,
};

/// A source and the world around it, which does what the source wants unless a test says otherwise.
struct Life {
    source: Source,
    now: Instant,
}

fn generation(number: u64) -> Generation {
    Generation::of(Inode::new(number))
}

/// `durable` of `size` bytes are in the pointer.
fn place(durable: u64, size: u64, trust: Trust) -> Place {
    Place { durable, size, trust, ..Place::default() }
}

impl Life {
    fn with(timing: Timing) -> Life {
        let source = Source::new(b"/log".to_vec(), timing, 1);
        let mut life = Life { source, now: Instant::now() };
        assert_eq!(life.outputs(), [Output::Do(Job::Recover)]);
        life
    }

    /// A source that has recovered to stand there.
    fn at(generation: Option<u64>, place: Place) -> Life {
        Life::at_with(generation, place, TIMING)
    }

    fn at_with(generation: Option<u64>, place: Place, timing: Timing) -> Life {
        let mut life = Life::with(timing);
        life.source.handle_standing(life.now, generation.map(self::generation), place);
        assert_eq!(life.outputs(), []);
        life
    }

    /// One that has all of generation 7, `size` bytes of it, and follows it.
    fn following(size: u64) -> Life {
        Life::following_with(size, TIMING)
    }

    fn following_with(size: u64, timing: Timing) -> Life {
        let mut life = Life::at_with(Some(7), place(size, size, Trust::Whole), timing);
        life.ask();
        life.status("O 7");
        life.data(OVERLAP.min(size));
        life
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.source.poll_output()).collect()
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.source.handle_due(self.now);
        self.outputs()
    }

    /// Lets time pass until it connects; gives its request.
    fn ask(&mut self) -> String {
        loop {
            let due = self.source.deadline().expect("it waits for something");
            let outputs = self.pass(due.saturating_duration_since(self.now));
            if outputs.contains(&Output::Do(Job::Checkpoint)) {
                let place = self.source.place();
                let durable = if place.trust == Trust::Whole { place.size } else { place.at };
                self.source.handle_checkpointed(self.now, durable);
            }
            if outputs.contains(&Output::Connect) {
                break;
            }
        }
        self.ask_connected()
    }

    /// The same once it connects.
    fn ask_connected(&mut self) -> String {
        self.source.handle_connected(self.now);
        match &self.outputs()[..] {
            // As protocol 1 sees it; what protocol 2 adds is tried with the program.
            [Output::Ask(request)] => {
                let plain = Request { two: None, ..request.clone() };
                String::from_utf8(emit_request(&plain)).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self, line: &str) -> Vec<Output> {
        self.source.handle_status(self.now, parse_status(line.as_bytes()).unwrap());
        self.outputs()
    }

    /// `moved` bytes arrive that agree with what is there.
    fn data(&mut self, moved: u64) -> Vec<Output> {
        let place = self.source.place_mut();
        place.at += moved;
        if place.at >= place.size {
            (place.size, place.trust) = (place.at, Trust::Whole);
        }
        self.source.handle_data(self.now, Took::All, moved, false);
        self.outputs()
    }

    fn heartbeat(&mut self) -> Vec<Output> {
        self.source.handle_data(self.now, Took::All, 0, true);
        self.outputs()
    }

    fn differs(&mut self) -> Vec<Output> {
        self.source.handle_data(self.now, Took::Differs, 0, false);
        self.outputs()
    }

    fn closed(&mut self) -> Vec<Output> {
        self.source.handle_end(self.now, End::Closed);
        self.outputs()
    }

    fn broken(&mut self) -> Vec<Output> {
        self.source.handle_end(self.now, End::Broken("reset".to_owned()));
        self.outputs()
    }

    /// An end is told, and what follows is asked for: the same goes on, in protocol 1.
    fn confirm(&mut self) {
        let size = self.source.place().at;
        assert_eq!(self.heartbeat(), [Output::Succeed, Output::Close]);
        assert_eq!(self.ask(), format!("/log 7 {size}\n"));
        assert_eq!(self.status("O 7"), [Output::Close]);
        let overlap = size.min(OVERLAP);
        assert_eq!(self.ask(), format!("/log 7 {}\n", size - overlap));
        assert_eq!(self.status("O 7"), []);
        assert_eq!(self.data(overlap), [Output::Succeed]);
    }

    /// In protocol 2 the same goes on where we are, of `size` bytes.
    fn goes_on(&mut self, size: u64, name: Option<&[u8]>) -> Vec<Output> {
        let from = self.source.place().at;
        let name = name.map(<[u8]>::to_vec);
        let same = Answer { name, ..answer(File::Same, b"a", from, size) };
        self.source.handle_answer(self.now, &same);
        self.outputs()
    }

    /// The job that runs ends with a fresh copy of generation `next`.
    fn rotated(&mut self, next: Option<u64>) -> Vec<Output> {
        self.source.handle_standing(self.now, next.map(generation), Place::default());
        self.outputs()
    }
}

fn answer(file: File, id: &[u8], from: u64, size: u64) -> Answer {
    Answer {
        inode: Inode::new(7),
        file,
        id: Token::parse(id).unwrap(),
        boot: Token::parse(b"boot").unwrap(),
        from,
        size,
        mtime_ns: 5,
        name: None,
        tail: None,
    }
}

fn lost(generation: u64, offset: u64) -> Output {
    Output::Tell(Event::Lost { inode: Inode::new(generation), offset, end: None })
}

/// All of the generation is here.
fn rotate(next: u64) -> Output {
    rotate_as(next, Outcome::COMPLETE)
}

/// The generation ended so, and what was behind the copy is lost.
fn rotate_lost(next: u64, ending: Ending, from: u64) -> Output {
    rotate_as(next, Outcome { ending, lost: Some(Gap { from, to: None }) })
}

fn rotate_as(next: u64, outcome: Outcome) -> Output {
    Output::Do(Job::Rotate { next: generation(next), cut: None, outcome })
}

fn is_job(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Do(_)))
}

/// A directory with a store in it.
struct Shelf {
    dir: tempfile::TempDir,
    store: Store<DiskFs>,
}

const BOOT: &str = "this-boot";
const STAMP: &str = "20261120132249";

fn stamp() -> Stamp {
    Stamp { name: STAMP.to_owned(), time: parse_time("2026-11-20T12:22:49Z").unwrap() }
}

impl Shelf {
    fn new() -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let (copy, pointer) = (dir.path().join("log"), dir.path().join("log.ptr"));
        let store = Store::new(DiskFs::default(), copy, pointer, BOOT.into());
        Shelf { dir, store }
    }

    /// With a copy of generation 7, of which the pointer knows `durable` bytes.
    fn with(content: &str, durable: u64) -> Shelf {
        let shelf = Shelf::new();
        fs::write(&shelf.store.copy, content).unwrap();
        shelf.point(&shelf.pointer(durable));
        shelf
    }

    fn pointer(&self, durable: u64) -> Pointer {
        let file = self.store.fs.open(&self.store.copy).unwrap();
        let copy = self.store.fs.facts(&file).unwrap().id;
        let (generation, boot) = (generation(7), BOOT.to_owned());
        let (before, masked, manifest, state) = (None, 0, 0, State::Active);
        Pointer { generation, base: 0, before, masked, durable, copy, manifest, boot, state }
    }

    fn point(&self, pointer: &Pointer) {
        fs::write(&self.store.pointer, emit_pointer(pointer)).unwrap();
    }

    fn pointed(&self) -> Pointer {
        match parse_pointer(&fs::read(&self.store.pointer).unwrap()) {
            Ok(Held::Pointer(pointer)) => *pointer,
            other => panic!("{other:?}"),
        }
    }

    fn recover(&self) -> Standing<DiskFs> {
        self.store.recover(&stamp()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Files but the pointer, the manifest and the lock, in order.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("log.ptr") && !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// The lines of the manifest that count. Each says what its archive is.
    fn manifest(&self) -> Vec<Line> {
        let path = manifest_path(&self.store.pointer);
        let Some((lines, extent)) = read_latest(&self.store.fs, &path, 0).unwrap() else {
            return Vec::new();
        };
        assert_eq!((extent.whole, extent.damaged), (extent.size, 0));
        for line in lines.iter().filter(|line| line.archive.is_some()) {
            let archive = fs::read(self.dir.path().join(line.archive.as_ref().unwrap())).unwrap();
            assert_eq!(line.digest, Whole::of(&archive), "{line:?}");
            assert_eq!(line.to - line.from, archive.len() as u64, "{line:?}");
        }
        lines
    }

    fn rotate(
        &self,
        standing: &Standing<DiskFs>,
        next: u64,
    ) -> Result<Standing<DiskFs>, StoreFault> {
        let copy = standing.copy.as_ref().unwrap();
        let generation = standing.generation.unwrap();
        let next = (self::generation(next), Outcome::COMPLETE);
        self.store.rotate(copy, generation, &standing.place, None, next, &stamp())
    }
}
