//! The fetcher: one process, one loop, one connection for each source.
//!
//! What it keeps for a source is an exact copy, the archives that the copy became when its generation
//! ended, and a pointer that says how much of it is on disk. Deciding and acting are apart:
//!
//! * [`source`] the life of one source; pure: facts in, outputs out; [`terms`] the words for both
//! * [`late`] the life of those of its generations that have ended; pure as well
//! * [`copy`](mod@copy) where bytes that arrive go, and how they are compared
//! * [`store`] the crash-safe sequences, in file system calls that can each be the last
//! * [`pointer`](mod@pointer) the pointer file; [`manifest`](mod@manifest) what became of what has ended
//! * [`checkpoint`] making what has arrived durable, alone or many together; [`due`] which are next
//! * [`backoff`] how long to wait; [`haste`] how often not to
//! * [`room`] how much is to be left on the file systems of copies
//! * [`fetcher`] the loop, which carries out what the above say; [`entry`] a row of its table
//! * [`conn`] a socket; [`reading`] what came through it; [`jobs`], [`recheck`](mod@recheck) what waits for disks and name servers
//! * [`reach`] where it may write at all
//! * [`board`] when status files are written
//! * [`mod@verify`] whether copies and archives are what their sources and the manifest say
//! * [`list`] what a responder serves; [`dial`] how a thread that waits asks one
//! * [`cli`], [`settings`] the command line and the configuration

pub mod backoff;
pub mod board;
pub mod checkpoint;
pub mod cli;
pub mod conn;
pub mod copy;
pub mod dial;
pub mod due;
pub mod entry;
pub mod fetcher;
pub mod haste;
pub mod jobs;
pub mod late;
pub mod list;
pub mod manifest;
pub mod pointer;
pub mod reach;
pub mod reading;
pub mod recheck;
pub mod room;
pub mod settings;
pub mod source;
pub mod store;
pub mod terms;
pub mod verify;
