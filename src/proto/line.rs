//! One bounded line out of a stream that may be split anywhere.

use std::borrow::Cow;

use super::WireFault;

/// Collects the bytes of one line. Empty, it owns no memory.
#[derive(Debug)]
pub struct LineBuf {
    bytes: Vec<u8>,
    bytes_max: usize,
}

/// What a piece of the stream gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed<'a> {
    /// How many bytes of the piece belong to the line, its newline included. What follows them is
    /// not the line's.
    pub used: usize,
    /// The line without its newline, once it is complete; borrowed if all of it is in this piece.
    pub line: Option<Cow<'a, [u8]>>,
}

impl LineBuf {
    /// A line of at most `bytes_max` bytes, the newline not counted.
    pub const fn new(bytes_max: usize) -> LineBuf {
        LineBuf { bytes: Vec::new(), bytes_max }
    }

    /// Takes the next piece of the stream.
    pub fn feed<'a>(&mut self, piece: &'a [u8]) -> Result<Fed<'a>, WireFault> {
        let end = memchr::memchr(b'\n', piece);
        let content = &piece[..end.unwrap_or(piece.len())];
        if self.bytes.len() + content.len() > self.bytes_max {
            return Err(WireFault::LineTooLong(self.bytes_max));
        }
        let line = match end {
            Some(_) if self.bytes.is_empty() => Some(Cow::Borrowed(content)),
            Some(_) => {
                self.bytes.extend_from_slice(content);
                Some(Cow::Owned(std::mem::take(&mut self.bytes)))
            }
            None => {
                self.bytes.extend_from_slice(content);
                None
            }
        };
        Ok(Fed { used: end.map_or(piece.len(), |at| at + 1), line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_same_however_it_is_split() {
        let stream = b"/var/log/messages 12 34\nrest";
        for cut in 0..=stream.len() {
            let mut buf = LineBuf::new(100);
            let first = buf.feed(&stream[..cut]).unwrap();
            let line = match first.line {
                Some(line) => line,
                None => {
                    let second = buf.feed(&stream[cut..]).unwrap();
                    assert_eq!(first.used + second.used, 24);
                    second.line.unwrap()
                }
            };
            assert_eq!(&line[..], b"/var/log/messages 12 34", "cut at {cut}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let mut buf = LineBuf::new(4);
        assert_eq!(&buf.feed(b"1234\n").unwrap().line.unwrap()[..], b"1234");
        assert_eq!(buf.feed(b"12345\n"), Err(WireFault::LineTooLong(4)));
        let mut buf = LineBuf::new(4);
        assert_eq!(buf.feed(b"1234").unwrap(), Fed { used: 4, line: None });
        assert_eq!(buf.feed(b"5"), Err(WireFault::LineTooLong(4)));
    }
}
