//! The command line of `fetch_logs`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::fetcher::Fetcher;
use super::settings::{Settings, read_config};
use super::terms::{Recheck, SyncPolicy, Timing};
use crate::config::{DURATION_MAX, FetchConfig, parse_duration_within};
use crate::status::output::Output;
use crate::sys::cause::cause;
use crate::sys::limits;

/// A wait of nothing would be a hot loop or a failure every time.
fn parse_wait(text: &str) -> Result<Duration, String> {
    parse_duration_within(text, Duration::from_millis(1)..=DURATION_MAX)
}

/// Fetches the log files of many hosts, live and exactly, from their serve_logs.
#[derive(Parser, Debug)]
#[command(name = "fetch_logs", version)]
struct Args {
    /// Directory of the status files, one per host
    #[arg(required_unless_present = "demo")]
    snmp_dir: Option<PathBuf>,
    /// Configuration: a source a line, `host port remote local pointer`
    #[arg(required_unless_present = "demo")]
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
    /// Show it all on this machine: a responder, a fetcher, real logs and a rotation
    #[arg(long, conflicts_with_all = ["snmp_dir", "conf", "check"])]
    demo: bool,
    /// With --demo: end when everything is fetched
    #[arg(long, requires = "demo")]
    once: bool,
}

/// Runs `fetch_logs`. `demo`, which needs both ends, is given the value of `--once`.
pub fn main(demo: fn(once: bool) -> ExitCode) -> ExitCode {
    let args = Args::parse();
    if args.demo {
        return demo(args.once);
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
    let timing = Timing {
        reconnect: args.reconnect,
        connect_timeout: args.connect_timeout,
        reply_timeout: args.reply_timeout,
        idle_timeout: args.idle_timeout,
        sync: args.sync,
        recheck: args.recheck,
    };
    match run(Settings { snmp_dir, conf, timing }, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
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

fn run(settings: Settings, config: FetchConfig) -> Result<(), String> {
    fn cannot(what: impl Display) -> impl FnOnce(io::Error) -> String {
        move |error| format!("cannot {what}: {}", cause(&error))
    }
    let diagnostics = Output::to(std::io::stderr()).map_err(cannot("start a thread"))?;
    crate::status::output::start_log(diagnostics.clone());
    let event_log = Output::to(std::io::stdout()).map_err(cannot("start a thread"))?;
    let descriptors =
        limits::raise_descriptors().map_err(cannot("raise the limit of descriptors"))?;
    if descriptors < config.sources.len() as u64 * 2 + 64 {
        log::warn!("{descriptors} descriptors are few for {} sources", config.sources.len());
    }
    let snmp_dir = settings.snmp_dir.display().to_string();
    let mut fetcher = Fetcher::new(settings, event_log)
        .map_err(cannot(format_args!("use directory {snmp_dir}")))?;
    fetcher.obey_signals().map_err(cannot("catch signals"))?;
    let ended = fetcher.run(config).map_err(cannot("go on"));
    diagnostics.flush(Duration::from_millis(100));
    ended
}
