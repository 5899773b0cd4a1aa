//! The vocabulary every room may use: which file, and where in it.

use std::fmt;

/// A count of bytes from the beginning of a generation.
pub type Offset = u64;

/// The number by which both ends name a generation on the wire.
///
/// Peers compare it as *text*: fetchlogs 1.1 keeps whatever stood after `O ` and compares the next
/// reply with it, letter by letter. So leading zeros are significant here, and that is used: a file
/// that was truncated in place is a new generation under an unchanged inode number, and `0` put in
/// front of the number tells the two apart on the wire (see PROTOCOL.md, "The same number, another
/// generation").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Inode {
    number: u64,
    zeros: u8,
}

impl Inode {
    /// Longest text accepted, in digits: the longest `u64` and room for leading zeros.
    pub const DIGITS_MAX: usize = 32;

    /// The plain name of the inode numbered `number`.
    pub const fn new(number: u64) -> Inode {
        Inode { number, zeros: 0 }
    }

    /// Reads decimal digits and nothing else; `None` for anything that is not an inode.
    pub fn parse(text: &[u8]) -> Option<Inode> {
        if text.is_empty() || text.len() > Inode::DIGITS_MAX {
            return None;
        }
        let zeros = text.iter().take_while(|&&b| b == b'0').count().min(text.len() - 1);
        let mut number: u64 = 0;
        for &b in text {
            if !b.is_ascii_digit() {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(u64::from(b - b'0'))?;
        }
        Some(Inode { number, zeros: zeros as u8 })
    }

    /// The file system's number.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Another name for the same number: what a new generation under a reused number is called.
    pub const fn renamed(self) -> Inode {
        Inode { number: self.number, zeros: if self.zeros == 0 { 1 } else { 0 } }
    }
}

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for _ in 0..self.zeros {
            f.write_str("0")?;
        }
        write!(f, "{}", self.number)
    }
}

/// A place in a generation: all bytes before `offset` are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The generation, by its name on the wire.
    pub inode: Inode,
    /// Bytes from its beginning.
    pub offset: Offset,
}

/// Reads an offset: decimal digits that fit in 63 bits, the range of file offsets.
pub fn parse_offset(text: &[u8]) -> Option<Offset> {
    if text.is_empty() || text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value <= i64::MAX as u64).then_some(value)
}

/// Who a file on disk is, as far as its file system tells.
///
/// The number alone is no identity: ext4 gives a freed inode number to the next file it creates.
/// With the inode's generation and its time of birth no two files were ever found equal, and both
/// stay through rename, append, truncation and remount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// Inode number.
    pub inode: u64,
    /// Inode generation (`FS_IOC_GETVERSION`), where the file system has one.
    pub generation: Option<u32>,
    /// Time of birth in nanoseconds since 1970, where the file system has one.
    pub birth_ns: Option<u64>,
}

impl fmt::Display for FileId {
    /// `INODE.GENERATION.BIRTH`, a dash for what is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.inode)?;
        match self.generation {
            Some(generation) => write!(f, "{generation}.")?,
            None => f.write_str("-.")?,
        }
        match self.birth_ns {
            Some(birth) => write!(f, "{birth}"),
            None => f.write_str("-"),
        }
    }
}

impl std::str::FromStr for FileId {
    type Err = ();

    /// The inverse of `Display`.
    fn from_str(text: &str) -> Result<FileId, ()> {
        fn known<T: std::str::FromStr>(part: &str) -> Result<Option<T>, ()> {
            if part == "-" { Ok(None) } else { part.parse().map(Some).map_err(|_| ()) }
        }
        let mut parts = text.split('.');
        let (Some(inode), Some(generation), Some(birth), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(FileId {
            inode: inode.parse().map_err(|_| ())?,
            generation: known(generation)?,
            birth_ns: known(birth)?,
        })
    }
}

/// What the kernel says of an open file or a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFacts {
    /// Who it is.
    pub id: FileId,
    /// Device number, which may change at a reboot: good for comparing within one process only.
    pub device: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Names it has; 0 when deleted.
    pub links: u64,
    /// A regular file, not a directory, FIFO, device or socket.
    pub regular: bool,
}

impl FileFacts {
    /// Whether both are the same file, seen by one process.
    ///
    /// The inode's generation is left out: the kernel tells it for an open file only, not for a name.
    pub fn same_file(&self, other: &FileFacts) -> bool {
        self.device == other.device
            && self.id.inode == other.id.inode
            && self.id.birth_ns == other.id.birth_ns
    }
}

/// Whether some process has a file open for writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writers {
    /// No process has.
    Nobody,
    /// Some process has.
    Somebody,
    /// The kernel does not say.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_compared_as_text_and_keeps_its_leading_zeros() {
        let plain = Inode::parse(b"1835021").unwrap();
        assert_eq!(plain, Inode::new(1835021));
        let zero = Inode::parse(b"01835021").unwrap();
        assert_ne!(plain, zero);
        assert_eq!(plain.renamed(), zero);
        assert_eq!(zero.renamed(), plain);
        assert_eq!(zero.to_string(), "01835021");
        assert_eq!(Inode::parse(b"0").unwrap().to_string(), "0");
        assert_eq!(Inode::parse(b"00").unwrap().to_string(), "00");
        assert_eq!(Inode::parse(b"18446744073709551615").unwrap().number(), u64::MAX);
    }

    #[test]
    fn what_is_not_all_digits_is_no_inode() {
        for text in ["", "-1", "+5", "1e3", "0x10", "1 ", "18446744073709551616", " 1", "1\n"] {
            assert_eq!(Inode::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Inode::parse(&[b'1'; 33]), None);
    }

    #[test]
    fn an_offset_fits_in_63_bits() {
        assert_eq!(parse_offset(b"0"), Some(0));
        assert_eq!(parse_offset(b"9223372036854775807"), Some(i64::MAX as u64));
        for text in
            ["9223372036854775808", "18446744073709551616", "-1", "", "1k", "000000000000000000001"]
        {
            assert_eq!(parse_offset(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn an_identity_is_written_and_read_back() {
        for id in [
            FileId { inode: 12, generation: Some(7), birth_ns: Some(1_700_000_000_123_456_789) },
            FileId { inode: u64::MAX, generation: None, birth_ns: None },
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "1", "1.2", "1.2.3.4", "x.1.2", "-.-.-"] {
            assert_eq!(text.parse::<FileId>(), Err(()), "{text:?}");
        }
    }
}
