//! What the operator has set: the command line and the configuration.

use std::path::{Path, PathBuf};

use super::reach::Reach;
use super::room::Floor;
use super::terms::{Goal, Timing};
use crate::config::{FetchConfig, parse_fetch};
use crate::sys::cause::cause;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the status files are.
    pub snmp_dir: PathBuf,
    /// The configuration file, read again at SIGHUP.
    pub conf: PathBuf,
    /// Time limits.
    pub timing: Timing,
    /// What sources are fetched for.
    pub goal: Goal,
    /// What is to be left on the file systems of copies.
    pub floor: Floor,
    /// These may be kept by another machine.
    pub network_disk: bool,
    /// Where anything may be written.
    pub reach: Reach,
}

/// Reads the configuration; the error is for the operator, a line for each fault.
pub fn read_config(conf: &Path) -> Result<FetchConfig, String> {
    let name = conf.display().to_string();
    let text =
        std::fs::read(conf).map_err(|error| format!("cannot read {name}: {}", cause(&error)))?;
    parse_fetch(&name, &text).map_err(|faults| faults.to_string())
}
