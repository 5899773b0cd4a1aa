//! The responder: `serve_logs`.
//!
//! ```text
//! responder --- listeners, allow,     who comes in
//!     |    |    crowd                 and how many
//!     |    \--- hints                 which files have changed
//!     |
//!    conn ----- session -- tail       what to do next, and when a generation has ended
//!     |   \|--- files                 what may be asked for at all
//!     |    \--- seam                  whether a file still has what was sent of it
//!     |
//!    jobs ----- errands --- listing   what is done beside the loop; which files are served
//!                  |
//!               finder --- order      which file has the bytes asked for; `content` in protocol 2
//! ```
//!
//! `session`, `tail`, `order`, `allow`, `crowd` and `files` decide, and touch nothing; `finder` sees files
//! only through [`Logs`](crate::sys::logs::Logs); `conn`, `jobs` and `responder` carry out. What the
//! operator reads is in `sentences`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::config::{ServeConfig, parse_serve};
use crate::sys::cause::cause;
use crate::sys::limits::raise_descriptors;
use crate::sys::linux::confine::{Keep, Needs, Tcp, confine};
use crate::sys::text::read_whole;

pub mod allow;
pub mod conn;
pub mod crowd;
pub mod errands;
mod files;
pub mod finder;
mod hints;
pub mod jobs;
mod listeners;
pub mod listing;
pub mod order;
mod responder;
pub mod seam;
mod sentences;
pub mod session;
pub mod tail;
pub mod unpacking;

pub use files::{FileNo, Files, Rotated, Served};
pub use responder::Responder;

/// Longest configuration read: a million lines.
const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// What a responder needs besides its connections: standard streams, poll, watch, listeners, and a
/// directory being read.
const DESCRIPTORS_APART: u64 = 64;

/// Connections that are tried however few descriptors there are.
const CONNECTIONS_MIN: u64 = 16;

/// It reads, and answers who connects. A reload may name other directories and ports below 1024, so what
/// that takes is kept.
const NEEDS: Needs<'static> = Needs {
    write_below: &[],
    tcp: Tcp::Listens,
    capabilities: &[Keep::LowPorts, Keep::Leases, Keep::ReadAll],
};

/// Serves log files to the fetchers of a central host, as they are written.
#[derive(Debug, Parser)]
#[command(name = "serve_logs", version, about)]
struct Cli {
    /// Read CONF, print it as it was understood, and exit
    #[arg(long)]
    check: bool,
    /// The configuration: where to listen, whom to answer, which files to serve
    conf: PathBuf,
}

/// The program: 0 done, 1 failed, 2 usage or configuration.
pub fn main() -> ExitCode {
    let filter = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(filter).format_target(false).init();
    let cli = Cli::parse();
    let config = match read_config(&cli.conf) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    };
    let done = if cli.check { tell(&config) } else { serve(config, cli.conf) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", cause(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: ServeConfig, path: PathBuf) -> io::Result<()> {
    let limit = raise_descriptors()?;
    let connections = config.max_connections;
    if limit < 2 * connections as u64 + DESCRIPTORS_APART {
        sentences::few_descriptors(limit, connections, DESCRIPTORS_APART);
    }
    sentences::confined(confine(&NEEDS).map_err(|error| sentences::cannot_confine(&error))?);
    let mut responder = Responder::bind(config)?;
    responder.obey_signals(path)?;
    for address in responder.local_addrs() {
        tell(&format_args!("listening on {address}\n"))?;
    }
    responder.run()
}

/// How many connections there may be, so that each finds the two descriptors that it needs: without
/// the second a log could not even be looked at.
fn connections_of(config: &ServeConfig, descriptors: u64) -> usize {
    let room = (descriptors.saturating_sub(DESCRIPTORS_APART) / 2).max(CONNECTIONS_MIN);
    usize::try_from(room).unwrap_or(usize::MAX).min(config.max_connections)
}

/// Prints on standard output, at once.
fn tell(text: &dyn std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// The configuration in the file at `path`, or what is wrong with it.
fn read_config(path: &Path) -> Result<ServeConfig, String> {
    let text = read_whole(path, CONFIG_BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {}", path.display(), cause(&error)))?;
    parse_serve(&path.to_string_lossy(), &text).map_err(|faults| faults.to_string())
}
