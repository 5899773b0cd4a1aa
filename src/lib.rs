//! `fetchlogs`: an exact, live mirror of many hosts' log files on one central host.
//!
//! The rooms of this house, and which way they may look:
//!
//! ```text
//! bin -> fetch | serve -> { proto, config, evloop, sys, status } -> pos
//! ```
//!
//! * [`pos`] the vocabulary every room may use: inodes, offsets, identities of files
//! * [`proto`] bytes to meaning and back, both ends of the wire
//! * [`config`] text to typed values, all faults listed at once
//! * [`fetch`] the fetcher: follows sources, keeps copies, pointers and archives
//! * [`serve`] the responder: finds generations and follows them
//! * [`evloop`] readiness to calls; knows mio and no word of the domain
//! * [`sys`] the kernel, and nothing else
//! * [`status`] what the operator sees: event lines, status files for SNMP
//! * [`demo`] both ends in one process, for somebody who wants to see it work
//! * [`agent`] the net-snmp `pass_persist` agent
//!
//! ARCHITECTURE.md says why; `tests/tidy.rs` holds what the compiler can't.

pub mod agent;
pub mod config;
pub mod demo;
pub mod evloop;
pub mod fetch;
pub mod pos;
pub mod proto;
pub mod serve;
pub mod status;
pub mod sys;
