//! How much room is kept on the file systems of copies: where there is less, nothing more is read.
//!
//! A source that writes without end, by mistake or on purpose, must not fill the disk of all the others.
//! What is not read stays with the source. The room that is kept is for what has to go on all the same:
//! pointers, manifests, and a rotation that has begun.
//!
//! Many copies are on one file system, which is looked at once for all of them: when a second has passed
//! since the last look and bytes have come, or when half of what was left above the floor has come.
//! Where there is too little it is looked at once a second. It is told that there is room again when there
//! is a tenth more than the floor, so that a few bytes do not open and close it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::pos::{Share, Space};

/// Longest time between two looks at a file system to which something is written, or which is short.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many bytes may come without a look however little is left: less than a checkpoint may need.
const LOOK_BYTES_MIN: u64 = 1024 * 1024;

/// Units and their bytes, the largest first.
const UNITS: [(&str, u64); 5] =
    [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("", 1)];

/// What is to be left on a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Floor {
    /// So many hundredths of all bytes, and of all files that it can have.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
}

impl Floor {
    /// Reads `5%`, `20G` (K, M, G and T are powers of 1,024) or `0`; the error is the cause.
    pub fn parse(text: &str) -> Result<Floor, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let wrong = || "not a part as in 5%, bytes as in 20G, or 0".to_owned();
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if unit == "%" {
            let percent = u8::try_from(number).ok().filter(|percent| *percent <= 90);
            return percent.map(Floor::Percent).ok_or_else(|| "more than 90%".to_owned());
        }
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let bytes = number.checked_mul(*bytes).filter(|bytes| *bytes < 1 << 60);
        bytes.map(Floor::Bytes).ok_or_else(|| "too many bytes".to_owned())
    }

    /// The floor in bytes and in files.
    fn of(self, disk: &Space) -> (u64, u64) {
        match self {
            Floor::Percent(percent) => {
                let part = |share: Share| share.all / 100 * u64::from(percent);
                (part(disk.bytes), part(disk.files))
            }
            Floor::Bytes(bytes) => (bytes, 0),
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Floor::Percent(percent) => write!(f, "{percent}%"),
            Floor::Bytes(bytes) => {
                let divides = |(_, unit): &&(&str, u64)| bytes.is_multiple_of(*unit);
                let (name, unit) = UNITS.iter().find(divides).unwrap_or(&UNITS[4]);
                write!(f, "{}{name}", bytes / unit)
            }
        }
    }
}

/// What is known of the file systems of copies.
#[derive(Debug)]
pub struct Rooms {
    floor: Floor,
    /// By the number of their device.
    disks: BTreeMap<u64, Seen>,
}

#[derive(Debug)]
struct Seen {
    looked: Instant,
    /// Bytes that have come since.
    taken: u64,
    /// How many may come before the next look.
    spare: u64,
    short: bool,
}

impl Rooms {
    /// So much is to be left everywhere.
    pub fn new(floor: Floor) -> Rooms {
        Rooms { floor, disks: BTreeMap::new() }
    }

    /// The floor.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// Bytes have come that are written to this file system.
    pub fn handle_taken(&mut self, device: u64, bytes: u64) {
        if let Some(seen) = self.disks.get_mut(&device) {
            seen.taken = seen.taken.saturating_add(bytes);
        }
    }

    /// Whether it is to be looked at before more is written to it.
    pub fn is_due(&self, now: Instant, device: u64) -> bool {
        let Some(seen) = self.disks.get(&device) else { return true };
        seen.taken >= seen.spare || now >= seen.looked + LOOK_EVERY
    }

    /// It was looked at. Says whether that changed what is to be done.
    pub fn handle_look(&mut self, now: Instant, disk: &Space) -> bool {
        let (bytes, files) = self.floor.of(disk);
        let was_short = self.is_short(disk.device);
        let wanted = |floor: u64| if was_short { floor + floor / 10 } else { floor };
        let short = disk.bytes.free < wanted(bytes) || disk.files.free < wanted(files);
        let spare = (disk.bytes.free.saturating_sub(bytes) / 2).max(LOOK_BYTES_MIN);
        self.disks.insert(disk.device, Seen { looked: now, taken: 0, spare, short });
        short != was_short
    }

    /// Nothing is known of it any more.
    pub fn forget(&mut self, device: u64) {
        self.disks.remove(&device);
    }

    /// Whether it has less than is to be left.
    pub fn is_short(&self, device: u64) -> bool {
        self.disks.get(&device).is_some_and(|seen| seen.short)
    }

    /// One that is short and is to be looked at by now.
    pub fn poll_due(&self, now: Instant) -> Option<u64> {
        let due = |seen: &Seen| seen.short && now >= seen.looked + LOOK_EVERY;
        self.disks.iter().find(|(_, seen)| due(seen)).map(|(device, _)| *device)
    }

    /// When the next one is.
    pub fn deadline(&self) -> Option<Instant> {
        let short = self.disks.values().filter(|seen| seen.short);
        short.map(|seen| seen.looked + LOOK_EVERY).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn disk(free: u64) -> Space {
        let files = Share { free: 1000, all: 1000 };
        Space { device: 1, bytes: Share { free, all: 100 * GIB }, files, network: None }
    }

    #[test]
    fn a_floor_is_a_part_or_a_number_of_bytes() {
        for (text, floor) in [
            ("5%", Floor::Percent(5)),
            ("0%", Floor::Percent(0)),
            ("90%", Floor::Percent(90)),
            ("0", Floor::Bytes(0)),
            ("20G", Floor::Bytes(20 * GIB)),
            ("512M", Floor::Bytes(GIB / 2)),
            ("1000", Floor::Bytes(1000)),
        ] {
            assert_eq!(Floor::parse(text), Ok(floor), "{text}");
            assert_eq!(Floor::parse(&floor.to_string()), Ok(floor), "{text}");
        }
        for text in ["", "%", "91%", "300%", "5 %", "-1", "1.5%", "5g", "9999999999T", "x"] {
            assert!(Floor::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn less_than_the_floor_is_short_until_there_is_a_tenth_more() {
        let now = Instant::now();
        let mut rooms = Rooms::new(Floor::Percent(5));
        for (free, short) in [
            (6 * GIB, false),
            (5 * GIB, false),
            (5 * GIB - 1, true),
            (5 * GIB, true),
            (GIB, true),
            (5 * GIB + GIB / 2 - 1, true),
            (5 * GIB + GIB / 2, false),
            (5 * GIB, false),
        ] {
            let was = rooms.is_short(1);
            assert_eq!(rooms.handle_look(now, &disk(free)), was != short, "{free}");
            assert_eq!(rooms.is_short(1), short, "{free}");
        }
        assert!(!rooms.is_short(2));
    }

    #[test]
    fn files_that_can_not_be_made_are_no_room_and_no_limit_is_none() {
        let files = |free, all| Space { files: Share { free, all }, ..disk(50 * GIB) };
        for (disk, short) in
            [(files(49, 1000), true), (files(50, 1000), false), (files(0, 0), false)]
        {
            let mut rooms = Rooms::new(Floor::Percent(5));
            assert_eq!(rooms.handle_look(Instant::now(), &disk), short, "{disk:?}");
            for floor in [Floor::Bytes(0), Floor::Percent(0)] {
                assert!(!Rooms::new(floor).handle_look(Instant::now(), &self::disk(0)));
            }
        }
    }

    #[test]
    fn it_is_looked_at_once_a_second_and_when_half_of_what_is_left_has_come() {
        let start = Instant::now();
        let mut rooms = Rooms::new(Floor::Bytes(GIB));
        assert!(rooms.is_due(start, 1));
        rooms.handle_look(start, &disk(3 * GIB));
        assert!(!rooms.is_due(start + LOOK_EVERY / 2, 1));
        assert!(rooms.is_due(start + LOOK_EVERY, 1));
        rooms.handle_taken(1, GIB - 1);
        assert!(!rooms.is_due(start, 1));
        rooms.handle_taken(1, 1);
        assert!(rooms.is_due(start, 1));
        rooms.handle_look(start, &disk(GIB));
        rooms.handle_taken(1, LOOK_BYTES_MIN - 1);
        assert!(!rooms.is_due(start, 1));
        assert_eq!((rooms.deadline(), rooms.poll_due(start + LOOK_EVERY)), (None, None));
        rooms.handle_look(start, &disk(0));
        assert_eq!(rooms.deadline(), Some(start + LOOK_EVERY));
        assert_eq!(rooms.poll_due(start + LOOK_EVERY), Some(1));
        rooms.forget(1);
        assert_eq!(rooms.poll_due(start + LOOK_EVERY), None);
    }
}
