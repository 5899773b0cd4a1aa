//! The kernel, and nothing else: files, sockets, signals, clocks, limits.
//!
//! The rooms that decide act on files only through the traits here, so that the simulation can put
//! itself in the kernel's place: [`fs::Fs`] is the fetcher's store, [`logs::Logs`] the responder's
//! read-only view. Every `unsafe` line of the crate is in this room.

pub mod cause;
pub mod clock;
pub mod fs;
pub mod limits;
pub mod linux;
pub mod logs;
pub mod net;
pub mod service;
pub mod signal;
pub mod text;
pub mod unpack;
pub mod workers;
