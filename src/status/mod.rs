//! What the operator sees: event lines on stdout, and a status file per host for SNMP.
//!
//! * [`event`] everything that can be told of a source, and the sentences for it
//! * [`repeats`] which of a source's faults are told again, and when
//! * [`hosts`] one status file per host
//! * [`output`] writing lines without ever waiting for whoever reads them

pub mod event;
pub mod hosts;
pub mod output;
pub mod repeats;
