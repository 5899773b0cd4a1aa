//! What is wrong with a configuration, and where: all of it, in sentences for the operator.

use std::fmt;

use super::words::{Word, escape, split_words};

/// How many faults are listed; the others are counted. Someone who gave the wrong file sees that in
/// fewer, and a file of garbage must not fill the memory or the journal.
pub const FAULTS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The line, from 1; 0 when it is the file as a whole.
    pub line: usize,
    /// Where in the line, in bytes from 1; 0 when it is the line as a whole.
    pub column: usize,
    /// `cannot <verb> <object>: <cause>`, in printable ASCII.
    pub text: String,
}

/// All that is wrong with one configuration, in the order of its lines.
///
/// Displayed as one line for each fault, `FILE:LINE: TEXT`, without a line end after the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The name the caller gave to the text.
    pub file: String,
    /// The faults; at most [`FAULTS_MAX`].
    pub list: Vec<Fault>,
    /// How many more there are.
    pub more: usize,
}

impl Faults {
    /// None found yet.
    pub(super) fn new(file: &str) -> Faults {
        Faults { file: file.to_owned(), list: Vec::new(), more: 0 }
    }

    /// Notes one fault.
    pub(super) fn note(&mut self, line: usize, column: usize, text: String) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(Fault { line, column, text });
        } else {
            self.more += 1;
        }
    }

    /// The words of a line, or `None` with its faults noted.
    pub(super) fn take_words(&mut self, line: usize, bytes: &[u8]) -> Option<Vec<Word>> {
        match split_words(bytes) {
            Ok(words) => Some(words),
            Err(list) => {
                for fault in list {
                    self.note(line, fault.column, fault.text);
                }
                None
            }
        }
    }

    /// What `parse` makes of a word, or `None` with its fault noted.
    pub(super) fn take<T>(
        &mut self,
        line: usize,
        word: &Word,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&word.bytes) {
            Ok(value) => Some(value),
            Err(text) => {
                self.note(line, word.column, text);
                None
            }
        }
    }

    /// Nothing wrong: the value; else the faults in the order of their lines, the file's own last.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Faults> {
        if self.list.is_empty() {
            return Ok(value);
        }
        self.list.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        Err(self)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = escape(self.file.as_bytes());
        for (before, fault) in self.list.iter().enumerate() {
            if before > 0 {
                f.write_str("\n")?;
            }
            match fault.line {
                0 => write!(f, "{file}: {}", fault.text)?,
                line => write!(f, "{file}:{line}: {}", fault.text)?,
            }
        }
        if self.more > 0 {
            let (count, most) = (self.more, FAULTS_MAX);
            write!(f, "\n{file}: cannot list {count} more: {most} faults are shown at most")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_listed_by_line_and_those_of_the_file_come_last() {
        let mut faults = Faults::new("a\nb");
        faults.note(0, 0, "cannot c".into());
        faults.note(7, 3, "cannot b".into());
        faults.note(7, 1, "cannot a".into());
        let text = faults.finish(()).unwrap_err().to_string();
        assert_eq!(text, "a\\nb:7: cannot a\na\\nb:7: cannot b\na\\nb: cannot c");
    }

    #[test]
    fn what_is_more_than_can_be_listed_is_counted() {
        let mut faults = Faults::new("f");
        for line in 1..=FAULTS_MAX + 23 {
            faults.note(line, 1, "cannot".into());
        }
        let text = faults.finish(()).unwrap_err().to_string();
        assert_eq!(text.lines().count(), FAULTS_MAX + 1);
        assert!(text.ends_with("f: cannot list 23 more: 100 faults are shown at most"), "{text}");
    }
}
