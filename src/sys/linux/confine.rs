//! Giving up what a program never needs, so that whoever takes it over finds it gone.
//!
//! Three things, each of the calling thread and of those that it starts from then on, and none of them
//! to be had back:
//!
//! * *Landlock* (landlock(7), from Linux 5.13 on): nothing is written, made, renamed or removed but
//!   below the directories named here, and nothing executed; from 6.7 on no TCP but in the direction
//!   named; from 6.12 on no signals to others, and no abstract sockets of theirs. What is open stays
//!   usable. Reading is left alone: see ARCHITECTURE.md.
//! * *no_new_privs* (prctl(2)): no program that is executed gives more rights.
//! * *Capabilities* (capabilities(7)): all but those named here.

use std::error::Error;
use std::io;
use std::path::Path;

use crate::sys::cause::cause;
use caps::runtime::thread_all_supported;
use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};

/// The newest Landlock whose rights are all judged here. What later ones can forbid as well is not
/// forbidden before somebody has thought about it: version 9 would take the service manager's socket.
const JUDGED: ABI = ABI::V6;

/// What a program needs.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// Directories below which it makes, writes, renames and removes files and directories. They
    /// exist.
    pub write_below: &'a [&'a Path],
    /// Which way it speaks TCP.
    pub tcp: Tcp,
    /// What it keeps of the capabilities that it has.
    pub capabilities: &'a [Keep],
}

/// Which way a program speaks TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tcp {
    /// Not at all.
    No,
    /// It listens and never connects.
    Listens,
    /// It connects and never listens.
    Connects,
}

/// A capability that a program of ours has a use for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// To listen at a port below 1024 (CAP_NET_BIND_SERVICE).
    LowPorts,
    /// To ask who writes to files of others (CAP_LEASE).
    Leases,
    /// To read files of others (CAP_DAC_READ_SEARCH).
    ReadAll,
    /// To write in directories of others (CAP_DAC_OVERRIDE).
    WriteAll,
}

/// What the kernel made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confined {
    /// All of it holds.
    Wholly,
    /// An older Landlock, which can't forbid everything; or capabilities could not be dropped, which is
    /// told.
    Partly,
    /// There is no Landlock, or it is switched off; the rest holds.
    WithoutLandlock,
}

/// Gives up all but what is needed. Call it before the program has threads.
///
/// An error if a directory can't be opened, or the kernel refuses what it is able to do.
pub fn confine(needs: &Needs<'_>) -> io::Result<Confined> {
    // A drop-in of a unit may give more capabilities than are kept, while its filter refuses capset. That
    // is as its operator wants it, and no reason not to start.
    let dropped = drop_capabilities(needs.capabilities)
        .inspect_err(|error| log::warn!("cannot give up capabilities: {error}"))
        .is_ok();
    let elsewhere = AccessFs::from_write(JUDGED) | AccessFs::Execute;
    let mut rules = Ruleset::default().handle_access(elsewhere).map_err(by_kernel)?;
    for &tcp in forbidden_tcp(needs.tcp) {
        rules = rules.handle_access(tcp).map_err(by_kernel)?;
    }
    let mut rules = rules.scope(scopes()).and_then(Ruleset::create).map_err(by_kernel)?;
    for dir in needs.write_below {
        let opened = PathFd::new(dir).map_err(by_kernel).map_err(|error| {
            let what = format!("cannot open {}: {}", dir.display(), cause(&error));
            io::Error::new(error.kind(), what)
        })?;
        let rule = PathBeneath::new(opened, WRITING);
        rules = rules.add_rule(rule).map_err(by_kernel)?;
    }
    let status = rules.restrict_self().map_err(by_kernel)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced if dropped => Confined::Wholly,
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Confined::Partly,
        RulesetStatus::NotEnforced => Confined::WithoutLandlock,
    })
}

/// What the kernel said, where it did.
fn by_kernel(error: impl Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(number) = one.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(number);
        }
        cause = one.source();
    }
    io::Error::other(error)
}

/// What is done in a directory where files are kept. No link, device, socket or pipe is made there.
const WRITING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

fn forbidden_tcp(needed: Tcp) -> &'static [AccessNet] {
    match needed {
        Tcp::No => &[AccessNet::BindTcp, AccessNet::ConnectTcp],
        Tcp::Listens => &[AccessNet::ConnectTcp],
        Tcp::Connects => &[AccessNet::BindTcp],
    }
}

/// A service manager may listen at an abstract socket (sd_notify(3)); then these stay allowed.
fn scopes() -> BitFlags<Scope> {
    let manager = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    match manager.as_encoded_bytes().first() {
        Some(b'@') => Scope::Signal.into(),
        _ => Scope::Signal | Scope::AbstractUnixSocket,
    }
}

fn drop_capabilities(kept: &[Keep]) -> Result<(), caps::errors::CapsError> {
    let kept: CapsHashSet = kept.iter().map(|keep| keep.capability()).collect();
    let permitted = caps::read(None, CapSet::Permitted)?;
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in thread_all_supported() {
            if !kept.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    // The unit's filter refuses capset, and gives no more than is kept: nothing is left to do then.
    if permitted.is_subset(&kept) {
        return Ok(());
    }
    let left: CapsHashSet = permitted.intersection(&kept).copied().collect();
    let effective = caps::read(None, CapSet::Effective)?;
    let effective: CapsHashSet = effective.intersection(&kept).copied().collect();
    caps::set(None, CapSet::Effective, &effective)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Permitted, &left)
}

impl Keep {
    fn capability(self) -> Capability {
        match self {
            Keep::LowPorts => Capability::CAP_NET_BIND_SERVICE,
            Keep::Leases => Capability::CAP_LEASE,
            Keep::ReadAll => Capability::CAP_DAC_READ_SEARCH,
            Keep::WriteAll => Capability::CAP_DAC_OVERRIDE,
        }
    }
}

#[cfg(test)]
mod tests;
