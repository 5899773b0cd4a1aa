//! The only place that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local};

/// Monotonic time: for deadlines.
pub fn now() -> Instant {
    Instant::now()
}

/// Wall time in the local zone: for what people read, such as event lines and archive names.
pub fn wall() -> DateTime<Local> {
    Local::now()
}

/// Wall time as file times are given.
pub fn system() -> SystemTime {
    SystemTime::now()
}

/// Wall time in nanoseconds since 1970, the unit of file times; 0 before 1970.
pub fn wall_ns() -> u64 {
    let since = system().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
