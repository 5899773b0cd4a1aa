//! The command line of `fetch_logs`.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::fetcher::{Fetcher, Unfinished};
use super::list::{EVERYTHING, Place, check_pattern, list};
use super::reach::{self, Reach};
use super::room::Floor;
use super::settings::{Settings, read_config};
use super::terms::{Goal, Recheck, SyncPolicy, Timing};
use super::verify::verify;
use crate::config::{DURATION_MAX, FetchConfig, parse_duration_within};
use crate::status::output::Output;
use crate::sys::cause::cause;
use crate::sys::{limits, signal};

/// A wait of nothing would be a hot loop or a failure every time.
fn parse_wait(text: &str) -> Result<Duration, String> {
    parse_duration_within(text, Duration::from_millis(1)..=DURATION_MAX)
}

/// Fetches the log files of many hosts, live and exactly, from their serve_logs.
#[derive(Parser, Debug)]
#[command(name = "fetch_logs", version)]
struct Args {
    /// Directory of the status files, one per host
    #[arg(required_unless_present_any = ["demo", "list"])]
    snmp_dir: Option<PathBuf>,
    /// Configuration: a source a line, `host port remote local pointer`
    #[arg(required_unless_present_any = ["demo", "list"])]
    conf: Option<PathBuf>,
    /// Print each source as understood and exit: 0 if the configuration is right, 2 if not
    #[arg(long)]
    check: bool,
    /// First wait before connecting again; doubles up to a minute
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_wait)]
    reconnect: Duration,
    /// Longest wait for a connection
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse_wait)]
    connect_timeout: Duration,
    /// Longest wait for the answer to a request
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse_wait)]
    reply_timeout: Duration,
    /// Longest silence of a responder
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_wait)]
    idle_timeout: Duration,
    /// When what has arrived is synced to disk: within TIME, always or never
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = SyncPolicy::parse)]
    sync: SyncPolicy,
    /// When a rotated log is asked for once more, after it ended, for lines that came late; or never
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = Recheck::parse)]
    recheck: Recheck,
    /// What is left free on the file system of each copy, as a part or in bytes (20G): with less nothing
    /// more is read
    #[arg(long, value_name = "ROOM", default_value = "5%", value_parser = Floor::parse)]
    keep_free: Floor,
    /// Copies may be on a file system of another machine (NFS, SMB): its locks, renames and syncs are
    /// trusted
    #[arg(long)]
    network_disk: bool,
    /// Show it all on this machine: a responder, a fetcher, real logs and a rotation
    #[arg(long, conflicts_with_all = ["snmp_dir", "conf", "check"])]
    demo: bool,
    /// End when everything that there is now is fetched: 0 if all of it could be
    #[arg(long)]
    once: bool,
    /// Compare copies and archives with their sources by digest, and with the manifest: a line each, 0 if
    /// all are proved. With --once: when everything is fetched
    #[arg(long, conflicts_with_all = ["demo", "check"])]
    verify: bool,
    /// Print what a responder serves: inode, size, time of the last change, path; all, or what matches
    #[arg(
        long,
        value_names = ["HOST:PORT", "PATTERN"],
        num_args = 1..=2,
        conflicts_with_all = ["snmp_dir", "conf", "demo", "check", "once", "verify"],
    )]
    list: Vec<OsString>,
}

impl Args {
    fn timing(&self) -> Timing {
        Timing {
            reconnect: self.reconnect,
            connect_timeout: self.connect_timeout,
            reply_timeout: self.reply_timeout,
            idle_timeout: self.idle_timeout,
            sync: self.sync,
            recheck: match self.recheck {
                // Nobody is there any more when the time would come.
                Recheck::After(_) if self.once => Recheck::After(Duration::ZERO),
                recheck => recheck,
            },
        }
    }
}

/// Runs `fetch_logs`. `demo`, which needs both ends, is given the value of `--once`.
pub fn main(demo: fn(once: bool) -> ExitCode) -> ExitCode {
    let args = Args::parse();
    if args.demo {
        return demo(args.once);
    }
    let timing = args.timing();
    if let Some((place, pattern)) = args.list.split_first() {
        return print_list(place, pattern.first().map(OsString::as_os_str), &timing);
    }
    let (Some(snmp_dir), Some(conf)) = (args.snmp_dir, args.conf) else { return ExitCode::from(2) };
    let config = match read_config(&conf) {
        Ok(config) => config,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    };
    if args.check {
        return print_sources(&config);
    }
    let goal = if args.once { Goal::Once } else { Goal::Follow };
    let (floor, network_disk) = (args.keep_free, args.network_disk);
    let reach = Reach::default();
    let settings = Settings { snmp_dir, conf, timing, goal, floor, network_disk, reach };
    let done = match (args.once, args.verify) {
        (false, true) => prove(&config, &timing),
        (true, true) => fetch(settings, config.clone())
            .and_then(|complete| Ok(prove(&config, &timing)? && complete)),
        (_, false) => fetch(settings, config),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Names what failed, for the operator.
fn cannot(what: impl Display) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {what}: {}", cause(&error))
}

/// Fetches; tells what is not complete of what was to be, and gives whether all is.
fn fetch(settings: Settings, config: FetchConfig) -> Result<bool, String> {
    let unfinished = run(settings, config)?;
    unfinished.iter().for_each(|source| eprintln!("{source}"));
    Ok(unfinished.is_empty())
}

/// Verifies; gives whether all is proved.
fn prove(config: &FetchConfig, timing: &Timing) -> Result<bool, String> {
    // If it was fetched before, the signals were the fetcher's.
    signal::obey_by_default().map_err(cannot("give signals their meaning"))?;
    reach::confine_to_reading()?;
    let mut stdout = std::io::stdout();
    verify(config, timing, |line| writeln!(stdout, "{line}")).map_err(cannot("verify"))
}

fn print_list(place: &OsStr, pattern: Option<&OsStr>, timing: &Timing) -> ExitCode {
    let pattern = pattern.map_or(EVERYTHING, OsStr::as_bytes);
    let shown = place.to_string_lossy();
    let cannot = |cause: String| eprintln!("cannot list {shown}: {cause}");
    let place = check_pattern(pattern).and_then(|()| Place::parse(&shown));
    let place = match place {
        Ok(place) => place,
        Err(cause) => {
            cannot(cause);
            return ExitCode::from(2);
        }
    };
    if let Err(cause) = reach::confine_to_reading() {
        cannot(cause);
        return ExitCode::FAILURE;
    }
    let mut stdout = std::io::stdout().lock();
    match list(&place, pattern, timing, |row| writeln!(stdout, "{row}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            cannot(cause);
            ExitCode::FAILURE
        }
    }
}

fn print_sources(config: &FetchConfig) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match config.sources.iter().try_for_each(|source| writeln!(stdout, "{source}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(mut settings: Settings, config: FetchConfig) -> Result<Vec<Unfinished>, String> {
    let (reach, confined) = Reach::of(&settings, &config).confine()?;
    settings.reach = reach;
    let diagnostics = Output::to(std::io::stderr()).map_err(cannot("start a thread"))?;
    crate::status::output::start_log(diagnostics.clone());
    reach::tell(confined);
    let event_log = Output::to(std::io::stdout()).map_err(cannot("start a thread"))?;
    let descriptors =
        limits::raise_descriptors().map_err(cannot("raise the limit of descriptors"))?;
    if descriptors < config.sources.len() as u64 * 2 + 64 {
        log::warn!("{descriptors} descriptors are few for {} sources", config.sources.len());
    }
    let mut fetcher = Fetcher::new(settings, event_log).map_err(cannot("begin"))?;
    fetcher.obey_signals().map_err(cannot("catch signals"))?;
    let ended = fetcher.run(config).map_err(cannot("go on"));
    diagnostics.flush(Duration::from_millis(100));
    ended
}
