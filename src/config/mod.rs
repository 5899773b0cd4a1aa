//! Text to typed values: the bytes of a configuration file in, its meaning or all its faults out.
//!
//! ```text
//! bytes -> words -> fields and directives -> FetchConfig | ServeConfig -> text that parses again
//!                       \-> Faults: every one, with file, line and column
//! ```
//!
//! * [`words`](split_words) one line to words: blanks, quotes, comments; and a word to text again
//! * [`fault`](Faults) what is wrong and where, in sentences for the operator
//! * [`duration`](parse_duration) `200ms`, `5s`, `2m`, `1h`
//! * `path` normal forms and limits of paths
//! * [`host`](Host) addresses and names of hosts
//! * `net` addresses and networks of the allow list
//! * `glob` wildcards over the bytes of a name
//! * [`pattern`](Pattern) names that rotated files may have
//! * `claims` no two sources write to one file
//! * [`fetch`](parse_fetch) `fetch_logs.conf`: one source a line
//! * [`serve`](ServeConfig) `serve_logs.conf`: its values, defaults and text
//! * [`directives`](parse_serve) and how it is read, one directive a line
//!
//! Nothing here reads a file, asks the clock or looks up a name. Every default is a constant or a
//! `Default` of this room.

mod claims;
mod directives;
mod duration;
mod fault;
mod fetch;
mod glob;
mod host;
mod net;
mod path;
mod path_glob;
mod pattern;
mod serve;
mod words;

pub use crate::pos::PATH_BYTES_MAX;
pub use directives::parse_serve;
pub use duration::{DURATION_MAX, emit_duration, parse_duration, parse_duration_within};
pub use fault::{FAULTS_MAX, Fault, Faults};
pub use fetch::{FetchConfig, Protocol, SOURCES_MAX, SourceConfig, parse_fetch};
pub use host::{HOST_BYTES_MAX, Host};
pub use path_glob::PathGlob;
pub use pattern::{PATTERN_BYTES_MAX, Pattern};
pub use serve::{ServeConfig, ServedFile};
pub use words::{Word, WordFault, emit_word, plain_word, split_words};
