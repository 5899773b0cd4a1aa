//! `fetch_logs.conf`: one source a line.
//!
//! ```text
//! # host     port remote             local               pointer              [key=value ...]
//! 10.4.3.1   19   /var/log/messages  web1/messages       web1/messages.ptr
//! db.example 19   /var/log/messages  "db one/messages"   "db one/messages.ptr"
//! ```
//!
//! The five fields are those of fetchlogs 1.1, whose configurations are read unchanged.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::claims::{Claims, Use};
use super::fault::Faults;
use super::host::Host;
use super::path::{check_length, check_names_file};
use super::words::{Word, emit_word, plain_word, show, split_lines};
use crate::pos::Start;

/// How many sources a configuration may have: what one fetcher was built to follow.
pub const SOURCES_MAX: usize = 100_000;

/// The longest name of a copy or pointer in its directory, in bytes: file systems take 255, and
/// archives and unfinished pointers add to the name.
pub const NAME_BYTES_MAX: usize = 200;

/// The fields of a line, in their order.
const FIELDS: [&str; 5] = ["host", "port", "remote", "local", "pointer"];

/// What a fetcher has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchConfig {
    /// The sources in the order of their lines; at least one.
    pub sources: Vec<SourceConfig>,
}

/// One source: what to fetch, and where to keep it.
///
/// Two are equal when they ask for the same in every field; where they stand (`line`) is no part of
/// that, so a reload finds what is unchanged by comparing or hashing.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The line that says so, from 1.
    pub line: usize,
    /// Where the responder is.
    pub host: Host,
    /// Its port; never 0.
    pub port: u16,
    /// The file there, as it is asked for: absolute; without blanks and control bytes if it is asked
    /// for in protocol 1.
    pub remote: PathBuf,
    /// The copy here; relative to wherever the fetcher keeps its copies.
    pub local: PathBuf,
    /// Where the position is kept.
    pub pointer: PathBuf,
    /// Which protocol is asked for.
    pub protocol: Protocol,
    /// Where it begins if nothing of it was fetched yet; a word of protocol 2.
    pub start: Start,
}

/// Which protocol a source is asked for in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Protocol {
    /// As fetchlogs 1.1 asks (`protocol=1`): for a responder, or something between, that can't bear
    /// more fields on a line.
    One,
    /// The responder answers in protocol 2 if it knows it, else in protocol 1.
    #[default]
    Two,
}

/// An option of a source: its key; how its value is read (the error is the cause); its value as
/// text, `None` where it is the default. A new option is an entry here and a field above.
type SourceOption = (
    &'static str,
    fn(&mut SourceConfig, &[u8]) -> Result<(), String>,
    fn(&SourceConfig) -> Option<Vec<u8>>,
);

/// All options there are.
const OPTIONS: &[SourceOption] =
    &[("protocol", read_protocol, emit_protocol), ("start", read_start, emit_start)];

fn read_protocol(source: &mut SourceConfig, value: &[u8]) -> Result<(), String> {
    source.protocol = match value {
        b"1" => Protocol::One,
        b"2" => Protocol::Two,
        _ => return Err(format!("{} is not 1 or 2", show(value))),
    };
    Ok(())
}

fn emit_protocol(source: &SourceConfig) -> Option<Vec<u8>> {
    (source.protocol == Protocol::One).then(|| b"1".to_vec())
}

fn read_start(source: &mut SourceConfig, value: &[u8]) -> Result<(), String> {
    let start = Start::parse(value);
    source.start = start.ok_or_else(|| format!("{} is not begin, end or history", show(value)))?;
    Ok(())
}

fn emit_start(source: &SourceConfig) -> Option<Vec<u8>> {
    (source.start != Start::Begin).then(|| source.start.as_str().as_bytes().to_vec())
}

/// Reads a configuration; `file` is what its faults call it.
pub fn parse_fetch(file: &str, text: &[u8]) -> Result<FetchConfig, Faults> {
    let mut faults = Faults::new(file);
    let mut claims = Claims::default();
    let mut sources = Vec::new();
    let mut lines_used = 0;
    for (line, bytes) in split_lines(text) {
        let words = faults.take_words(line, bytes);
        if words.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        lines_used += 1;
        if lines_used > SOURCES_MAX {
            let text = format!("cannot take another source: there are {SOURCES_MAX} already");
            faults.note(line, 1, text);
            break;
        }
        if let Some(words) = words {
            sources.push(parse_source(line, &words, &mut faults, &mut claims));
        }
    }
    if lines_used == 0 {
        faults.note(0, 0, "cannot find any source: all lines are empty or comments".to_owned());
    }
    claims.check(&mut faults);
    faults.finish(FetchConfig { sources })
}

/// The source of a line that has words. A placeholder stands for each field whose fault was noted:
/// with any fault no configuration is handed out.
fn parse_source(
    line: usize,
    words: &[Word],
    faults: &mut Faults,
    claims: &mut Claims,
) -> SourceConfig {
    if words.len() < FIELDS.len() {
        let missing = FIELDS[words.len()..].join(", ");
        let text = format!("cannot find {missing}: a source is {}", FIELDS.join(" "));
        faults.note(line, 0, text);
    }
    let host = words.first().and_then(|word| faults.take(line, word, parse_host));
    let port = words.get(1).and_then(|word| faults.take(line, word, parse_port));
    let remote = words.get(2).and_then(|word| faults.take(line, word, parse_remote));
    let mut take_own = |at: usize, purpose: Use| {
        let word = words.get(at)?;
        let path = faults.take(line, word, |bytes| parse_own(bytes, purpose))?;
        claims.add(purpose, line, word);
        Some(path)
    };
    let local = take_own(3, Use::Copy);
    let pointer = take_own(4, Use::Pointer);
    let mut source = SourceConfig {
        line,
        host: host.unwrap_or(Host::Name(String::new())),
        port: port.unwrap_or_default(),
        remote: remote.unwrap_or_default(),
        local: local.unwrap_or_default(),
        pointer: pointer.unwrap_or_default(),
        protocol: Protocol::default(),
        start: Start::default(),
    };
    let options = words.get(FIELDS.len()..).unwrap_or_default();
    for (before, word) in options.iter().enumerate() {
        faults.take(line, word, |_| read_option(&mut source, word, &options[..before]));
    }
    if source.protocol == Protocol::One {
        check_protocol_1(line, words, &source, faults);
    }
    source
}

/// Notes what protocol 1 has no words for.
fn check_protocol_1(line: usize, words: &[Word], source: &SourceConfig, faults: &mut Faults) {
    if let Some(remote) = words.get(2)
        && remote.bytes.iter().any(|b| *b == b' ' || b.is_ascii_control())
    {
        let cause = "protocol 1 has no way to send a name with blanks or control bytes";
        faults.note(
            line,
            remote.column,
            format!("cannot ask for {}: {cause}", show(&remote.bytes)),
        );
    }
    if source.start != Start::Begin {
        let start = words.iter().find(|word| split_option(word).0 == b"start");
        let column = start.map_or(0, |word| word.column);
        let word = source.start.as_str();
        let text =
            format!("cannot use option \"start\": protocol 1 has no word for {word}, only begin");
        faults.note(line, column, text);
    }
}

/// Reads one `key=value` into the source; `earlier` are those before it on the line.
fn read_option(source: &mut SourceConfig, word: &Word, earlier: &[Word]) -> Result<(), String> {
    let (key, value) = split_option(word);
    let cannot = |cause: &str| format!("cannot use option {}: {cause}", show(key));
    let value = value.ok_or_else(|| cannot("not of the form key=value"))?;
    let option = OPTIONS.iter().find(|(name, ..)| name.as_bytes() == key);
    let (_, read, _) = option.ok_or_else(|| cannot("unknown"))?;
    if earlier.iter().any(|earlier| split_option(earlier).0 == key) {
        return Err(cannot("given twice"));
    }
    read(source, value).map_err(|cause| cannot(&cause))
}

/// Key and value of an option; no value where there is no `=`.
fn split_option(word: &Word) -> (&[u8], Option<&[u8]>) {
    match word.bytes.iter().position(|&b| b == b'=') {
        Some(at) => (&word.bytes[..at], Some(&word.bytes[at + 1..])),
        None => (&word.bytes, None),
    }
}

fn parse_host(bytes: &[u8]) -> Result<Host, String> {
    Host::parse(bytes).map_err(|cause| format!("cannot read host {}: {cause}", show(bytes)))
}

fn parse_port(bytes: &[u8]) -> Result<u16, String> {
    let text = std::str::from_utf8(bytes).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("cannot read port {}: not a number from 1 to 65535", show(bytes)))
}

fn parse_remote(bytes: &[u8]) -> Result<PathBuf, String> {
    let cannot = |cause: &str| format!("cannot ask for {}: {cause}", show(bytes));
    if bytes.first() != Some(&b'/') {
        return Err(cannot("not an absolute path"));
    }
    check_names_file(bytes).map_err(|cause| cannot(&cause))?;
    check_length(bytes).map_err(|cause| cannot(&cause))?;
    Ok(PathBuf::from(OsString::from_vec(bytes.to_vec())))
}

/// A path of our own disk.
fn parse_own(bytes: &[u8], purpose: Use) -> Result<PathBuf, String> {
    let cannot = |cause: &str| format!("cannot use {purpose} {}: {cause}", show(bytes));
    check_names_file(bytes).map_err(|cause| cannot(&cause))?;
    let name = bytes.rsplit(|&b| b == b'/').next().unwrap_or(bytes);
    if name.len() > NAME_BYTES_MAX {
        return Err(cannot(&format!("a name longer than {NAME_BYTES_MAX} bytes")));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes.to_vec())))
}

impl SourceConfig {
    /// The remote path as one word for people.
    pub fn remote_word(&self) -> Cow<'_, str> {
        plain_word(self.remote.as_os_str().as_bytes())
    }

    /// All that makes a source what it is. Paths by their bytes: `Path` takes `a//b` for `a/b`, but
    /// a responder need not.
    fn key(&self) -> (&Host, u16, [&OsStr; 3], Protocol, Start) {
        let SourceConfig { line: _, host, port, remote, local, pointer, protocol, start } = self;
        let paths = [remote.as_os_str(), local.as_os_str(), pointer.as_os_str()];
        (host, *port, paths, *protocol, *start)
    }
}

impl PartialEq for SourceConfig {
    fn eq(&self, other: &SourceConfig) -> bool {
        self.key() == other.key()
    }
}

impl Eq for SourceConfig {}

impl Hash for SourceConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for SourceConfig {
    /// The line as it was understood; it parses to an equal source. Without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.host, self.port)?;
        for path in [&self.remote, &self.local, &self.pointer] {
            write!(f, " {}", emit_word(path.as_os_str().as_bytes()))?;
        }
        for (key, _, emit) in OPTIONS {
            if let Some(value) = emit(self) {
                write!(f, " {key}={}", emit_word(&value))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FetchConfig {
    /// A configuration that parses to an equal value: a line for each source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sources.iter().try_for_each(|source| writeln!(f, "{source}"))
    }
}
