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

/// The longest path that goes over the wire, in bytes: percent-encoded, with its offset and digests,
/// it still fits in a request line.
pub const PATH_BYTES_MAX: usize = 1024;

/// The longest generation, and so the largest offset: file offsets have 63 bits.
pub const OFFSET_MAX: Offset = i64::MAX as u64;

/// Reads an offset: decimal digits that fit in 63 bits, the range of file offsets.
pub fn parse_offset(text: &[u8]) -> Option<Offset> {
    parse_number(text).filter(|&value| value <= OFFSET_MAX)
}

/// Reads a number: at most 20 decimal digits that fit in 64 bits.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    if text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A word that one end makes and the other only keeps and compares: an identity, a boot, the name of
/// a reader. 1 to 64 printable ASCII characters, no blanks.
///
/// It is stored in place: a peer makes nobody allocate with it, and it is copied like a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    len: u8,
    /// Zeros behind `len`, so that equal tokens are equal as a whole.
    bytes: [u8; Token::CHARS_MAX],
}

impl Token {
    /// Longest token, in characters.
    pub const CHARS_MAX: usize = 64;

    /// Reads a token; `None` for anything that is none.
    pub fn parse(text: &[u8]) -> Option<Token> {
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; Token::CHARS_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Token { len: text.len() as u8, bytes })
    }

    /// The token that is the decimal digits of `number`.
    pub fn of_number(number: u64) -> Token {
        Token::of(&number)
    }

    /// How an identity is told to a peer.
    pub fn of_file(id: &FileId) -> Token {
        Token::of(id)
    }

    /// The same of a compressed file. It says so, since the file's birth is not that of the generation.
    pub fn of_packed_file(id: &FileId) -> Token {
        Token::of(&format_args!("{id}.packed"))
    }

    /// What `words` are written as: printable, without blanks, cut at the longest token.
    fn of(words: &dyn fmt::Display) -> Token {
        let mut token = Token { len: 0, bytes: [0; Token::CHARS_MAX] };
        for byte in words.to_string().into_bytes().into_iter().take(Token::CHARS_MAX) {
            token.bytes[usize::from(token.len)] = byte;
            token.len += 1;
        }
        token
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.as_str())
    }
}

/// A generation, as far as the fetcher knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Generation {
    /// Its name in protocol 1.
    pub inode: Inode,
    /// Its identity as a protocol 2 responder gave it.
    pub id: Option<Token>,
    /// When its file was changed last as far as was heard, in nanoseconds since 1970 by the
    /// responder's clock.
    pub seen_ns: Option<u64>,
    /// The most bytes it was ever heard to have; 0 if nobody told.
    pub heard: Offset,
}

impl Generation {
    /// One of which a protocol 1 responder told.
    pub const fn of(inode: Inode) -> Generation {
        Generation { inode, id: None, seen_ns: None, heard: 0 }
    }
}

/// Where a source begins that was never fetched before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Start {
    /// With the first byte of the current file.
    #[default]
    Begin,
    /// With what is written from now on.
    End,
    /// With the oldest rotated generation that is still there.
    History,
}

impl Start {
    /// Reads `begin`, `end` or `history`.
    pub fn parse(text: &[u8]) -> Option<Start> {
        [Start::Begin, Start::End, Start::History]
            .into_iter()
            .find(|start| start.as_str().as_bytes() == text)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Start::Begin => "begin",
            Start::End => "end",
            Start::History => "history",
        }
    }
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
    fn a_token_is_1_to_64_printable_characters_without_blanks() {
        let longest = "x".repeat(Token::CHARS_MAX);
        for text in ["7", "1835021.7.1732105369000000000", "a=b:c%", &longest] {
            assert_eq!(Token::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert_ne!(Token::parse(b"a"), Token::parse(b"ab"));
        for text in ["", "a b", "a\t", "a\n", "\0", "\x7f", "é", &"x".repeat(65)] {
            assert_eq!(Token::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_start_is_one_of_three_words() {
        for start in [Start::Begin, Start::End, Start::History] {
            assert_eq!(Start::parse(start.as_str().as_bytes()), Some(start));
        }
        assert_eq!(Start::parse(b""), None);
        assert_eq!(Start::parse(b"Begin"), None);
    }

    #[test]
    fn an_identity_is_written_and_read_back() {
        for id in [
            FileId { inode: 12, generation: Some(7), birth_ns: Some(1_700_000_000_123_456_789) },
            FileId { inode: u64::MAX, generation: None, birth_ns: None },
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(Token::of_file(&id).as_str(), id.to_string());
            let packed = Token::of_packed_file(&id);
            assert_eq!(packed.as_str(), format!("{id}.packed"));
            assert_eq!(packed.as_str().parse::<FileId>(), Err(()));
        }
        assert_eq!(Token::parse(b"120"), Some(Token::of_number(120)));
        for text in ["", "1", "1.2", "1.2.3.4", "x.1.2", "-.-.-"] {
            assert_eq!(text.parse::<FileId>(), Err(()), "{text:?}");
        }
    }
}
