//! Signals as readiness.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::{SigHandler, Signal, signal};
pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
pub use signal_hook_mio::v1_0::Signals;

/// Registers for `wanted`; what arrives is read from the value, which is a mio event source.
pub fn catch(wanted: &[i32]) -> io::Result<Signals> {
    Signals::new(wanted)
}

/// Raises `flag` when somebody wants the process to end, for a program that has no loop to be told.
pub fn raise_flag(flag: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Lets SIGTERM and SIGINT end the process at once again, after a loop that was told of them is gone.
pub fn obey_by_default() -> io::Result<()> {
    for signal in [SIGTERM, SIGINT] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_default(signal, always)?;
    }
    Ok(())
}

/// Makes SIGXFSZ harmless: the kernel sends it with the error of a write beyond the limit of file size
/// (setrlimit(2)), and its default action is to end the process before anybody could tell.
pub fn ignore_sigxfsz() -> io::Result<()> {
    // SAFETY: ignoring a signal installs no handler, so nothing of ours runs in signal context.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// Makes SIGIO harmless. The kernel sends it to the holder of a file lease when somebody opens the
/// file for writing (fcntl(2), "Leases"), and its default action is to end the process.
pub fn ignore_sigio() -> io::Result<()> {
    // SAFETY: ignoring a signal installs no handler, so nothing of ours runs in signal context.
    unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) }?;
    Ok(())
}
