//! Where the fetcher may write: what it gives up, see `sys/linux/confine.rs`.
//!
//! It may write below the directories *above* those of copies, pointers and status files: so a directory
//! that somebody removes, replaces or mounts anew is found again, and a line that SIGHUP brings may name
//! a new one beside the others. One that is a link counts twice, as the link and as what it leads to. What lies
//! elsewhere needs a restart, and that is told: what was given up can't be had back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::config::{FetchConfig, SourceConfig};
use crate::sys::cause::cause;
use crate::sys::fs::{dir_of, existing, existing_above};
use crate::sys::linux::confine::{Confined, Keep, Needs, Tcp, confine};

/// For who is started as root: copies may be somebody else's.
const KEPT: [Keep; 2] = [Keep::ReadAll, Keep::WriteAll];

/// Directories below which this process may write; all of them if it is not confined.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// `None`: anywhere.
    below: Option<BTreeSet<PathBuf>>,
}

impl Reach {
    /// What these sources and status files need.
    pub fn of(settings: &Settings, config: &FetchConfig) -> Reach {
        let of_sources = config.sources.iter().flat_map(dirs).collect::<BTreeSet<_>>();
        let dirs = of_sources.into_iter().chain([settings.snmp_dir.as_path()]);
        // What can't be looked at can't be written to, either.
        let all: BTreeSet<PathBuf> = dirs.flat_map(above).collect();
        let inside = |path: &PathBuf| path.ancestors().skip(1).any(|above| all.contains(above));
        Reach { below: Some(all.iter().filter(|path| !inside(path)).cloned().collect()) }
    }

    /// Gives up all else. Call it before there are threads; the error is for the operator.
    pub fn confine(self) -> Result<(Reach, Confined), String> {
        let below: Vec<&Path> = self.below.iter().flatten().map(PathBuf::as_path).collect();
        let needs = Needs { write_below: &below, tcp: Tcp::Connects, capabilities: &KEPT };
        let confined = give_up(&needs)?;
        match confined {
            Confined::WithoutLandlock => Ok((Reach { below: None }, confined)),
            Confined::Wholly | Confined::Partly => Ok((self, confined)),
        }
    }

    /// The first directory of a source in which nothing can be written before a restart.
    pub fn lacks<'a>(&self, source: &'a SourceConfig) -> Option<&'a Path> {
        let below = self.below.as_ref()?;
        dirs(source).into_iter().find(|dir| {
            let there = existing(dir).unwrap_or_default();
            !there.ancestors().any(|above| below.contains(above))
        })
    }
}

/// Reading is all that a proof needs, and connecting.
pub fn confine_to_reading() -> Result<Confined, String> {
    let needs = Needs { write_below: &[], tcp: Tcp::Connects, capabilities: &KEPT };
    give_up(&needs)
}

/// Gives up all rights but those that are needed; the error is for the operator.
fn give_up(needs: &Needs<'_>) -> Result<Confined, String> {
    confine(needs).map_err(|error| format!("cannot give up rights: {}", cause(&error)))
}

/// What the kernel can't forbid us.
pub fn tell(confined: Confined) {
    match confined {
        Confined::Wholly => {
            log::debug!("can write where copies are, read and connect, and no more")
        }
        Confined::Partly => {
            log::info!(
                "cannot forbid myself all that I don't need, with the rights and the Landlock there are"
            );
        }
        Confined::WithoutLandlock => log::warn!(
            "cannot forbid myself to write elsewhere, execute and listen: the kernel gives no Landlock"
        ),
    }
}

/// What is above a directory: above its name, and above what it is if the name is a link.
fn above(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let of_name = existing_above(dir).ok();
    let of_place = existing(dir).ok().and_then(|place| existing_above(&place).ok());
    // Of a directory that is still to be made the nearest one above it is enough.
    let of_place = of_place.filter(|_| dir.exists());
    of_name.into_iter().chain(of_place)
}

fn dirs(source: &SourceConfig) -> [&Path; 2] {
    [dir_of(&source.local), dir_of(&source.pointer)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_fetch;

    fn source(dir: &Path, name: &str) -> SourceConfig {
        let copy = dir.join(name).display().to_string();
        let line = format!("192.0.2.7 19 /log {copy} {copy}.ptr\n");
        parse_fetch("conf", line.as_bytes()).unwrap().sources.remove(0)
    }

    #[test]
    fn a_directory_beside_the_others_is_in_reach_though_it_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("logs/web1")).unwrap();
        let reach = Reach { below: Some([base.join("logs")].into()) };
        for name in ["web1/log", "web2/log", "web2/deep/log"] {
            assert_eq!(reach.lacks(&source(&base.join("logs"), name)), None, "{name}");
        }
        let elsewhere = source(&base, "other/log");
        assert_eq!(reach.lacks(&elsewhere), Some(&*base.join("other")));
        assert_eq!(Reach::default().lacks(&elsewhere), None);
    }

    /// Found by reading: a line whose copy lies in a directory below which may be written, and not in one
    /// below that, was told to need a restart, and then worked: what is above it was looked for, not it.
    #[test]
    fn a_copy_right_in_a_directory_that_is_in_reach_needs_no_restart() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let reach = Reach { below: Some([base.clone()].into()) };
        assert_eq!(reach.lacks(&source(&base, "log")), None);
        assert_eq!(reach.lacks(&source(base.parent().unwrap(), "log")), base.parent());
    }

    #[test]
    fn a_directory_that_is_a_link_is_in_reach_by_both_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("disk/web1")).unwrap();
        std::fs::create_dir(base.join("logs")).unwrap();
        std::os::unix::fs::symlink(base.join("disk/web1"), base.join("logs/web1")).unwrap();
        let both = [base.join("logs"), base.join("disk")];
        assert_eq!(above(&base.join("logs/web1")).collect::<Vec<_>>(), both);
        assert_eq!(above(&base.join("logs/web2")).collect::<Vec<_>>(), both[..1]);
        assert!(above(&base.join("logs/web2/deep")).all(|above| above == both[0]));
        assert_eq!(above(Path::new("/")).last().as_deref(), Some(Path::new("/")));
    }
}
