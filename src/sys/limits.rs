//! What the process may use.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors the process may have open.
pub fn descriptors() -> std::io::Result<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(soft)
}

/// Raises the soft limit of open descriptors to the hard one and gives what is in force: each
/// connection needs a descriptor or two, and the soft limit is 1,024 on most systems.
pub fn raise_descriptors() -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
