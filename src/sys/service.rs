//! What the service manager is told, if there is one (`NOTIFY_SOCKET`). Nothing depends on it, so a
//! manager that does not listen is none.

use std::io;

use sd_notify::NotifyState;

/// We are at work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => complain(&error),
    }
}

/// We are about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        complain(&error);
    }
}

fn complain(error: &io::Error) {
    log::debug!("cannot tell the service manager: {error}");
}
