//! What a disk that failed for a moment once cost.

use std::path::Path;
use std::process::Command;

use crate::common::Program;
use crate::left_out::{left_out, tell};
use crate::mirror::{Mirror, lines};

/// Whether strace can have a call fail here.
fn can_fail() -> bool {
    const FILE: &str = "tests/regress";
    if left_out(FILE, &["strace"]) {
        return false;
    }
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        tell(FILE, "a read that fails: strace can't be used");
    }
    works
}

/// Starts the fetcher, for which the first two reads of the copy fail.
fn fetch_failing(mirror: &Mirror) -> Program {
    let base = mirror.log.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o"]).arg(base.join("trace")).arg("-P").arg(&mirror.copy);
    command.args(["-e", "trace=pread64", "-e", "inject=pread64:error=EIO:when=1..2"]);
    command.arg(env!("CARGO_BIN_EXE_fetch_logs")).args(["--reconnect", "100ms"]);
    Program::spawn(command.arg(base.join("snmp")).arg(base.join("fetch_logs.conf")))
}

/// Found by power losses: a copy that could not be read when it was asked for was asked for without digests.
/// A log that had been copied and emptied in place meanwhile was known by its number only, and that file was
/// too short: what its copy still had was told as lost and never fetched.
#[test]
fn a_copy_that_cannot_be_read_for_a_moment_is_not_asked_for_without_its_digests() {
    if !can_fail() {
        return;
    }
    let mut mirror = Mirror::of(&lines("old", 2000));
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    mirror.append(&lines("between", 100));
    mirror.copytruncate(b"new\n");
    let fetcher = fetch_failing(&mirror);
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.said("lost"), 0, "{}", fetcher.stdout());
    fetcher.wait_said("ERR cannot read copy");
}
