//! The fetcher's two cores: the life of one source without sockets, clocks or files, and the store
//! over real directories.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fetchlogs::fetch::copy::{Place, Rest, Took, Trust, take};
use fetchlogs::fetch::manifest::{
    Ended, Ending, Extent, Gap, Line, Outcome, append_line, emit_line, manifest_path, parse_time,
    read_latest, read_manifest,
};
use fetchlogs::fetch::pointer::{Held, Pointer, State, emit_pointer, parse_pointer, scratch_path};
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

// ---- one source ----

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

#[test]
fn a_first_contact_asks_for_nothing_and_begins_with_what_is_there() {
    let mut life = Life::at(None, Place::default());
    assert_eq!(life.ask(), "/log 0 0\n");
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
    assert_eq!(life.source.wants(), Wants::Nothing);
    assert_eq!(life.rotated(Some(7)), []);
    assert_eq!(life.source.wants(), Wants::Data);
}

#[test]
fn other_bytes_at_the_source_are_believed_once_only_durable_ones_were_told() {
    for (durable, goes_back) in [(700, true), (OVERLAP, false), (1000, false)] {
        let mut life = Life::at(Some(7), place(durable, 1000, Trust::Whole));
        let lost = answer(File::Lost(Why::Digest), b"b", 0, 50);
        assert_eq!(life.ask(), "/log 7 744\n");
        life.source.handle_answer(life.now, &lost);
        assert_eq!(is_job(&life.outputs()), !goes_back, "{durable}");
        if goes_back {
            assert_eq!(life.ask(), format!("/log 7 {}\n", durable - OVERLAP));
            life.source.handle_answer(life.now, &lost);
            let gap = Some(Gap { from: 1000, to: None });
            let outcome = Outcome { ending: Ending::Digest, lost: gap };
            let outputs = life.outputs();
            let Some(Output::Do(Job::Rotate { cut: None, outcome: found, .. })) = outputs.last()
            else {
                panic!("{outputs:?}")
            };
            assert_eq!(*found, outcome);
        }
    }
}

#[test]
fn a_file_that_was_not_there_is_written_from_now_on_from_its_beginning() {
    for (start, missing, then) in [
        (Start::End, true, Start::Begin),
        (Start::End, false, Start::End),
        (Start::History, true, Start::History),
    ] {
        let source = Source::new(b"/log".to_vec(), TIMING, 1).starting(start);
        let mut life = Life { source, now: Instant::now() };
        life.outputs();
        life.source.handle_standing(life.now, None, Place::default());
        life.ask();
        let code = if missing { Code::Missing } else { Code::Busy };
        life.source.handle_refusal(life.now, &Refusal::new(code, "words"));
        life.outputs();
        life.ask();
        let begins_late = answer(File::First, b"a", 9, 9);
        life.source.handle_answer(life.now, &begins_late);
        let begun = matches!(life.outputs()[..], [Output::Do(Job::Begin(_))]);
        assert_eq!(begun, then == Start::End, "{start:?}");
    }
}

#[test]
fn what_it_has_is_asked_for_with_an_overlap_and_after_an_orderly_end_exactly() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    assert_eq!(life.ask(), "/log 7 744\n");
    assert_eq!(life.status("O 7"), []);
    assert_eq!(life.data(256), [Output::Succeed]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.closed(), [Output::Close]);
    assert_eq!(life.ask(), "/log 7 1010\n");
    assert_eq!(life.status("O 8"), [rotate(8)]);
}

#[test]
fn after_a_break_the_overlap_is_asked_for_again() {
    let mut life = Life::following(1000);
    assert!(matches!(life.broken()[..], [Output::Close, Output::Fail(Fault::Read(_))]));
    assert_eq!(life.ask(), "/log 7 744\n");
}

#[test]
fn what_is_not_durable_after_an_unclean_end_is_compared() {
    for (rest, keep) in [(Rest::Arrived, true), (Rest::Doubtful, true), (Rest::Torn, false)] {
        let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest }));
        assert_eq!(life.ask(), "/log 7 244\n");
        life.status("O 7");
        life.data(300);
        let cut = Cut { at: 544, keep };
        assert_eq!(life.differs(), [Output::Close, Output::Do(Job::Cut(cut))]);
    }
}

#[test]
fn a_copy_of_unknown_origin_is_compared_from_its_beginning_and_set_aside_if_it_differs() {
    let mut life = Life::at(None, place(0, 1000, Trust::Nothing));
    assert_eq!(life.ask(), "/log 0 0\n");
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
    life.source.handle_standing(life.now, Some(generation(7)), place(0, 1000, Trust::Nothing));
    life.data(400);
    let outputs = life.differs();
    let differs = Output::Tell(Event::CopyDiffers { at: 400 });
    let outcome = Outcome { ending: Ending::Differs, lost: None };
    assert_eq!(outputs, [Output::Close, differs, rotate_as(7, outcome)]);
}

#[test]
fn a_lost_generation_is_told_with_its_position() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    assert_eq!(life.status("L 9"), [lost(7, 1000), rotate_lost(9, Ending::Gone, 1000)]);
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

#[test]
fn a_loss_is_told_up_to_the_last_size_that_was_heard_of() {
    for (heard_in, end) in [("the status line", 1200), ("a heartbeat", 1300), ("neither", 1000)] {
        let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
        life.ask();
        let size = if heard_in == "neither" { 1000 } else { 1200 };
        life.source.handle_answer(life.now, &answer(File::Same, b"a", 744, size));
        let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
        assert_eq!(known.heard, size);
        let stands = Place { at: 744, ..place(1000, 1000, Trust::Whole) };
        life.source.handle_standing(life.now, Some(known), stands);
        life.data(256);
        if heard_in == "a heartbeat" {
            life.source.handle_heartbeat(life.now, 1300, false, 6);
        }
        life.broken();
        life.ask();
        let lost = File::Lost(Why::Digest);
        life.source.handle_answer(life.now, &answer(lost, b"b", 0, 50));
        let to = Some(end).filter(|&end| end > 1000);
        let told = Event::Lost { inode: Inode::new(7), offset: 1000, end: to };
        let outcome = Outcome { ending: Ending::Digest, lost: Some(Gap { from: 1000, to }) };
        let outputs = life.outputs();
        assert_eq!(outputs[0], Output::Tell(told), "{heard_in}");
        let Output::Do(Job::Rotate { next, outcome: found, .. }) = outputs[1] else { panic!() };
        assert_eq!((next.heard, found), (50, outcome), "{heard_in}");
    }
}

/// All of 1000 bytes are here, and the source is heard to have 1200.
fn heard_of_more() -> Life {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    life.ask();
    life.source.handle_answer(life.now, &answer(File::Same, b"a", 744, 1200));
    let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
    let stands = Place { at: 744, ..place(1000, 1000, Trust::Whole) };
    life.source.handle_standing(life.now, Some(known), stands);
    life.data(256);
    life
}

#[test]
fn a_generation_that_is_complete_with_fewer_bytes_than_were_heard_of_has_lost_the_others() {
    let mut life = heard_of_more();
    life.closed();
    assert_eq!(life.ask(), "/log 7 1000\n");
    life.source.handle_answer(life.now, &answer(File::Next, b"b", 0, 50));
    let (inode, gap) = (Inode::new(7), Gap { from: 1000, to: Some(1200) });
    let lost = Event::Lost { inode, offset: gap.from, end: gap.to };
    assert_eq!(life.source.poll_output(), Some(Output::Tell(lost)));
    let Some(Output::Do(Job::Rotate { outcome, .. })) = life.source.poll_output() else { panic!() };
    assert_eq!(outcome, Outcome { ending: Ending::Complete, lost: Some(gap) });
}

#[test]
fn a_current_file_with_fewer_bytes_than_were_heard_of_has_lost_them_and_that_is_told_once() {
    for (size, rotated, told) in [
        (1100, None, Some(1100)),
        (1000, None, Some(1000)),
        (1100, Some(b"/log.1".to_vec()), None),
        (1200, None, None),
    ] {
        let mut life = heard_of_more();
        for round in 0..2 {
            life.broken();
            life.ask();
            let name = rotated.clone();
            let answer = Answer { name, ..answer(File::Same, b"a", 744, size) };
            life.source.handle_answer(life.now, &answer);
            let lost = |offset| Event::Lost { inode: Inode::new(7), offset, end: Some(1200) };
            let told = told.filter(|_| round == 0).map(|offset| Output::Tell(lost(offset)));
            assert_eq!(life.outputs(), Vec::from_iter(told), "{size} {rotated:?}");
            let heard = life.source.generation().unwrap().heard;
            assert_eq!(heard, if rotated.is_some() { 1200 } else { size });
        }
    }
}

#[test]
fn a_generation_that_is_called_complete_at_fewer_bytes_than_the_copy_has_is_told_as_lost() {
    for (trust, from) in [(Trust::Whole, 744), (Trust::Durable { rest: Rest::Arrived }, 644)] {
        let mut life = Life::at(Some(7), place(900, 1000, trust));
        assert_eq!(life.ask(), format!("/log 7 {from}\n"));
        let shorter = Event::Shorter { inode: Inode::new(7), ended: from, have: 1000 };
        let rotate = rotate_lost(8, Ending::Short, 1000);
        assert_eq!(life.status("O 8"), [Output::Tell(shorter), lost(7, 1000), rotate]);
    }
    // What a power loss left behind the bytes that are right is none of the generation's.
    let torn = Trust::Durable { rest: Rest::Torn };
    let mut life = Life::at(Some(7), place(500, 1000, torn));
    life.ask();
    life.status("O 7");
    life.data(256);
    life.closed();
    assert_eq!(life.ask(), "/log 7 500\n");
    let cut = Some(Cut { at: 500, keep: true });
    let rotate = Job::Rotate { next: generation(8), cut, outcome: Outcome::COMPLETE };
    assert_eq!(life.status("O 8"), [Output::Do(rotate)]);
}

#[test]
fn a_generation_that_is_said_to_be_lost_and_found_at_once_is_a_bad_header() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    let outputs = life.status("L 7");
    assert!(matches!(outputs[..], [Output::Close, Output::Fail(Fault::InitHeader(_))]));
}

#[test]
fn what_is_not_the_protocol_closes_the_connection_and_waits() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    life.source.handle_wire_fault(life.now, &WireFault::LineTooLong(4096));
    let fault = Fault::InitHeader("line longer than 4096 bytes".to_owned());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(fault)]);
    assert!(life.source.deadline().unwrap() >= life.now + TIMING.reconnect);
}

#[test]
fn a_copy_that_was_changed_during_a_checkpoint_is_recovered_after_it() {
    let mut life = Life::following(1000);
    life.data(10);
    assert!(life.pass(SYNC).contains(&Output::Do(Job::Checkpoint)));
    life.source.handle_data(life.now, Took::Changed, 0, false);
    assert!(matches!(life.outputs()[..], [Output::Close, Output::Fail(Fault::Store(_))]));
    let due = life.source.deadline().unwrap();
    assert!(!is_job(&life.pass(due.saturating_duration_since(life.now))));
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Do(Job::Recover)]);
}

#[test]
fn every_wait_has_its_limit() {
    let timeout = |outputs: &[Output], fault: Fault| {
        assert_eq!(outputs, [Output::Close, Output::Fail(fault)]);
    };
    let mut life = Life::at(None, Place::default());
    assert_eq!(life.pass(Duration::ZERO), [Output::Connect]);
    timeout(&life.pass(TIMING.connect_timeout), Fault::InitConnect("timeout".to_owned()));
    life.ask();
    timeout(&life.pass(TIMING.reply_timeout), Fault::InitRead("timeout".to_owned()));
    let mut life = Life::following(10);
    assert_eq!(life.pass(TIMING.idle_timeout - Duration::from_millis(1)), []);
    life.heartbeat();
    assert_eq!(life.pass(TIMING.idle_timeout - Duration::from_millis(1)), []);
    timeout(&life.pass(Duration::from_millis(1)), Fault::Read("timeout".to_owned()));
}

#[test]
fn a_responder_that_works_is_waited_for() {
    let mut life = Life::at(None, Place::default());
    life.ask();
    for _ in 0..10 {
        assert_eq!(life.pass(TIMING.reply_timeout - Duration::from_millis(1)), []);
        life.source.handle_working(life.now);
        assert_eq!(life.outputs(), []);
    }
    assert_eq!(life.source.wants(), Wants::Status);
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
}

/// What a responder did that is away behind a forwarder: the connection is accepted and closed.
#[test]
fn a_responder_that_was_away_for_long_finds_its_generation_going_on() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..10 {
        life.ask();
        assert!(matches!(life.closed()[..], [Output::Close, Output::Fail(_)]));
    }
    // It is back, whatever it was asked for: nothing is lost, and nothing begins anew.
    for _ in 0..5 {
        let request = life.ask();
        let outputs = life.status("O 7");
        assert!(!is_job(&outputs), "{request:?} answered by O 7: {outputs:?}");
        if request == "/log 7 744\n" {
            return;
        }
    }
    panic!("the old question was never asked again");
}

/// Truncation below the offset, towards a responder that refuses such an offset without a word.
#[test]
fn a_generation_that_became_shorter_than_the_copy_is_lost_and_begins_anew() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..50 {
        let request = life.ask();
        if request != "/log 0 0\n" {
            life.closed();
            continue;
        }
        let outputs = life.status("O 7");
        if is_job(&outputs) {
            assert_eq!(outputs, [lost(7, 1000), rotate_lost(7, Ending::Gone, 1000)]);
            return;
        }
    }
    panic!("it asks in vain for ever");
}

/// Truncated, and then renamed: the responder knows the old one, refuses its offset, and serves
/// another under the path.
#[test]
fn a_generation_that_became_shorter_and_was_rotated_does_not_hold_up_what_follows() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..50 {
        let request = life.ask();
        if request != "/log 0 0\n" {
            life.closed();
            continue;
        }
        let outputs = life.status("O 8");
        if is_job(&outputs) {
            assert_eq!(outputs, [lost(7, 1000), rotate_lost(8, Ending::Gone, 1000)]);
            return;
        }
    }
    panic!("it asks in vain for ever");
}

#[test]
fn a_responder_that_answers_and_closes_for_ever_is_asked_ever_less_often() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    let start = life.now;
    for _ in 0..20 {
        life.ask();
        life.status("O 7");
        life.closed();
    }
    assert!(life.now > start + Duration::from_secs(300), "{:?}", life.now - start);
}

/// The source's host lost the last bytes of a log, which the copy has, and rotated the rest away.
#[test]
fn a_generation_that_ended_shorter_than_the_copy_is_left_for_the_next() {
    for trust in [
        Trust::Whole,
        Trust::Durable { rest: Rest::Arrived },
        Trust::Durable { rest: Rest::Torn },
        Trust::Nothing,
    ] {
        let durable = if trust == Trust::Whole { 1000 } else { 900 };
        let mut life = Life::at(Some(7), place(durable, 1000, trust));
        let start = life.now;
        let mut asked = 0;
        let next = loop {
            let request = life.ask();
            asked += 1;
            assert!(asked < 20, "{trust:?}: it asks in vain for ever");
            let from: u64 = request.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
            assert!(from <= 950, "{trust:?}: {request} is beyond the end");
            if from == 950 {
                break life.status("O 8");
            }
            life.status("O 7");
            life.data(950 - from);
            for output in life.closed() {
                if let Output::Do(Job::Cut(cut)) = output {
                    assert!(cut.at >= 950);
                    let stands = place(900, cut.at, Trust::Whole);
                    life.source.handle_standing(life.now, Some(generation(7)), stands);
                } else if let Output::Do(Job::Rotate { .. }) = output {
                    life.rotated(Some(7));
                    life.outputs();
                }
            }
        };
        assert!(is_job(&next), "{trust:?}: {next:?}");
        assert!(asked < 10 || life.now > start + Duration::from_secs(5), "a hot loop");
    }
}

#[test]
fn bytes_that_were_compared_are_not_cut_off_with_those_that_were_not() {
    let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest: Rest::Torn }));
    life.ask();
    life.status("O 7");
    life.data(400);
    life.closed();
    life.ask();
    let outputs = life.status("L 8");
    // What is cut off is not had.
    assert_eq!(outputs[0], lost(7, 644));
    let outcome = Outcome { ending: Ending::Gone, lost: Some(Gap { from: 644, to: None }) };
    let cut = Some(Cut { at: 644, keep: true });
    assert_eq!(outputs[1], Output::Do(Job::Rotate { next: generation(8), cut, outcome }));
}

#[test]
fn a_copy_that_is_not_its_generation_does_not_hide_the_generations_behind() {
    for trust in [Trust::Whole, Trust::Nothing] {
        let mut life = Life::at(Some(7), place(0, 1000, trust));
        life.ask();
        life.status("O 7");
        let outputs = life.differs();
        let Some(Output::Do(Job::Rotate { next, .. })) = outputs.last() else {
            panic!("{outputs:?}")
        };
        life.rotated(Some(next.inode.number()));
        assert_eq!(life.ask(), "/log 7 0\n", "{trust:?}");
    }
}

/// It sends what is asked for, too, and no byte that was not there.
#[test]
fn a_responder_that_repeats_itself_and_closes_for_ever_is_not_asked_in_a_hot_loop() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    let start = life.now;
    for _ in 0..40 {
        let request = life.ask();
        let from: u64 = request.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        life.status("O 7");
        life.data(1000 - from);
        life.closed();
    }
    assert!(life.now > start + Duration::from_secs(40), "{:?}", life.now - start);
}

#[test]
fn there_is_one_job_at_a_time_and_a_checkpoint_is_never_in_the_way_of_a_rotation() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.closed();
    life.ask();
    assert_eq!(life.status("O 8"), []);
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [rotate(8)]);
}

#[test]
fn what_arrived_is_checkpointed_even_if_the_responder_falls_silent_on_the_next_connection() {
    let hasty = Timing { reconnect: Duration::from_millis(100), ..TIMING };
    let mut life = Life { source: Source::new(b"/log".to_vec(), hasty, 1), now: Instant::now() };
    life.outputs();
    let place = place(1000, 1000, Trust::Whole);
    life.source.handle_standing(life.now, Some(generation(7)), place);
    life.ask();
    life.status("O 7");
    life.data(OVERLAP + 500);
    life.broken();
    assert_eq!(life.ask(), "/log 7 1244\n");
    life.status("O 7");
    assert!(life.source.dirty(), "500 bytes are not in the pointer");
}

#[test]
fn a_responder_that_closed_often_is_still_asked_for_what_follows_in_the_end() {
    let mut life = Life::following(1000);
    life.broken();
    // So far it always went on, and closed after the overlap.
    for _ in 0..10 {
        let request = life.ask();
        life.status("O 7");
        if request == "/log 7 744\n" {
            life.data(OVERLAP);
            life.closed();
        }
    }
    // Now the generation is complete there, which only the exact end can tell.
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(life.ask());
        if requests.last().is_some_and(|request| request == "/log 7 1000\n") {
            assert_eq!(life.status("O 8"), [rotate(8)]);
            return;
        }
        life.status("O 7");
        life.data(OVERLAP);
        life.closed();
    }
    panic!("{requests:?}");
}

#[test]
fn what_arrives_is_synced_as_the_policy_says() {
    assert_eq!(SyncPolicy::parse("always"), Ok(SyncPolicy::Within(Duration::ZERO)));
    assert_eq!(SyncPolicy::parse("never"), Ok(SyncPolicy::Never));
    assert_eq!(SyncPolicy::parse("200ms"), Ok(SyncPolicy::Within(Duration::from_millis(200))));
    assert!(SyncPolicy::parse("sometimes").is_err());
    for (sync, first, second) in [
        (SyncPolicy::Within(Duration::ZERO), Some(Duration::ZERO), Some(Duration::ZERO)),
        (SyncPolicy::Within(SYNC), Some(SYNC), Some(SYNC)),
        (SyncPolicy::Never, None, None),
    ] {
        let mut life = Life::following_with(1000, Timing { sync, ..TIMING });
        for expected in [first, second] {
            life.data(10);
            let wait = expected.unwrap_or(TIMING.idle_timeout - Duration::from_secs(1));
            let jobs = expected.map(|_| Output::Do(Job::Checkpoint));
            assert_eq!(life.pass(wait), Vec::from_iter(jobs), "{sync:?}");
            if expected.is_some() {
                let durable = life.source.place().size;
                life.source.handle_checkpointed(life.now, durable);
                life.outputs();
            }
        }
        assert_eq!(life.source.dirty(), sync == SyncPolicy::Never);
    }
}

#[test]
fn a_renamed_copy_is_looked_for_as_soon_as_a_checkpoint_is_over() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.source.handle_reopen();
    assert_eq!(life.outputs(), []);
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Acknowledge(1010), Output::Do(Job::Reopen)]);
}

#[test]
fn a_store_fault_closes_the_connection_and_begins_again_from_the_disk() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    let fault = Fault::Store("cannot sync log: Input/output error".to_owned());
    life.source.handle_store_fault(life.now, fault.clone());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(fault)]);
    assert!(!life.source.dirty(), "memory says nothing about the copy any more");
    assert_eq!(life.pass(Duration::from_secs(7)), [Output::Do(Job::Recover)]);
}

/// A source that is fetched once and has recovered to stand there.
fn once(size: u64) -> Life {
    let mut life = Life::at(Some(7), place(size, size, Trust::Whole));
    life.source.aim(Goal::Once);
    life
}

#[test]
fn fetched_once_a_source_is_complete_when_all_of_it_is_durable() {
    let mut life = once(1000);
    life.ask();
    life.status("O 7");
    assert_eq!(life.data(256 + 10), [Output::Succeed]);
    life.confirm();
    // A checkpoint that began before the last bytes came does not make them durable.
    let due = life.source.deadline().unwrap();
    assert_eq!(life.pass(due - life.now), [Output::Do(Job::Checkpoint)]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    assert_eq!((life.source.wants(), life.source.deadline()), (Wants::Nothing, None));
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 1020);
    assert_eq!(life.outputs(), [Output::Complete]);
    assert_eq!(life.source.deadline(), None);
}

#[test]
fn fetched_once_a_source_with_nothing_new_is_complete_when_that_is_said_once_more() {
    let mut life = once(1000);
    life.ask();
    life.status("O 7");
    life.data(256);
    life.confirm();
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Complete]);
}

/// A source that is fetched once in protocol 2, whose first end was reached; and that asks again.
fn once_at_end(size: u64) -> Life {
    let first = answer(File::First, b"a", 0, size);
    let mut life = Life::at(None, Place::default());
    life.source.aim(Goal::Once);
    life.ask();
    life.source.handle_answer(life.now, &first);
    let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
    life.source.handle_standing(life.now, Some(known), Place::default());
    assert_eq!(life.data(size), [Output::Succeed, Output::Close]);
    assert_eq!(life.ask(), format!("/log 7 {size}\n"));
    life
}

#[test]
fn fetched_once_an_end_is_believed_only_behind_an_answer_that_was_given_after_an_end() {
    let complete = [Output::Succeed, Output::Close, Output::Do(Job::Checkpoint)];
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1000, None), []);
    assert_eq!(life.heartbeat(), complete);

    // What was written since comes as well; a log that is always written to has no other end.
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1010, None), []);
    assert_eq!(life.data(9), [Output::Succeed]);
    assert_eq!(life.data(2), complete);

    // It was rotated meanwhile: it is followed to its end, and so is what comes next.
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1000, Some(b"/log.1")), []);
    assert_eq!(life.heartbeat(), [Output::Succeed]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.closed(), [Output::Close]);
    assert_eq!(life.ask(), "/log 7 1010\n");
    let next = Answer { inode: Inode::new(8), ..answer(File::Next, b"b", 0, 0) };
    life.source.handle_answer(life.now, &next);
    assert!(is_job(&life.outputs()));
    life.rotated(Some(8));
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    assert_eq!(life.ask(), "/log 8 0\n");
    assert_eq!(life.status("O 8"), []);
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Complete]);
}

#[test]
fn fetched_once_a_responder_that_is_alive_and_sends_nothing_is_given_up_like_a_silent_one() {
    let pause = TIMING.idle_timeout / 2;
    for name in [None, Some(&b"/log.1"[..])] {
        let mut life = once_at_end(1000);
        life.goes_on(1010, name);
        life.data(5);
        assert!(!life.pass(pause).contains(&Output::Close));
        // There are more, it says, and none comes.
        life.source.handle_heartbeat(life.now, 1010, false, 6);
        life.outputs();
        let timeout = Fault::Read("timeout".to_owned());
        let no_more = Fault::Read("no file follows the rotated one".to_owned());
        let fault = if name.is_some() { no_more } else { timeout };
        assert_eq!(life.pass(pause), [Output::Close, Output::Fail(fault)]);
    }
}

#[test]
fn fetched_once_a_source_of_which_bytes_were_lost_is_not_complete() {
    let mut life = once(1000);
    life.ask();
    assert_eq!(life.status("L 8").first(), Some(&lost(7, 1000)));
    life.rotated(Some(8));
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    life.ask();
    life.status("O 8");
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::GiveUp]);
    assert_eq!(life.source.lost().map(|lost| Output::Tell(lost.clone())), Some(lost(7, 1000)));

    // Nor one whose file lost its end, of which was heard.
    let mut life = once_at_end(1000);
    life.goes_on(1200, None);
    life.broken();
    life.ask();
    let inode = Inode::new(7);
    let cut = Event::Lost { inode, offset: 1000, end: Some(1200) };
    assert_eq!(life.goes_on(1000, None), [Output::Tell(cut.clone())]);
    assert_eq!(life.data(256), [Output::Succeed, Output::Close, Output::GiveUp]);
    assert_eq!(life.source.lost(), Some(&cut));
}

#[test]
fn a_checkpoint_that_waited_half_its_time_comes_along_with_others() {
    let mut life = Life::following(100);
    let checkpoints = |life: &mut Life| {
        life.source.handle_gathering(life.now);
        life.outputs().contains(&Output::Do(Job::Checkpoint))
    };
    life.pass(SYNC * 2);
    assert!(!checkpoints(&mut life), "nothing has arrived");
    life.data(10);
    life.pass(SYNC / 2 - Duration::from_millis(1));
    assert!(!checkpoints(&mut life), "it waits for less than half its time");
    life.pass(Duration::from_millis(1));
    assert!(checkpoints(&mut life));
    assert!(!checkpoints(&mut life), "it runs already");
    let never = Timing { sync: SyncPolicy::Never, ..TIMING };
    let mut life = Life::following_with(100, never);
    life.data(10);
    life.pass(SYNC * 2);
    assert!(!checkpoints(&mut life));
}

#[test]
fn fetched_once_a_disk_that_never_syncs_is_given_up_though_the_same_bytes_come_again() {
    let mut life = once(1000);
    for last in [false, false, true] {
        life.ask();
        life.status("O 7");
        let missing = 1010 - life.source.place().at;
        life.data(missing);
        life.confirm();
        assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Do(Job::Checkpoint)]);
        let fault = Fault::Store("cannot sync".to_owned());
        life.source.handle_store_fault(life.now, fault.clone());
        let mut expected = vec![Output::Close, Output::Fail(fault)];
        expected.extend(last.then_some(Output::GiveUp));
        assert_eq!(life.outputs(), expected);
        if !last {
            let due = life.source.deadline().unwrap();
            assert_eq!(life.pass(due - life.now), [Output::Do(Job::Recover)]);
            let trust = Trust::Durable { rest: Rest::Doubtful };
            let standing = place(1000, 1010, trust);
            life.source.handle_standing(life.now, Some(generation(7)), standing);
            assert_eq!(life.outputs(), []);
        }
    }
    assert_eq!(life.source.deadline(), None);
}

#[test]
fn fetched_once_a_responder_that_is_busy_is_asked_for_longer_but_not_for_ever() {
    let busy = Refusal::new(Code::Busy, "being compressed");
    let mut life = once(1000);
    let mut asked = 0;
    loop {
        life.ask();
        life.source.handle_refusal(life.now, &busy);
        asked += 1;
        if life.outputs().contains(&Output::GiveUp) {
            break;
        }
    }
    assert!((10..50).contains(&asked), "{asked}");
    let missing = Refusal::new(Code::Missing, "no such file");
    let mut life = once(1000);
    for last in [false, false, true] {
        life.ask();
        life.source.handle_refusal(life.now, &missing);
        assert_eq!(life.outputs().contains(&Output::GiveUp), last);
    }
}

#[test]
fn fetched_once_a_source_is_given_up_after_three_failures_between_which_nothing_came() {
    let mut life = once(1000);
    let fail = |life: &mut Life| {
        life.ask();
        life.source.handle_end(life.now, End::Broken("reset".to_owned()));
        life.outputs()
    };
    for _ in 0..2 {
        assert_eq!(fail(&mut life).len(), 2);
    }
    // Something comes.
    life.ask();
    life.status("O 7");
    life.data(256 + 10);
    assert_eq!(life.broken().len(), 2);
    assert_eq!(fail(&mut life).len(), 2);
    // What was not durable is made so before.
    let given_up = fail(&mut life);
    assert_eq!(given_up.last(), Some(&Output::GiveUp), "{given_up:?}");
    assert_eq!((life.source.deadline(), life.source.dirty()), (None, false));
}

#[test]
fn a_second_heartbeat_of_an_unverified_end_cuts_it_off() {
    let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest: Rest::Arrived }));
    life.ask();
    life.status("O 7");
    life.data(300);
    let cut = Cut { at: 544, keep: true };
    assert_eq!(life.heartbeat(), [Output::Close, Output::Do(Job::Cut(cut))]);
}

// ---- the store ----

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

#[test]
fn nothing_there_is_a_first_contact_and_makes_nothing() {
    let shelf = Shelf::new();
    let standing = shelf.recover();
    assert!(standing.copy.is_none() && standing.generation.is_none());
    assert!(standing.events.is_empty() && shelf.names().is_empty());
}

#[test]
fn a_pointer_that_can_not_be_used_is_told_and_the_copy_compared() {
    for (bytes, why) in [("", "it is empty"), ("junk", "it holds no inode: \"junk\"")] {
        let shelf = Shelf::with("content", 7);
        fs::write(&shelf.store.pointer, bytes).unwrap();
        let standing = shelf.recover();
        assert_eq!((standing.generation, standing.place.trust), (None, Trust::Nothing));
        let (path, why) = (shelf.store.pointer.clone(), why.to_owned());
        assert_eq!(standing.events, [Event::PointerUnusable { path, why }]);
        assert_eq!(shelf.read("log"), "content");
    }
}

#[test]
fn a_pointer_of_the_original_is_believed_with_the_copy_as_it_is() {
    let shelf = Shelf::with("content", 7);
    fs::write(&shelf.store.pointer, "7\n").unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.generation, standing.place.size), (Some(generation(7)), 7));
    assert_eq!(standing.place.trust, Trust::Whole);
    assert_eq!(shelf.pointed().durable, 7);
}

#[test]
fn a_checkpoint_does_not_make_what_a_power_loss_left_behind_it_believed() {
    let shelf = Shelf::with("one two", 3);
    let copy = shelf.recover().copy.unwrap();
    let torn = Trust::Durable { rest: Rest::Torn };
    let place = Place { at: 5, ..place(3, 7, torn) };
    shelf.store.checkpoint(&copy, generation(7), &place).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.durable, standing.place.trust), (5, torn));
}

#[test]
fn after_a_failed_sync_not_even_what_was_written_is_believed() {
    let shelf = Shelf::with("one two", 3);
    let standing = shelf.store.recover_from_fault(&stamp()).unwrap();
    assert_eq!(standing.place.trust, Trust::Durable { rest: Rest::Doubtful });
    let mut life = Life::at(Some(7), standing.place);
    life.ask();
    // What follows begins, and nothing of the old generation can be compared any more.
    let cut = Cut { at: 3, keep: true };
    // It was asked for from the beginning, and is said to have ended there.
    let shorter = Event::Shorter { inode: Inode::new(7), ended: 0, have: 3 };
    let outcome = Outcome { ending: Ending::Short, lost: Some(Gap { from: 3, to: None }) };
    let rotate = Job::Rotate { next: generation(8), cut: Some(cut), outcome };
    let outputs = life.status("O 8");
    assert_eq!(outputs, [Output::Tell(shorter), lost(7, 3), Output::Do(rotate)]);
}

#[test]
fn how_much_of_a_copy_is_believed_depends_on_its_pointer() {
    let cases: [(u64, &str, Trust); 4] = [
        (7, BOOT, Trust::Whole),
        (7, "another", Trust::Whole),
        (3, BOOT, Trust::Durable { rest: Rest::Arrived }),
        (3, "another", Trust::Durable { rest: Rest::Torn }),
    ];
    for (durable, boot, trust) in cases {
        let shelf = Shelf::with("content", 0);
        shelf.point(&Pointer { boot: boot.to_owned(), ..shelf.pointer(durable) });
        let standing = shelf.recover();
        assert_eq!((standing.place.durable, standing.place.trust), (durable, trust));
        assert!(standing.events.is_empty());
    }
}

#[test]
fn a_copy_that_is_shorter_or_another_than_the_pointer_says_is_doubted() {
    let shelf = Shelf::with("content", 9);
    let standing = shelf.recover();
    assert_eq!(standing.place.trust, Trust::Nothing);
    assert_eq!(
        standing.events[0].to_string(),
        format!(
            "copy {} has 7 bytes, its pointer says 9: comparing it from its beginning",
            shelf.store.copy.display()
        )
    );
    let shelf = Shelf::with("content", 7);
    fs::write(shelf.path("new"), "foreign").unwrap();
    fs::rename(shelf.path("new"), shelf.path("log")).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.generation, standing.place.trust), (Some(generation(7)), Trust::Nothing));
    assert!(standing.events[0].to_string().contains("is not the file that its pointer names"));
    assert_eq!(shelf.read("log"), "foreign");
}

#[test]
fn a_copy_emptied_in_place_is_doubted_and_fetched_again() {
    let shelf = Shelf::with("content", 7);
    fs::write(&shelf.store.copy, "").unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.base, standing.place.size), (0, 0));
    assert!(matches!(standing.events[..], [Event::CopyDoubted { .. }]), "{:?}", standing.events);
}

#[test]
fn a_copy_that_is_missing_is_fetched_again_and_one_that_was_renamed_goes_on() {
    let shelf = Shelf::with("content", 7);
    fs::remove_file(&shelf.store.copy).unwrap();
    let standing = shelf.recover();
    assert_eq!((standing.place.base, standing.place.size), (0, 0));
    assert!(matches!(standing.events[..], [Event::CopyDoubted { .. }]));
    for made_new in [false, true] {
        let shelf = Shelf::with("content", 7);
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        if made_new {
            fs::write(shelf.path("log"), "").unwrap();
        }
        let standing = shelf.recover();
        assert_eq!((standing.place.base, standing.place.size), (7, 0));
        assert_eq!(standing.place.before, Sample::of(b"content"));
        assert_eq!(standing.events, [Event::CopyReopened { base: 7 }]);
        let Pointer { base, before, .. } = shelf.pointed();
        assert_eq!((base, before), (7, Sample::of(b"content")));
        assert_eq!(shelf.read("log-1"), "content");
    }
}

#[test]
fn the_end_of_a_renamed_copy_counts_as_far_as_the_source_has_it() {
    for (arrives, base) in [(&b"tent"[..], 7), (b"te..", 5), (b"....", 3)] {
        let shelf = Shelf::with("content", 3);
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        let standing = shelf.recover();
        let copy = standing.copy.unwrap();
        assert!(standing.renamed && standing.events.is_empty());
        let mut life = Life::at(Some(7), standing.place);
        life.source.handle_renamed();
        assert_eq!(life.ask(), "/log 7 0\n");
        life.status("O 7");
        life.data(3);
        let took = take(&shelf.store.fs, &copy.file, life.source.place_mut(), arrives);
        let agreed = matches!(took, Took::All);
        life.source.handle_data(life.now, took, base - 3, false);
        life.source.handle_drained();
        let outputs = life.outputs();
        assert!(outputs.contains(&Output::Do(Job::Reopen)), "{outputs:?}");
        assert_eq!(outputs.contains(&Output::Close), !agreed);
        let place = *life.source.place();
        let reopened = shelf.store.reopen(&copy, generation(7), &place, &stamp()).unwrap().unwrap();
        assert_eq!((reopened.place.base, reopened.place.size), (base, 0));
        assert_eq!(reopened.place.before, Sample::of(&b"content"[..base as usize]));
        // The file is somebody's.
        assert_eq!(shelf.read("log-1"), "content");
    }
}

/// Nothing can be compared with it any more once something else follows.
#[test]
fn the_end_of_a_renamed_copy_is_left_behind_if_its_generation_is_complete_without_it() {
    let durable = Trust::Durable { rest: Rest::Arrived };
    let mut life = Life::at(Some(7), place(1000, 1016, durable));
    life.source.handle_renamed();
    life.ask();
    life.status("O 7");
    life.data(256);
    life.closed();
    assert_eq!(life.ask(), "/log 7 1000\n");
    assert_eq!(life.status("O 8"), [Output::Close, Output::Do(Job::Reopen)]);
    assert_eq!(life.source.place().size, 1000);
}

#[test]
fn what_is_no_regular_file_is_never_written_to() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "precious").unwrap();
    for make in [(|path| fs::create_dir(path).unwrap()) as fn(&PathBuf), |path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()
    }] {
        for as_pointer in [false, true] {
            let shelf = Shelf::new();
            make(if as_pointer { &shelf.store.pointer } else { &shelf.store.copy });
            assert!(shelf.store.recover(&stamp()).is_err());
        }
    }
    for as_pointer in [false, true] {
        let shelf = Shelf::new();
        let path = if as_pointer { &shelf.store.pointer } else { &shelf.store.copy };
        std::os::unix::fs::symlink(outside.path(), path).unwrap();
        assert!(shelf.store.recover(&stamp()).is_err());
    }
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "precious");
}

#[test]
fn a_rotation_makes_an_archive_and_an_empty_copy() {
    let shelf = Shelf::with("content", 3);
    let mut standing = shelf.recover();
    standing.place.trust = Trust::Whole;
    let next = shelf.rotate(&standing, 8).unwrap();
    assert_eq!((next.generation, next.place), (Some(generation(8)), Place::default()));
    assert_eq!(next.events, [Event::Rotated { to: Inode::new(8) }]);
    assert_eq!(shelf.names(), ["log", "log.20261120132249"]);
    assert_eq!(shelf.read("log.20261120132249"), "content");
    let lines = shelf.manifest();
    assert_eq!(lines, [line_of(7, "log.20261120132249", b"content")]);
    assert_eq!((shelf.pointed().generation, shelf.pointed().durable), (generation(8), 0));
}

#[test]
fn rotations_in_one_second_never_replace_an_archive() {
    let shelf = Shelf::with("7", 1);
    let mut standing = shelf.recover();
    for next in 8..20 {
        standing = shelf.rotate(&standing, next).unwrap();
        let copy = standing.copy.as_ref().unwrap();
        let text = next.to_string();
        take(&shelf.store.fs, &copy.file, &mut standing.place, text.as_bytes());
    }
    assert_eq!(shelf.read("log.20261120132249"), "7");
    for number in 1..12 {
        assert_eq!(
            shelf.read(&format!("{}.{number}", "log.20261120132249")),
            (number + 7).to_string()
        );
    }
    assert_eq!(shelf.names().len(), 13);
    let inodes: Vec<u64> = shelf.manifest().iter().map(|line| line.inode.number()).collect();
    assert_eq!(inodes, (7..19).collect::<Vec<_>>());
}

/// What the manifest says of an archive of which everything is there.
fn line_of(number: u64, archive: &str, content: &[u8]) -> Line {
    Line {
        time: stamp().time,
        inode: Inode::new(number),
        from: 0,
        to: content.len() as u64,
        digest: Whole::of(content),
        archive: Some(archive.into()),
        ending: Ending::Complete,
        id: None,
        seen_ns: None,
        lost: None,
        late: None,
    }
}

/// Between R2 and R6 of the rotation of a copy with this content.
fn rotating(content: &[u8]) -> State {
    let ended =
        Ended { time: stamp().time, outcome: Outcome::COMPLETE, digest: Whole::of(content) };
    State::Rotating { suffix: STAMP.to_owned(), next: generation(8), ended: Box::new(ended) }
}

/// Every state of the directory that a crash between two steps of a rotation leaves behind.
#[test]
fn a_rotation_is_finished_from_wherever_it_stopped() {
    type Step = fn(&Shelf);
    let renamed: Step = |shelf| {
        fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
    };
    let written = |len: usize| {
        move |shelf: &Shelf| {
            let line = emit_line(&line_of(7, "log.20261120132249", b"content"));
            let part = &line[..len.min(line.len())];
            fs::write(manifest_path(&shelf.store.pointer), part).unwrap();
        }
    };
    type Boxed = Box<dyn Fn(&Shelf)>;
    let mut steps: Vec<(&str, Boxed)> = Vec::new();
    for len in [0, 1, 100, usize::MAX] {
        steps.push((
            "the manifest written to, in part or all",
            Box::new(move |shelf| {
                renamed(shelf);
                written(len)(shelf);
            }),
        ));
        steps.push((
            "the manifest written to, and a new copy made",
            Box::new(move |shelf| {
                renamed(shelf);
                written(len)(shelf);
                fs::write(shelf.path("log"), "").unwrap();
            }),
        ));
    }
    let by_name: [(&str, Step); 7] = [
        ("after the pointer", |_| {}),
        ("linked, not yet unlinked", |shelf| {
            fs::hard_link(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
        }),
        ("renamed", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
        }),
        ("renamed, a new copy made", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
            fs::write(shelf.path("log"), "").unwrap();
        }),
        ("a new pointer prepared", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.20261120132249")).unwrap();
            fs::write(shelf.path("log"), "").unwrap();
            fs::write(scratch_path(&shelf.store.pointer), "half").unwrap();
        }),
        ("renamed, and once more by somebody", |shelf| {
            fs::rename(shelf.path("log"), shelf.path("log.old")).unwrap();
        }),
        ("somebody took the archive's name", |shelf| {
            fs::write(shelf.path("log.20261120132249"), "foreign").unwrap();
        }),
    ];
    for (what, step) in by_name {
        steps.push((what, Box::new(step)));
    }
    for (what, step) in &steps {
        for times in 1..=2 {
            let shelf = Shelf::with("content", 7);
            let state = rotating(b"content");
            shelf.point(&Pointer { state, ..shelf.pointer(7) });
            step(&shelf);
            let foreign = shelf.path("log.20261120132249").exists()
                && shelf.read("log.20261120132249") == "foreign";
            let mut standing = shelf.recover();
            for _ in 1..times {
                standing = shelf.recover();
            }
            assert_eq!(standing.generation, Some(generation(8)), "{what}");
            assert_eq!((standing.place.size, standing.place.trust), (0, Trust::Whole), "{what}");
            let archive = match *what {
                _ if foreign => "log.20261120132249.1",
                "renamed, and once more by somebody" => "log.old",
                _ => "log.20261120132249",
            };
            assert_eq!(shelf.read(archive), "content", "{what}");
            assert_eq!(shelf.manifest(), [line_of(7, archive, b"content")], "{what}");
            assert_eq!(shelf.names().len(), if foreign { 3 } else { 2 }, "{what}");
            assert!(!scratch_path(&shelf.store.pointer).exists(), "{what}");
        }
    }
}

#[test]
fn a_copy_that_somebody_else_wrote_to_is_not_rotated() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.recover();
    fs::write(&shelf.store.copy, "content and more").unwrap();
    assert!(matches!(shelf.rotate(&standing, 8), Err(StoreFault::Changed(_))));
    assert_eq!(shelf.names(), ["log"]);
}

#[test]
fn a_cut_keeps_what_did_arrive_under_another_name() {
    let shelf = Shelf::with("content", 3);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let cut = Cut { at: 3, keep: true };
    let after = shelf.store.cut(copy, generation(7), &standing.place, cut).unwrap();
    assert_eq!((after.place.size, after.place.at, after.place.trust), (3, 3, Trust::Whole));
    assert_eq!(shelf.read("log"), "con");
    assert_eq!(shelf.read("log.unverified.3-7"), "tent");
}

#[test]
fn a_checkpoint_says_how_much_is_durable_and_notices_a_copy_cut_short() {
    let shelf = Shelf::with("content", 3);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let place = Place { at: 5, ..standing.place };
    assert_eq!(shelf.store.checkpoint(copy, generation(7), &place).unwrap(), 5);
    assert_eq!(shelf.pointed().durable, 5);
    fs::write(&shelf.store.copy, "con").unwrap();
    let changed = shelf.store.checkpoint(copy, generation(7), &place);
    assert!(matches!(changed, Err(StoreFault::Changed(_))));
}

#[test]
fn a_reopened_copy_begins_where_the_renamed_one_ends() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.recover();
    let copy = standing.copy.as_ref().unwrap();
    let place = &standing.place;
    let reopen = || shelf.store.reopen(copy, generation(7), place, &stamp()).unwrap();
    assert!(reopen().is_none());
    fs::rename(shelf.path("log"), shelf.path("elsewhere")).unwrap();
    let after = reopen().unwrap();
    assert_eq!((after.place.base, after.place.size), (7, 0));
    assert_eq!((shelf.pointed().base, shelf.pointed().durable), (7, 0));
    assert_eq!(shelf.read("elsewhere"), "content");
    let reopened = Line { ending: Ending::Reopened, archive: None, ..line_of(7, "", b"content") };
    assert_eq!(shelf.manifest(), [reopened]);
}

#[test]
fn a_copy_that_was_renamed_has_its_line_whoever_noticed_it_and_however_often() {
    let reopened = Line { ending: Ending::Reopened, ..line_of(7, "log-1", b"content") };
    for noticed_before in [false, true] {
        let shelf = Shelf::with("content", 7);
        let standing = shelf.recover();
        fs::rename(shelf.path("log"), shelf.path("log-1")).unwrap();
        let pointer = fs::read(&shelf.store.pointer).unwrap();
        if noticed_before {
            let copy = standing.copy.as_ref().unwrap();
            shelf.store.reopen(copy, generation(7), &standing.place, &stamp()).unwrap();
            // A kill came between the line and the pointer.
            fs::write(&shelf.store.pointer, pointer).unwrap();
            fs::remove_file(shelf.path("log")).unwrap();
        }
        let standing = shelf.recover();
        assert_eq!((standing.place.base, standing.place.size), (7, 0));
        assert_eq!(shelf.manifest(), std::slice::from_ref(&reopened));
        let mut lines = 0;
        let path = manifest_path(&shelf.store.pointer);
        read_manifest(&shelf.store.fs, &path, |_, _| lines += 1).unwrap();
        assert_eq!(lines, 1);
    }
}

/// Late bytes for an archive, interrupted after each step: what the manifest says is what counts.
#[test]
fn late_bytes_are_recorded_once_wherever_it_stopped_before() {
    let late = |place: &mut Place, shelf: &Shelf, archive: &OpenCopy<DiskFs>| {
        assert!(matches!(take(&shelf.store.fs, &archive.file, place, b" late"), Took::All));
    };
    for stopped in ["never", "after a part", "after a part, torn", "before the line", "in the line"]
    {
        let shelf = Shelf::with("content", 7);
        let standing = shelf.rotate(&shelf.recover(), 8).unwrap();
        let line = *standing.ended.unwrap();
        assert_eq!(shelf.recover().ended.as_deref(), Some(&line));
        let path = shelf.path("log.20261120132249");
        let append = |bytes: &[u8]| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        match stopped {
            "after a part" => append(b" l"),
            "after a part, torn" => append(b" l\0\0\0\0\0\0"),
            "before the line" | "in the line" => append(b" late"),
            _ => {}
        }
        if stopped == "in the line" {
            let manifest = manifest_path(&shelf.store.pointer);
            let mut bytes = fs::read(&manifest).unwrap();
            bytes.extend(&emit_line(&line)[..100]);
            fs::write(&manifest, bytes).unwrap();
        }
        let archive = shelf.store.open_archive(&line).unwrap();
        let mut place = shelf.store.verify_archive(&archive, &line).unwrap().unwrap();
        assert_eq!((place.durable, place.at), (7, 7));
        if stopped == "after a part, torn" {
            let took = take(&shelf.store.fs, &archive.file, &mut place, b" late");
            assert!(matches!(took, Took::Differs));
        } else {
            late(&mut place, &shelf, &archive);
        }
        let record = |line: &Line, place: &Place| {
            shelf.store.record_late(&archive, line, place, &stamp()).unwrap().unwrap()
        };
        let mut grown = record(&line, &place).unwrap();
        if stopped == "after a part, torn" {
            assert_eq!((grown.to, grown.late), (9, Some(2)));
            assert_eq!(shelf.read("log.20261120132249"), "content l");
            let mut place = shelf.store.verify_archive(&archive, &grown).unwrap().unwrap();
            assert!(matches!(take(&shelf.store.fs, &archive.file, &mut place, b"ate"), Took::All));
            grown = record(&grown, &place).unwrap();
        }
        assert_eq!(shelf.read("log.20261120132249"), "content late", "{stopped}");
        assert_eq!(shelf.manifest(), std::slice::from_ref(&grown), "{stopped}");
        assert_eq!(shelf.recover().ended.as_deref(), Some(&grown), "{stopped}");
    }
}

#[test]
fn an_archive_that_is_gone_or_changed_gets_no_late_bytes() {
    let shelf = Shelf::with("content", 7);
    let line = *shelf.rotate(&shelf.recover(), 8).unwrap().ended.unwrap();
    let archive = shelf.store.open_archive(&line).unwrap();
    let place = shelf.store.verify_archive(&archive, &line).unwrap().unwrap();
    let grown = Place { at: 8, size: 8, ..place };
    // Its length is not what was written.
    assert!(shelf.store.record_late(&archive, &line, &grown, &stamp()).unwrap().is_err());
    let path = shelf.path("log.20261120132249");
    fs::write(&path, "CONTENT").unwrap();
    assert!(shelf.store.verify_archive(&archive, &line).unwrap().is_none());
    fs::remove_file(&path).unwrap();
    assert!(shelf.store.record_late(&archive, &line, &place, &stamp()).unwrap().is_err());
    assert!(shelf.store.open_archive(&line).is_none());
    fs::write(&path, "short").unwrap();
    assert!(shelf.store.open_archive(&line).is_none());
    assert_eq!(shelf.read("log.20261120132249"), "short");
}

#[test]
fn a_line_is_appended_behind_the_good_ones_and_only_once() {
    let shelf = Shelf::new();
    let path = shelf.path("manifest");
    let (one, two) = (line_of(7, "a", b"a"), line_of(8, "b", b"b"));
    let good = [emit_line(&one), emit_line(&two)].concat();
    append_line(&shelf.store.fs, &path, &one, 0).unwrap();
    for torn in ["", "2026-11-20T12:2", "\0\0\0\0\n\0", &"\0".repeat(5000)] {
        let mut bytes = emit_line(&one);
        bytes.extend(torn.as_bytes());
        fs::write(&path, &bytes).unwrap();
        for _ in 0..2 {
            append_line(&shelf.store.fs, &path, &two, 0).unwrap();
            assert_eq!(fs::read(&path).unwrap(), good);
        }
    }
    // A kill and a new second later it is the same line.
    let later = Line { time: parse_time("2026-11-20T12:22:50Z").unwrap(), ..two };
    append_line(&shelf.store.fs, &path, &later, 0).unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
    let grown = Line { to: 2, late: Some(1), ..one };
    append_line(&shelf.store.fs, &path, &grown, 0).unwrap();
    let (lines, extent) = read_latest(&shelf.store.fs, &path, 0).unwrap().unwrap();
    assert_eq!(lines[0], grown);
    assert_eq!(extent, Extent { whole: extent.size, size: extent.size, ..Extent::default() });
}

#[test]
fn what_is_damaged_in_a_manifest_stays_and_new_lines_go_behind_it() {
    let shelf = Shelf::new();
    let path = shelf.path("manifest");
    let (one, two) = (emit_line(&line_of(7, "a", b"a")), line_of(8, "b", b"b"));
    let mut damaged = one.clone();
    damaged[30] ^= 1;
    let cases: [(&[u8], &[u8], u64); 5] = [
        (&damaged, b"", 0),
        (b"a note of somebody\n", b"", 0),
        (b"a note of somebody", b"\n", 0),
        (&one[..one.len() - 1], b"\n", one.len() as u64 - 1),
        (&damaged[..50], b"\n", 40),
    ];
    for (there, between, had) in cases {
        for before in [&b""[..], &one] {
            let there = [before, there].concat();
            fs::write(&path, &there).unwrap();
            let had = if had > 0 { had + before.len() as u64 } else { 0 };
            let expected = [&there[..], between, &emit_line(&two)].concat();
            for _ in 0..2 {
                append_line(&shelf.store.fs, &path, &two, had).unwrap();
                let now = fs::read(&path).unwrap();
                assert_eq!(now.escape_ascii().to_string(), expected.escape_ascii().to_string());
            }
        }
    }
}

#[test]
fn a_manifest_that_is_damaged_or_shorter_than_it_was_is_told_at_the_start_and_at_rotations() {
    for (change, told) in [
        ("missing", " bytes, and not "),
        ("cut", " bytes, and not "),
        ("damaged", "log.ptr.manifest is damaged: lines that can't be read: 1"),
        ("nothing", ""),
    ] {
        let shelf = Shelf::with("content", 7);
        shelf.rotate(&shelf.recover(), 8).unwrap();
        let manifest = manifest_path(&shelf.store.pointer);
        let mut bytes = fs::read(&manifest).unwrap();
        assert_eq!(shelf.pointed().manifest, bytes.len() as u64);
        match change {
            "missing" => fs::remove_file(&manifest).unwrap(),
            "cut" => fs::write(&manifest, &bytes[..100]).unwrap(),
            "damaged" => {
                bytes[100] ^= 1;
                fs::write(&manifest, &bytes).unwrap();
            }
            _ => {}
        }
        let is_told = |standing: &Standing<DiskFs>| {
            let events: Vec<String> = standing.events.iter().map(Event::to_string).collect();
            let found = events.iter().find(|event| event.contains("manifest "));
            found.map_or(told.is_empty(), |event| event.contains(told) && !told.is_empty())
        };
        // As another process would.
        let (copy, pointer) = (shelf.store.copy.clone(), shelf.store.pointer.clone());
        let store = Store::new(DiskFs::default(), copy, pointer, BOOT.into());
        let shelf = Shelf { dir: shelf.dir, store };
        let mut standing = shelf.recover();
        assert!(is_told(&standing), "{change}");
        for next in 9..11 {
            standing = shelf.rotate(&standing, next).unwrap();
            assert!(is_told(&standing), "{change}");
        }
        let short = fs::metadata(&manifest).unwrap().len() < shelf.pointed().manifest;
        assert_eq!(short, matches!(change, "missing" | "cut"));
    }
}

#[test]
fn a_name_that_the_manifest_has_is_not_given_again() {
    let shelf = Shelf::with("content", 7);
    let standing = shelf.rotate(&shelf.recover(), 8).unwrap();
    fs::rename(shelf.path("log.20261120132249"), shelf.path("moved")).unwrap();
    shelf.rotate(&standing, 9).unwrap();
    assert_eq!(shelf.names(), ["log", "log.20261120132249.1", "moved"]);
}

#[test]
fn missing_directories_are_made_and_a_file_in_their_place_is_told() {
    let mut shelf = Shelf::new();
    shelf.store.copy = shelf.path("a/b/c/log");
    shelf.store.pointer = shelf.path("d/log.ptr");
    shelf.store.lock().unwrap();
    assert!(shelf.path("a/b/c").is_dir() && shelf.path("d").is_dir());
    fs::write(shelf.path("file"), "").unwrap();
    shelf.store.copy = shelf.path("file/below/log");
    let fault = shelf.store.lock().unwrap_err().to_string();
    assert!(fault.starts_with("cannot make directory ") && fault.ends_with("Not a directory"));
}

#[test]
fn one_copy_has_one_keeper_by_whatever_name_its_directory_goes() {
    let shelf = Shelf::new();
    fs::create_dir(shelf.path("real")).unwrap();
    std::os::unix::fs::symlink("real", shelf.path("link")).unwrap();
    let at = |dir: &str, fs: DiskFs| {
        let (copy, pointer) = (shelf.path(dir).join("log"), shelf.path(dir).join("ptr"));
        Store::new(fs, copy, pointer, BOOT.into())
    };
    let fs = DiskFs::default();
    let held = at("real", fs.clone()).lock().unwrap();
    for fs in [fs.clone(), DiskFs::default()] {
        let refused = at("link", fs).lock().unwrap_err();
        assert!(matches!(refused, StoreFault::Locked(_)), "{refused}");
    }
    drop(held);
    at("link", fs).lock().unwrap();
}
