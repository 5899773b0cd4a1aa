//! The life of generations that have ended: who is asked for once more, when, and what comes of it.

use super::*;
use crate::fetch::copy::{Rest, Trust};
use crate::fetch::manifest::parse_time;
use crate::fetch::terms::SyncPolicy;
use crate::pos::Token;
use crate::proto::answer::Why;
use crate::proto::digest::Whole;
use crate::proto::refusal::Refusal;
use crate::proto::request::emit_request;

const DELAY: Duration = Duration::from_secs(75);

const TIMING: Timing = Timing {
    reconnect: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(3),
    reply_timeout: Duration::from_secs(3),
    idle_timeout: Duration::from_secs(120),
    sync: SyncPolicy::Never,
    recheck: Recheck::After(DELAY),
};

/// The line of the archive of generation `number`, which has 100 bytes.
fn line(number: u64) -> Line {
    Line {
        time: parse_time("2026-11-21T13:22:49Z").unwrap(),
        inode: Inode::new(number),
        from: 0,
        to: 100,
        digest: Whole::of(b"content"),
        archive: Some(format!("log.{number}").into()),
        ending: Ending::Complete,
        id: Some(token(number)),
        seen_ns: Some(5),
        lost: None,
        late: None,
    }
}

fn token(number: u64) -> Token {
    Token::of_number(number)
}

fn answer(file: File, number: u64, size: u64) -> Reply {
    let from = if file == File::Same { 100 } else { 0 };
    let (id, boot) = (token(number), token(1));
    let inode = Inode::new(number);
    Reply::Two(Box::new(Answer {
        inode,
        file,
        id,
        boot,
        from,
        size,
        mtime_ns: 6,
        name: (file == File::Same).then(|| b"/var/log/log.1".to_vec()),
        tail: None,
    }))
}

fn ready() -> Opened {
    Opened::Ready(Place { durable: 100, at: 100, size: 100, ..Place::default() })
}

struct Life {
    late: Late,
    now: Instant,
}

impl Life {
    fn new() -> Life {
        Life { late: Late::new(b"/log".to_vec(), TIMING, 1), now: Instant::now() }
    }

    /// Generation 7 has ended.
    fn after_one() -> Life {
        let mut life = Life::new();
        life.late.handle_ended(life.now, line(7));
        life
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.late.poll_output()).collect()
    }

    /// To the next deadline.
    fn pass(&mut self) -> Vec<Output> {
        let due = self.late.deadline().expect("it waits for something");
        self.now = self.now.max(due);
        self.late.handle_due(self.now);
        self.outputs()
    }

    /// Asks as soon as it is time; gives the request.
    fn ask(&mut self) -> String {
        assert_eq!(self.pass(), [Output::Admit]);
        self.late.handle_admitted(self.now, true);
        assert_eq!(self.outputs(), [Output::Connect]);
        self.late.handle_connected(self.now);
        match &self.outputs()[..] {
            [Output::Ask(request)] => String::from_utf8(emit_request(request)).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, reply: &Reply) -> Vec<Output> {
        self.late.handle_reply(self.now, reply);
        self.outputs()
    }

    /// Asked for; it has grown, and `bytes` of that are in the archive.
    fn receive(&mut self, bytes: u64) {
        self.ask();
        assert_eq!(self.reply(&answer(File::Same, 7, 200)), [Output::Open]);
        self.late.handle_opened(self.now, ready());
        self.put(bytes);
    }

    fn put(&mut self, bytes: u64) {
        let place = self.late.place_mut().unwrap();
        (place.at, place.size) = (place.at + bytes, place.size + bytes);
        self.late.handle_data(self.now, Took::All);
        assert_eq!(self.outputs(), []);
    }

    /// What came is recorded by a worker.
    fn recorded(&mut self, bytes: u64) -> Vec<Output> {
        let grown = Line { to: line(7).to + bytes, late: Some(bytes), ..line(7) };
        self.late.handle_recorded(self.now, Recorded::Grown(grown));
        self.outputs()
    }
}

fn nothing_came() -> [Output; 2] {
    [Output::Close, Output::Note("nothing came late for 7".to_owned())]
}

fn told(outputs: &[Output]) -> Vec<String> {
    let told = outputs.iter().filter_map(|output| match output {
        Output::Tell(event) => Some(event.to_string()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_generation_is_asked_for_from_its_end_after_a_while_and_when_the_next_one_ends() {
    let mut life = Life::after_one();
    let start = life.now;
    assert!(life.late.pending());
    assert_eq!(life.ask(), "/log 7 100 +2 id=7 seen=5\n");
    assert_eq!(life.now, start + DELAY);
    assert_eq!(life.reply(&answer(File::Next, 8, 20)), nothing_came());
    assert!(!life.late.pending());
    assert_eq!(life.late.deadline(), None);
    life.late.handle_ended(life.now, line(8));
    assert_eq!(life.ask(), "/log 7 100 +2 id=7 seen=5\n");
    assert_eq!(life.now, start + DELAY);
    assert_eq!(life.reply(&answer(File::Next, 8, 20)), nothing_came());
    // That was the last time for it.
    assert_eq!(life.ask(), "/log 8 100 +2 id=8 seen=5\n");
    assert_eq!(life.now, start + 2 * DELAY);
}

#[test]
fn one_that_the_next_one_followed_at_once_is_asked_for_once() {
    let mut life = Life::after_one();
    life.late.handle_ended(life.now, line(8));
    for number in [7, 8] {
        assert!(life.ask().starts_with(&format!("/log {number} ")));
        life.reply(&answer(File::Next, 9, 20));
    }
    assert!(!life.late.pending());
    life.late.handle_ended(life.now, line(9));
    assert!(life.ask().starts_with("/log 8 "));
}

#[test]
fn one_whose_next_one_ends_while_it_is_asked_for_is_asked_for_again() {
    let mut life = Life::after_one();
    life.ask();
    life.late.handle_ended(life.now, line(8));
    life.reply(&answer(File::Next, 8, 20));
    assert!(life.ask().starts_with("/log 7 "));
    life.reply(&answer(File::Next, 8, 20));
    assert!(life.ask().starts_with("/log 8 "));
}

#[test]
fn only_whole_generations_of_protocol_2_are_asked_for() {
    let ended = Ending::ALL.into_iter().filter(|&ending| ending != Ending::Complete);
    let mut lines: Vec<Line> = ended.map(|ending| Line { ending, ..line(7) }).collect();
    lines.push(Line { id: None, ..line(7) });
    lines.push(Line { archive: None, ..line(7) });
    for line in lines {
        let mut life = Life::new();
        life.late.handle_ended(life.now, line);
        assert!(!life.late.pending() && life.outputs().is_empty());
    }
    let never = Timing { recheck: Recheck::Never, ..TIMING };
    let mut late = Late::new(b"/log".to_vec(), never, 1);
    late.handle_ended(Instant::now(), line(7));
    assert!(!late.pending() && late.deadline().is_none());
}

#[test]
fn a_line_that_a_recovery_reads_again_is_no_other_generation() {
    let mut life = Life::after_one();
    for _ in 0..3 {
        life.late.handle_ended(life.now, line(7));
    }
    life.ask();
    life.late.handle_ended(life.now, line(7));
    life.reply(&answer(File::Next, 8, 20));
    assert!(!life.late.pending());
}

#[test]
fn late_bytes_are_recorded_told_and_asked_for_again_until_nothing_comes() {
    let mut life = Life::after_one();
    life.receive(12);
    life.late.handle_heartbeat(life.now, false);
    assert_eq!(life.outputs(), []);
    life.late.handle_heartbeat(life.now, true);
    let place = Place { durable: 100, at: 112, size: 112, ..Place::default() };
    assert_eq!(life.outputs(), [Output::Record(place)]);
    assert!(life.late.busy() && life.late.pending());
    let outputs = life.recorded(12);
    assert_eq!(told(&outputs), ["late 7:100 12 bytes into log.7"]);
    assert_eq!(outputs.last(), Some(&Output::Close));
    assert!(life.late.pending());
    let before = life.now;
    assert_eq!(life.ask(), "/log 7 112 +2 id=7 seen=5\n");
    assert_eq!(life.now, before + DELAY);
    life.reply(&answer(File::Next, 8, 20));
    assert!(!life.late.pending());
}

#[test]
fn every_end_of_what_comes_records_what_came() {
    type End_ = fn(&mut Life);
    let ends: [End_; 5] = [
        |life| life.late.handle_close(),
        |life| life.late.handle_heartbeat(life.now, true),
        |life| life.late.handle_end(life.now, End::Broken("reset".to_owned())),
        |life| life.late.handle_wire_fault(life.now, &WireFault::LineTooLong(256)),
        |life| {
            life.now += RECEIVING_MAX;
            life.late.handle_due(life.now);
        },
    ];
    for end in ends {
        let mut life = Life::after_one();
        life.receive(12);
        end(&mut life);
        assert!(matches!(life.outputs()[..], [Output::Record(Place { at: 112, .. })]));
    }
}

#[test]
fn a_file_that_has_not_ended_and_has_not_grown_is_complete_for_now() {
    let mut life = Life::after_one();
    life.ask();
    assert_eq!(life.reply(&answer(File::Same, 7, 100)), []);
    assert_eq!(life.late.wants(), Wants::Data);
    life.late.handle_heartbeat(life.now, true);
    assert_eq!(life.outputs(), nothing_came());
    assert!(!life.late.pending());
    // One that grows just then is asked for again: its archive was not looked at.
    life.late.handle_ended(life.now, line(8));
    life.ask();
    life.reply(&answer(File::Same, 7, 100));
    life.late.handle_data(life.now, Took::All);
    assert_eq!(life.outputs(), [Output::Close]);
    assert!(life.late.pending());
}

/// After a crash the archive is longer than its line: the rest is compared.
#[test]
fn what_a_crash_left_behind_the_line_is_cut_off_where_it_differs() {
    let mut life = Life::after_one();
    life.ask();
    life.reply(&answer(File::Same, 7, 200));
    let trust = Trust::Durable { rest: Rest::Doubtful };
    let place = Place { durable: 100, at: 100, size: 130, trust, ..Place::default() };
    life.late.handle_opened(life.now, Opened::Ready(place));
    life.late.place_mut().unwrap().at = 110;
    life.late.handle_data(life.now, Took::Differs);
    assert_eq!(life.outputs(), [Output::Record(Place { at: 110, ..place })]);
    life.recorded(10);
    assert_eq!(life.ask(), "/log 7 110 +2 id=7 seen=5\n");
}

/// Found by the simulation: a line for late bytes failed to be synced, and was durable with the next one. The
/// archive was cut to what the line before it says, since only that was remembered.
#[test]
fn a_line_that_failed_to_be_written_and_is_there_counts() {
    let mut life = Life::after_one();
    life.ask();
    life.reply(&answer(File::Same, 7, 200));
    let later = Line { to: 130, late: Some(30), ..line(7) };
    life.late.handle_opened(life.now, Opened::Listed(later));
    let outputs = life.outputs();
    assert_eq!(told(&outputs), ["late 7:100 30 bytes into log.7"]);
    assert!(outputs.contains(&Output::Close));
    assert_eq!(life.ask(), "/log 7 130 +2 id=7 seen=5\n");
}

/// Found by the simulation: a power loss of the host had made a rotated file the log again, which was then fetched
/// from its beginning; and what had come to it since was fetched once more, as late bytes of the first time.
#[test]
fn a_file_that_is_followed_once_more_is_not_asked_for_late_bytes() {
    let mut life = Life::after_one();
    life.late.handle_followed(token(7));
    life.ask();
    let outputs = life.reply(&answer(File::Same, 7, 200));
    assert_eq!(outputs[0], Output::Close);
    assert!(!life.late.pending());
    // Nor when that is found out while it is received; what had come has its line.
    for bytes in [0, 20] {
        let mut life = Life::after_one();
        life.receive(bytes);
        life.late.handle_followed(token(8));
        assert_eq!(life.outputs(), []);
        life.late.handle_followed(token(7));
        let outputs = life.outputs();
        assert_eq!(outputs.contains(&Output::Close), bytes == 0, "{outputs:?}");
        if bytes > 0 {
            assert!(matches!(outputs[..], [Output::Record(_)]));
            assert!(life.recorded(bytes).contains(&Output::Close));
        }
        assert!(!life.late.pending() && life.late.deadline().is_none());
    }
}

#[test]
fn a_file_that_ended_twice_is_not_asked_for_what_it_was_at_first() {
    let mut life = Life::after_one();
    life.late.handle_followed(token(7));
    assert!(life.late.pending());
    life.late.handle_followed(token(7));
    assert!(!life.late.pending());
}

/// A number is given again: where the archive's bytes are found in another file, what comes there is asked for.
#[test]
fn a_file_that_has_only_the_number_of_an_archive_does_not_keep_its_late_bytes_from_coming() {
    let mut life = Life::new();
    let to = KNOWN_BYTES_MIN + 1;
    life.late.handle_ended(life.now, Line { to, ..line(7) });
    life.late.handle_followed(token(7));
    life.ask();
    let Reply::Two(found) = answer(File::Same, 8, 2 * to) else { panic!() };
    assert_eq!(life.reply(&Reply::Two(Box::new(Answer { from: to, ..*found }))), [Output::Open]);
}

/// Of more sources than may ask at the same time some wait for their place.
#[test]
fn what_has_no_place_yet_closes_nothing() {
    let mut life = Life::after_one();
    assert_eq!(life.pass(), [Output::Admit]);
    life.late.handle_chosen(token(7));
    assert_eq!(life.outputs(), []);
}

/// Found by the simulation: the same, and between the answer that named that file and the rotation, which failed for
/// a while, its late bytes were asked for.
#[test]
fn a_file_that_is_about_to_be_followed_once_more_waits_with_its_late_bytes() {
    for asked in [false, true] {
        let mut life = Life::after_one();
        if asked {
            life.ask();
        }
        life.late.handle_chosen(token(7));
        assert!(!life.late.pending() && life.late.deadline().is_none());
        assert_eq!(life.outputs().contains(&Output::Close), asked);
        // It was another one that followed after all.
        life.late.handle_ended(life.now, line(8));
        assert!(life.late.pending());
        assert_eq!(life.late.deadline(), Some(life.now));
    }
}

#[test]
fn what_can_not_be_had_is_not_asked_for_again() {
    let missing = Refusal::new(Code::Missing, "no such file");
    for reply in [
        answer(File::Lost(Why::Gone), 8, 20),
        // The same bytes in another file: that one has not grown.
        answer(File::Same, 9, 200),
        Reply::Refused(missing),
    ] {
        let mut life = Life::after_one();
        life.ask();
        let outputs = life.reply(&reply);
        assert!(matches!(outputs[..], [Output::Close, Output::Note(_)]), "{outputs:?}");
        life.late.handle_ended(life.now, line(8));
        assert!(life.ask().starts_with("/log 8 "));
    }
}

#[test]
fn an_archive_that_was_moved_away_is_left_alone() {
    let mut life = Life::after_one();
    life.pass();
    life.late.handle_admitted(life.now, false);
    assert!(matches!(life.outputs()[..], [Output::Close, Output::Note(_)]));
    assert!(!life.late.pending());
}

#[test]
fn an_archive_that_was_changed_is_told_and_left_alone() {
    for when in ["before", "while it was written", "before it was recorded"] {
        let mut life = Life::after_one();
        life.ask();
        life.reply(&answer(File::Same, 7, 200));
        match when {
            "before" => life.late.handle_opened(life.now, Opened::Changed),
            _ => {
                life.late.handle_opened(life.now, ready());
                life.put(12);
                if when == "while it was written" {
                    life.late.handle_data(life.now, Took::Changed);
                } else {
                    life.late.handle_close();
                    life.late.handle_recorded(life.now, Recorded::Changed);
                }
            }
        }
        let outputs = life.outputs();
        let sentence = "archive log.7 was changed: late bytes of 7 are not taken";
        assert_eq!(told(&outputs), [sentence], "{when}");
        assert!(outputs.contains(&Output::Close));
        assert!(!life.late.pending());
    }
}

#[test]
fn who_can_not_be_asked_is_asked_ever_less_often_and_at_once_when_the_source_is_back() {
    let mut life = Life::after_one();
    let mut begun = life.now + DELAY;
    for number in 0..10 {
        life.pass();
        assert!(life.now <= begun + Duration::from_secs(76), "{number}");
        begun = life.now;
        life.late.handle_admitted(life.now, true);
        life.late.handle_unreachable(life.now, "Connection refused");
        let outputs = life.outputs();
        assert!(matches!(outputs[..], [Output::Connect, Output::Close, Output::Note(_)]));
    }
    assert!(life.late.deadline().unwrap() >= life.now + Duration::from_secs(60));
    life.late.handle_reachable(life.now);
    assert_eq!(life.late.deadline(), Some(life.now));
    // Silence has its limits as well.
    life.ask();
    let outputs = life.pass();
    assert!(matches!(outputs[..], [Output::Close, Output::Note(_)]), "{outputs:?}");
    assert!(!life.late.pending() && life.late.deadline().is_some());
    // A generation that has just ended is not asked for earlier.
    life.late.handle_ended(life.now, line(8));
    life.late.handle_reachable(life.now);
    life.ask();
    life.reply(&answer(File::Next, 8, 20));
    assert_eq!(life.late.deadline(), Some(life.now + DELAY));
}

#[test]
fn who_says_for_ever_that_the_answer_takes_a_while_is_not_waited_for() {
    let mut life = Life::after_one();
    life.ask();
    let asked = life.now;
    while life.reply(&Reply::Working).is_empty() {
        assert!(life.now <= asked + WORKING_MAX);
        life.now += TIMING.reply_timeout / 2;
    }
    assert!(life.now >= asked + WORKING_MAX && !life.late.pending());
}

#[test]
fn a_fault_of_our_disk_is_told_once_and_tried_again() {
    let full = || "No space left on device".to_owned();
    let mut life = Life::after_one();
    for number in 0..3 {
        life.ask();
        life.reply(&answer(File::Same, 7, 200));
        life.late.handle_opened(life.now, ready());
        match number {
            0 => life.late.handle_data(life.now, Took::Failed(full())),
            1 => {
                life.put(3);
                life.late.handle_close();
                life.late.handle_recorded(life.now, Recorded::Failed(full()));
            }
            _ => {
                life.put(3);
                life.late.handle_close();
                life.outputs();
                life.recorded(3);
                return;
            }
        }
        let expected = if number == 0 { 1 } else { 0 };
        assert_eq!(told(&life.outputs()).len(), expected, "{number}");
        assert!(life.late.deadline().is_some());
    }
}

#[test]
fn too_many_that_wait_are_told_when_they_are_given_up() {
    let mut life = Life::new();
    for number in 1..=GENERATIONS_MAX as u64 + 1 {
        life.late.handle_ended(life.now, line(number));
    }
    let sentence = "1 is not asked for once more: too many have ended since";
    assert_eq!(told(&life.outputs()), [sentence]);
}

/// Found by the simulation: a copy was renamed by somebody, and the rest of its generation, which was none, became an
/// archive. It was asked for once more without a digest; meanwhile the log was emptied in place, so the
/// identity was right, and bytes of another generation came.
#[test]
fn a_generation_of_whose_end_nothing_is_here_is_not_asked_for_once_more() {
    let mut life = Life::new();
    life.late.handle_ended(life.now, Line { from: 100, ..line(7) });
    assert!(!life.late.pending());
    life.late.handle_ended(life.now, Line { from: 99, ..line(8) });
    assert!(life.late.pending());
}

/// Found by the simulation: a power loss of the host undid a rotation, so that the file of a generation that had ended was
/// the log again. It has the identity that is asked for, and what was written to it came twice: into the archive,
/// and into the copy as what follows.
#[test]
fn a_file_that_is_the_log_again_brings_nothing_late() {
    let mut life = Life::after_one();
    life.ask();
    let Reply::Two(mut answer) = answer(File::Same, 7, 140) else { unreachable!() };
    answer.name = None;
    let outputs = life.reply(&Reply::Two(answer));
    let note = "7 is not asked for any more: its file is the log again".to_owned();
    assert!(outputs.contains(&Output::Note(note)), "{outputs:?}");
    assert!(!life.late.pending());
}
