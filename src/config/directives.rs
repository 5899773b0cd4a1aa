//! The directives of `serve_logs.conf`, one by one: what each may say, and how often.
//!
//! `listen`, `allow` and `file` add to what was said before; all others are said once at most.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use super::duration::parse_duration_within;
use super::fault::Faults;
use super::net::parse_net;
use super::path::{check_length, check_names_file, check_normal};
use super::pattern::Pattern;
use super::serve::{ServeConfig, ServedFile};
use super::words::{Word, show, split_lines};

const HEARTBEAT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const CHECK: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3600);
const LINGER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
const REQUEST_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);
/// Also of `max-per-address`.
const MAX_CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;

/// Reads a configuration; `file` is what its faults call it.
pub fn parse_serve(file: &str, text: &[u8]) -> Result<ServeConfig, Faults> {
    let mut reading = Reading {
        config: ServeConfig { listen: Vec::new(), ..ServeConfig::default() },
        faults: Faults::new(file),
        listens: HashMap::new(),
        paths: HashMap::new(),
        scalars: HashMap::new(),
        files_asked: false,
    };
    for (line, bytes) in split_lines(text) {
        match reading.faults.take_words(line, bytes) {
            Some(words) => reading.read_line(line, &words),
            None => reading.files_asked = true, // perhaps: better one fault less than a wrong one
        }
    }
    if !reading.files_asked {
        let text = "cannot find any file to serve: no line says file /path".to_owned();
        reading.faults.note(0, 0, text);
    }
    let mut config = reading.config;
    if config.listen.is_empty() {
        config.listen = ServeConfig::default().listen;
    }
    reading.faults.finish(config)
}

/// A configuration half read. The maps tell the line that said something first.
struct Reading {
    config: ServeConfig,
    faults: Faults,
    listens: HashMap<SocketAddr, usize>,
    paths: HashMap<PathBuf, usize>,
    scalars: HashMap<Vec<u8>, usize>,
    files_asked: bool,
}

impl Reading {
    fn read_line(&mut self, line: usize, words: &[Word]) {
        let Some((name, values)) = words.split_first() else { return };
        match name.bytes.as_slice() {
            b"listen" => self.read_listen(line, name, values),
            b"allow" => self.read_allow(line, name, values),
            b"file" => self.read_file(line, name, values),
            b"heartbeat" => {
                let value =
                    self.take_scalar(line, name, values, |v| parse_duration_within(v, HEARTBEAT));
                self.config.heartbeat = value.unwrap_or(self.config.heartbeat);
            }
            b"check" => {
                let value =
                    self.take_scalar(line, name, values, |v| parse_duration_within(v, CHECK));
                self.config.check = value.unwrap_or(self.config.check);
            }
            b"linger" => {
                let value =
                    self.take_scalar(line, name, values, |v| parse_duration_within(v, LINGER));
                self.config.linger = value.unwrap_or(self.config.linger);
            }
            b"request-timeout" => {
                let value = self
                    .take_scalar(line, name, values, |v| parse_duration_within(v, REQUEST_TIMEOUT));
                self.config.request_timeout = value.unwrap_or(self.config.request_timeout);
            }
            b"max-connections" => {
                let value = self.take_scalar(line, name, values, |v| count(v, MAX_CONNECTIONS));
                self.config.max_connections = value.unwrap_or(self.config.max_connections);
            }
            b"max-per-address" => {
                let value = self.take_scalar(line, name, values, |v| count(v, MAX_CONNECTIONS));
                self.config.max_per_address = value.unwrap_or(self.config.max_per_address);
            }
            unknown => {
                let text = format!("cannot use directive {}: unknown", show(unknown));
                self.faults.note(line, name.column, text);
            }
        }
    }

    /// Notes a fault if a directive has no value.
    fn want_values(&mut self, line: usize, name: &Word, values: &[Word], form: &str) {
        if values.is_empty() {
            let text = format!("cannot read {}: nothing follows, wanted is {form}", as_text(name));
            self.faults.note(line, name.column, text);
        }
    }

    fn read_listen(&mut self, line: usize, name: &Word, values: &[Word]) {
        self.want_values(line, name, values, "ADDRESS:PORT");
        for word in values {
            let Some(address) = self.faults.take(line, word, parse_listen) else { continue };
            if let Some(first) = self.listens.get(&address) {
                let text = format!("cannot listen on {address} again: line {first} has it already");
                self.faults.note(line, word.column, text);
                continue;
            }
            self.listens.insert(address, line);
            self.config.listen.push(address);
        }
    }

    fn read_allow(&mut self, line: usize, name: &Word, values: &[Word]) {
        self.want_values(line, name, values, "an address or a network");
        for word in values {
            let net = self.faults.take(line, word, |bytes| {
                parse_net(bytes).map_err(|cause| format!("cannot allow {}: {cause}", show(bytes)))
            });
            self.config.allow.extend(net);
        }
    }

    fn read_file(&mut self, line: usize, name: &Word, values: &[Word]) {
        self.files_asked = true;
        self.want_values(line, name, values, "a path and patterns for its rotated files");
        let Some((path_word, pattern_words)) = values.split_first() else { return };
        let path = self.faults.take(line, path_word, parse_path);
        let mut patterns = Vec::with_capacity(pattern_words.len().max(2));
        for word in pattern_words {
            let pattern = self.faults.take(line, word, |bytes| {
                Pattern::parse(bytes)
                    .map_err(|cause| format!("cannot use pattern {}: {cause}", show(bytes)))
            });
            patterns.extend(pattern);
        }
        let Some(path) = path else { return };
        if let Some(first) = self.paths.get(&path) {
            let path = show(&path_word.bytes);
            let text = format!("cannot serve {path} again: line {first} has it already");
            return self.faults.note(line, path_word.column, text);
        }
        if pattern_words.is_empty() {
            patterns = Pattern::defaults(&path_word.bytes);
        }
        self.paths.insert(path.clone(), line);
        self.config.files.push(ServedFile { line, path, patterns });
    }

    /// The one value of a directive that may be given once; `None` with its fault noted.
    fn take_scalar<T>(
        &mut self,
        line: usize,
        name: &Word,
        values: &[Word],
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let directive = as_text(name);
        if let Some(first) = self.scalars.get(&name.bytes) {
            let text = format!("cannot set {directive} again: line {first} sets it already");
            self.faults.note(line, name.column, text);
            return None;
        }
        self.scalars.insert(name.bytes.clone(), line);
        let [word] = values else {
            let count = values.len();
            let text = format!("cannot read {directive}: it has {count} values, wanted is one");
            self.faults.note(line, name.column, text);
            return None;
        };
        self.faults.take(line, word, |bytes| {
            // What is not UTF-8 is no digit: the parser refuses the replacement as well.
            parse(&String::from_utf8_lossy(bytes))
                .map_err(|cause| format!("cannot read {directive} {}: {cause}", show(bytes)))
        })
    }
}

/// The name of a known directive.
fn as_text(name: &Word) -> String {
    String::from_utf8_lossy(&name.bytes).into_owned()
}

fn count(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|value| digits && range.contains(value));
    value.ok_or_else(|| format!("not a number from {} to {}", range.start(), range.end()))
}

fn parse_listen(bytes: &[u8]) -> Result<SocketAddr, String> {
    let address = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    address.ok_or_else(|| {
        let wanted = "not ADDRESS:PORT, as in 0.0.0.0:19 or [::]:19";
        format!("cannot listen on {}: {wanted}", show(bytes))
    })
}

fn parse_path(bytes: &[u8]) -> Result<PathBuf, String> {
    check_normal(bytes)
        .and_then(|()| check_names_file(bytes))
        .and_then(|()| check_length(bytes))
        .map_err(|cause| format!("cannot serve {}: {cause}", show(bytes)))?;
    Ok(PathBuf::from(OsString::from_vec(bytes.to_vec())))
}
