//! The net-snmp `pass_persist` agent: shows the fetcher's status files to snmpd.
//!
//! # Theory of operation
//!
//! snmpd starts `snmp_from_file SNMP_DIR` at the first request for a subtree given to it by a
//! `pass_persist` line, and keeps it: requests come in on standard input, answers go out on
//! standard output, end of input is the end. snmpd waits for each answer and serves nobody
//! meanwhile, so answers come from memory: the directory is looked at when a request finds the last
//! look older than a second (longer, when looking takes long: see [`LOOKING_SHARE`]).
//!
//! ```text
//! protocol   bytes in, requests out; answers in, bytes out; no I/O
//! oid        object identifiers and their order
//! table      which OID has which value; no I/O, the time is a parameter
//! verdict    what a status file says at a moment, and all texts
//! directory  the status files on disk
//! ```
//!
//! snmpd gives the agent one pipe for standard output and standard error, so a single word of
//! warning would be taken for an answer: once the arguments are understood, standard error leads to
//! /dev/null, and what there is to tell is told as values (`fetchlogsDirectoryText`).
//!
//! One process knows both subtrees; snmpd starts one per `pass_persist` line all the same.
//! What is not here: traps, and writing. `set` is refused.

pub mod directory;
pub mod oid;
pub mod protocol;
pub mod table;
pub mod verdict;

use crate::config::parse_duration;
use crate::sys::clock;
use crate::sys::linux::confine::{Keep, Needs, Tcp, confine};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use directory::{Directory, HOSTS_MAX};
use oid::Oid;
use protocol::{Answer, Request, Requests, Value};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use table::{Tree, View, index_of};

/// Shortest time between two looks at the directory.
pub const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A look that took `t` is not repeated for `t` times this, so that an enormous directory costs
/// snmpd a tenth of its time and not all of it.
pub const LOOKING_SHARE: u32 = 10;

/// It reads, and speaks to nobody but through the pipes that it was given.
const NEEDS: Needs<'static> =
    Needs { write_below: &[], tcp: Tcp::No, capabilities: &[Keep::ReadAll] };

/// Shows the status files of fetch_logs to net-snmp, as a `pass_persist` agent.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Directory with one status file per host
    snmp_dir: PathBuf,

    /// Root of the compatible tree: BASE_OID.a.b.c.d is the text of the host a.b.c.d
    #[arg(default_value = ".1.3.6.1.4.99.1")]
    base_oid: Oid,

    /// Root of the table of all hosts, see FETCHLOGS-MIB
    #[arg(long, value_name = "OID", default_value = ".1.3.6.1.4.1.32473.99.1")]
    table_oid: Oid,

    /// How long a status file holds after its last touch
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    stale: Duration,
}

/// The program `snmp_from_file`: 0 at the end of input, 1 when a pipe fails, 2 for wrong arguments.
pub fn main() -> ExitCode {
    let parsed = Arguments::try_parse().and_then(|arguments| {
        let tree = Tree::new(arguments.base_oid, arguments.table_oid)
            .map_err(|e| Arguments::command().error(ErrorKind::ArgumentConflict, e))?;
        Ok(Agent::new(Directory::new(arguments.snmp_dir), tree, arguments.stale))
    });
    let mut agent = match parsed {
        Ok(agent) => agent,
        Err(e) => {
            let _nobody_listens = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    if let Err(e) = silence_stderr() {
        eprintln!("cannot open /dev/null: {e}");
        return ExitCode::FAILURE;
    }
    // A kernel without Landlock can't be told of here, and the agent is as good without it.
    if confine(&NEEDS).is_err() {
        return ExitCode::FAILURE;
    }
    match serve(&mut agent, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Answers requests until the end of `input`.
pub fn serve(agent: &mut Agent, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut chunk = [0; 4096];
    loop {
        let length = match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        requests.handle_input(&chunk[..length]);
        let mut reply = Vec::new();
        while let Some(request) = requests.poll_request() {
            agent.answer(&request, &mut reply);
        }
        output.write_all(&reply)?;
        output.flush()?;
    }
}

/// A directory, the tree it is shown as, and when it was last looked at.
pub struct Agent {
    directory: Directory,
    tree: Tree,
    stale: Duration,
    fault: Option<String>,
    look_again: Option<Instant>,
}

impl Agent {
    /// Shows `directory` as `tree`; a status file holds for `stale`. Nothing is looked at yet.
    pub fn new(directory: Directory, tree: Tree, stale: Duration) -> Agent {
        Agent { directory, tree, stale, fault: None, look_again: None }
    }

    /// Appends the reply to `request`.
    pub fn answer(&mut self, request: &Request, reply: &mut Vec<u8>) {
        match request {
            Request::Ping => protocol::emit_pong(reply),
            Request::Set => protocol::emit_not_writable(reply),
            Request::NoOid => protocol::emit_answer(None, reply),
            Request::Get(oid) => protocol::emit_answer(self.get(oid).as_ref(), reply),
            Request::GetNext(oid) => {
                self.look();
                let answer = self.tree.next(oid, &self.view(&self.directory.path_text()));
                protocol::emit_answer(answer.as_ref(), reply);
            }
        }
    }

    /// Every IPv4 address has an answer in the compatible tree: for an unknown one it says what
    /// `stat` said just now. So a host that was never fetched is an error, not a missing object.
    fn get(&mut self, oid: &Oid) -> Option<Answer> {
        self.look();
        if let Some(address) = self.tree.compatible_address(oid) {
            let name = address.to_string();
            if !self.directory.hosts().contains_key(&index_of(name.as_bytes())) {
                let host = self.directory.look(&name);
                let text = host.found.text(&host.path, clock::system(), self.stale);
                return Some(Answer { oid: oid.clone(), value: Value::Text(text) });
            }
        }
        self.tree.get(oid, &self.view(&self.directory.path_text()))
    }

    fn look(&mut self) {
        let begin = clock::now();
        if self.look_again.is_some_and(|due| begin < due) {
            return;
        }
        self.fault = self.directory.scan(clock::system(), HOSTS_MAX).err();
        self.look_again = Some(clock::now() + LOOK_PAUSE.max(begin.elapsed() * LOOKING_SHARE));
    }

    fn view<'a>(&'a self, directory: &'a str) -> View<'a> {
        View {
            hosts: self.directory.hosts(),
            fault: self.fault.as_deref(),
            directory,
            now: clock::system(),
            stale: self.stale,
        }
    }
}

fn silence_stderr() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(nix::unistd::dup2_stderr(null)?)
}
