//! What a source host is like: how its logs are rotated, what its file system knows of files, and what
//! goes wrong there.

use std::sync::LazyLock;

use crate::rng::Rng;

/// Whether hosts are drawn on which compressed logs are damaged, and logs are copied and emptied where other
/// things go wrong as well. Of what is wrong there not all is known yet to be the nature of things or a fault.
fn is_wild() -> bool {
    static WILD: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("FETCHLOGS_SIM_WILD").is_some());
    *WILD
}

/// How rotated files are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Naming {
    /// `log.1` is the newest.
    #[default]
    Counter,
    /// `log-1790000000` is from then.
    Stamp,
}

/// What a host does beyond what protocol 1 can bear. Chances are of ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    pub naming: Naming,
    /// What is in a file may be lost.
    pub lossy: bool,
    /// Rotated files are in a directory of their own.
    pub apart: bool,
    /// The file system knows no births; it knows generations of inodes.
    pub no_births: bool,
    pub generations: bool,
    /// Lines have all bytes, 0x07 as well.
    pub bells: bool,
    /// A rotation is a copy that is made of the log, which is then emptied.
    pub copied: u64,
    /// Lines come between the copy and the emptying.
    pub between: bool,
    /// A rotated file is compressed at a rotation, but for the newest if that is delayed.
    pub packed: u64,
    pub delayed: bool,
    /// What was compressed is damaged.
    pub damaged: u64,
    /// The host loses power, at a deed.
    pub power: u64,
    /// The log becomes an earlier state of itself; the same, from a backup, as another file.
    pub rollback: u64,
    pub restored: u64,
    /// The log is deleted.
    pub deleted: u64,
}

impl Host {
    /// Without what is drawn apart where files are deleted there, or generations begin alike: of what was
    /// compressed there, not all is known yet to be the nature of things or a fault.
    pub fn tamed(mut self, deleting: bool, alike: bool) -> Host {
        if (deleting || alike) && !is_wild() {
            self.packed = 0;
        }
        self
    }

    /// One that loses nothing, or one where everything may happen.
    pub fn draw(rng: &mut Rng, lossy: bool) -> Host {
        let mut some = |of: &[u64]| if rng.coin() { rng.pick(of) } else { 0 };
        let mut host = Host {
            naming: if some(&[1]) == 1 { Naming::Stamp } else { Naming::Counter },
            apart: some(&[1]) * some(&[1]) == 1,
            no_births: false,
            generations: some(&[1]) == 1,
            bells: true,
            copied: some(&[1]) * some(&[5000, 10_000, 10_000]),
            packed: some(&[2000, 10_000]),
            delayed: some(&[1]) == 1,
            ..Host::default()
        };
        if lossy {
            host.lossy = true;
            host.rollback = some(&[50, 200]);
        }
        if lossy && !is_wild() {
            host.copied = 0;
        }
        if lossy && is_wild() {
            host.between = some(&[1]) == 1;
            host.damaged = some(&[1]) * some(&[3000]);
        }
        if lossy {
            // An honest exception: without births only times tell a copy from the log that was emptied.
            host.no_births = some(&[1]) == 1 && host.copied == 0;
            host.power = some(&[50, 300]);
            host.restored = some(&[50, 200]);
            host.deleted = some(&[50, 200]);
        }
        host
    }
}
