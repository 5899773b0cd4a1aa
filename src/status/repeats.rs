//! Which of a source's faults are told again, and when.

use std::time::{Duration, Instant};

use super::event::Fault;

/// A fault that lasts is told again after this long, with how often it came meanwhile.
pub const REPEAT_INTERVAL: Duration = Duration::from_secs(600);

/// What was told of one source that is in trouble; a source that is well owns none.
#[derive(Debug, Default)]
pub struct Repeats {
    trouble: Option<Trouble>,
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
}

impl Repeats {
    /// A fault has come; gives what is to be said of it, if anything.
    pub fn fail(&mut self, now: Instant, fault: &Fault) -> Option<String> {
        let Some(trouble) = &mut self.trouble else {
            let fault = fault.clone();
            let told = fault.to_string();
            self.trouble = Some(Trouble { fault, since: now, told: now, failures: 1, untold: 0 });
            return Some(told);
        };
        trouble.failures += 1;
        if trouble.fault == *fault && now < trouble.told + REPEAT_INTERVAL {
            trouble.untold += 1;
            return None;
        }
        let repeated = match trouble.untold {
            _ if trouble.fault != *fault => String::new(),
            0 => String::new(),
            untold => format!(" ({} times)", untold + 1),
        };
        trouble.fault = fault.clone();
        trouble.told = now;
        trouble.untold = 0;
        Some(format!("{fault}{repeated}"))
    }

    /// The source is well; gives what is to be said of it if it was not before.
    pub fn succeed(&mut self, now: Instant) -> Option<String> {
        let trouble = self.trouble.take()?;
        let secs = now.saturating_duration_since(trouble.since).as_secs();
        let plural = if trouble.failures == 1 { "" } else { "s" };
        Some(format!("OK after {} failure{plural} in {secs} s", trouble.failures))
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
}
