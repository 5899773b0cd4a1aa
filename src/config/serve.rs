//! `serve_logs.conf`: one directive a line. The values shown are the defaults.
//!
//! ```text
//! listen 0.0.0.0:19                     # one or more; [::]:19 too
//! allow 10.4.3.0/24 192.0.2.7           # nobody without it
//! file /var/log/app.log                 # its rotations: /var/log/app.log.* and /var/log/app.log-*
//! file /var/log/messages /var/log/old/messages.*[0-9]*    # or what these patterns take
//! heartbeat 60s
//! check 5s
//! linger 60s
//! request-timeout 5s
//! max-connections 10000
//! max-per-address 5000
//! ```

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::duration::emit_duration;
use super::pattern::Pattern;
use super::words::emit_word;

/// What a responder has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServeConfig {
    /// Where it waits for fetchers: at least one, none twice. Port 0: any free one, for tests.
    pub listen: Vec<SocketAddr>,
    /// Who may ask; nobody if empty.
    pub allow: Vec<IpNet>,
    /// What may be asked for: at least one, no path twice.
    pub files: Vec<ServedFile>,
    /// How long it says nothing before it says that it is alive; 1 s to 1 h.
    pub heartbeat: Duration,
    /// How often it looks at a file without having been told of a change; 50 ms to 1 h.
    pub check: Duration,
    /// How long a rotated file is still followed for late writers; up to a day, may be zero.
    pub linger: Duration,
    /// How long a fetcher may take for its request line; 100 ms to 10 min.
    pub request_timeout: Duration,
    /// How many connections at once; 1 to 1,000,000.
    pub max_connections: usize,
    /// How many of them from one IPv4 address, or one IPv6 network of 64 bits; 1 to 1,000,000.
    pub max_per_address: usize,
}

impl Default for ServeConfig {
    /// What holds for a directive that is not given.
    fn default() -> ServeConfig {
        ServeConfig {
            listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 19))],
            allow: Vec::new(),
            files: Vec::new(),
            heartbeat: Duration::from_secs(60),
            check: Duration::from_secs(5),
            linger: Duration::from_secs(60),
            request_timeout: Duration::from_secs(5),
            max_connections: 10_000,
            max_per_address: 5_000,
        }
    }
}

/// One file that may be asked for. Two are equal whatever their lines.
#[derive(Clone, Debug)]
pub struct ServedFile {
    /// The line that says so, from 1.
    pub line: usize,
    /// Absolute, in normal form.
    pub path: PathBuf,
    /// The names its rotated files may have; at least one.
    pub patterns: Vec<Pattern>,
}

impl PartialEq for ServedFile {
    fn eq(&self, other: &ServedFile) -> bool {
        let ServedFile { line: _, path, patterns } = self;
        (path, patterns) == (&other.path, &other.patterns)
    }
}

impl Eq for ServedFile {}

impl fmt::Display for ServedFile {
    /// The directive as it was understood, its patterns written out. Without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", emit_word(self.path.as_os_str().as_bytes()))?;
        self.patterns.iter().try_for_each(|pattern| write!(f, " {pattern}"))
    }
}

impl fmt::Display for ServeConfig {
    /// A configuration that parses to an equal value, every default written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.listen.iter().try_for_each(|address| writeln!(f, "listen {address}"))?;
        self.allow.iter().try_for_each(|net| writeln!(f, "allow {net}"))?;
        self.files.iter().try_for_each(|file| writeln!(f, "{file}"))?;
        writeln!(f, "heartbeat {}", emit_duration(self.heartbeat))?;
        writeln!(f, "check {}", emit_duration(self.check))?;
        writeln!(f, "linger {}", emit_duration(self.linger))?;
        writeln!(f, "request-timeout {}", emit_duration(self.request_timeout))?;
        writeln!(f, "max-connections {}", self.max_connections)?;
        writeln!(f, "max-per-address {}", self.max_per_address)
    }
}
