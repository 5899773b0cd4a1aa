//! Which of a source's faults are told again, and when.

use std::time::{Duration, Instant};

use super::event::Fault;

/// A fault that lasts is told again after this long, with how often it came meanwhile.
pub const REPEAT_INTERVAL: Duration = Duration::from_secs(600);

/// A fault that comes back so soon after the source was well again, and so often, is told as one that lasts.
const SETTLED: Duration = Duration::from_secs(60);
const RETURNS_MAX: u32 = 3;

/// Of a source that is well and in trouble by turns so many different faults are told, each once.
const DIFFERENT_MAX: usize = 8;

/// What was told of one source that is in trouble, or was not long ago; one that is well owns none.
#[derive(Debug, Default)]
pub struct Repeats {
    trouble: Option<Trouble>,
    /// When it was called well last, and how often in a row it had not been for long.
    well: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Trouble {
    fault: Fault,
    since: Instant,
    told: Instant,
    /// Failures since `since`.
    failures: u64,
    /// Failures of this fault that were not told.
    untold: u64,
    /// It comes and goes: how often.
    returns: u32,
    /// Faults that were told while it does.
    different: Vec<Fault>,
    /// Since when it is well, without having been called so.
    over: Option<Instant>,
}

impl Trouble {
    fn comes_and_goes(&self) -> bool {
        self.returns >= RETURNS_MAX
    }

    /// Whether there is nothing new in `fault`.
    fn knows(&self, fault: &Fault) -> bool {
        match self.comes_and_goes() {
            true => self.different.len() >= DIFFERENT_MAX || self.different.contains(fault),
            false => self.fault == *fault,
        }
    }
}

impl Repeats {
    /// A fault has come; gives what is to be said of it, if anything.
    pub fn fail(&mut self, now: Instant, fault: &Fault) -> Option<String> {
        let Some(trouble) = &mut self.trouble else {
            let soon = self.well.take().filter(|(at, _)| now < *at + SETTLED);
            let (fault, told) = (fault.clone(), fault.to_string());
            let returns = soon.map_or(0, |(_, returns)| returns + 1);
            let different = vec![fault.clone()];
            self.trouble = Some(Trouble {
                fault,
                since: now,
                told: now,
                failures: 1,
                untold: 0,
                returns,
                different,
                over: None,
            });
            return Some(told);
        };
        trouble.failures += 1;
        trouble.over = None;
        let is_same = trouble.fault == *fault;
        if trouble.knows(fault) && now < trouble.told + REPEAT_INTERVAL {
            trouble.fault = fault.clone();
            trouble.untold += 1;
            return None;
        }
        let repeated = match trouble.untold {
            _ if !is_same => String::new(),
            0 => String::new(),
            untold => format!(" ({} times)", untold + 1),
        };
        if !trouble.knows(fault) {
            trouble.different.push(fault.clone());
        }
        trouble.fault = fault.clone();
        trouble.told = now;
        trouble.untold = 0;
        Some(format!("{fault}{repeated}"))
    }

    /// The source is well; gives what is to be said of it if it was not before. One that was so by turns
    /// is called well when it has been for a minute.
    pub fn succeed(&mut self, now: Instant) -> Option<String> {
        let trouble = self.trouble.as_mut()?;
        let over = *trouble.over.get_or_insert(now);
        if trouble.comes_and_goes() && now < over + SETTLED {
            return None;
        }
        let trouble = self.trouble.take()?;
        self.well = Some((now, trouble.returns));
        let secs = now.saturating_duration_since(trouble.since).as_secs();
        let plural = if trouble.failures == 1 { "" } else { "s" };
        Some(format!("OK after {} failure{plural} in {secs} s", trouble.failures))
    }

    /// Whether it was not called well since its last fault.
    pub fn is_unsettled(&self) -> bool {
        self.trouble.is_some()
    }

    /// The fault that lasts, if there is one.
    pub fn fault(&self) -> Option<&Fault> {
        self.trouble.as_ref().map(|trouble| &trouble.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_lasts_is_told_once_then_at_intervals_then_that_it_is_over() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let refused = Fault::InitConnect("Connection refused".to_owned());
        let mut repeats = Repeats::default();
        let first = repeats.fail(at(0), &refused);
        assert_eq!(first.as_deref(), Some("ERR init connect: Connection refused"));
        for secs in (60..600).step_by(60) {
            assert_eq!(repeats.fail(at(secs), &refused), None);
        }
        let again = repeats.fail(at(600), &refused);
        assert_eq!(again.as_deref(), Some("ERR init connect: Connection refused (10 times)"));
        let other = Fault::Read("timeout".to_owned());
        assert_eq!(repeats.fail(at(601), &other).as_deref(), Some("ERR read: timeout"));
        assert_eq!(repeats.fault(), Some(&other));
        assert_eq!(repeats.succeed(at(660)).as_deref(), Some("OK after 12 failures in 660 s"));
        assert_eq!(repeats.succeed(at(661)), None);
    }

    #[test]
    fn a_source_that_is_well_by_turns_is_told_of_a_few_times_and_called_well_when_it_lasts() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let faults = ["a", "b"].map(|why| Fault::Read(why.to_owned()));
        let mut repeats = Repeats::default();
        let mut told = Vec::new();
        for secs in (0..550).step_by(5) {
            let fault = &faults[(secs as usize / 5) % 2];
            told.extend(repeats.fail(at(secs), fault));
            told.extend(repeats.succeed(at(secs + 1)));
        }
        let told: Vec<&str> = told.iter().map(|line| &line[..line.len().min(11)]).collect();
        let three = [
            "ERR read: a",
            "OK after 1 ",
            "ERR read: b",
            "OK after 1 ",
            "ERR read: a",
            "OK after 1 ",
        ];
        assert_eq!(told[..6], three);
        // From then on it is one trouble.
        assert_eq!(told[6..], ["ERR read: b", "ERR read: a"]);
        assert!(repeats.is_unsettled());
        assert_eq!(repeats.succeed(at(600)), None);
        let over = repeats.succeed(at(610));
        assert_eq!(over.as_deref(), Some("OK after 107 failures in 595 s"));
        assert!(!repeats.is_unsettled());
        // Long after that it is as it was at first.
        assert!(repeats.fail(at(1000), &faults[0]).is_some());
        assert!(repeats.succeed(at(1001)).is_some());
    }

    #[test]
    fn a_responder_that_thinks_of_new_faults_by_turns_is_told_of_a_few() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let mut lines = 0;
        for number in 0..500 {
            let now = start + Duration::from_secs(number);
            lines += usize::from(repeats.fail(now, &Fault::Read(number.to_string())).is_some());
            lines += usize::from(repeats.succeed(now).is_some());
        }
        assert_eq!(lines, 2 * RETURNS_MAX as usize + DIFFERENT_MAX);
    }
}
