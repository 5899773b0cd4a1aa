//! Networks that cut, stall, split, repeat, reorder and alter what is sent: the real programs, with
//! something between them that does so, and in network namespaces of their own.
//!
//! `FETCHLOGS_NETWORK=N` has N rounds of what happens at each byte. `FETCHLOGS_SEED=N` repeats the chances
//! of a run, which prints its seed. What can't be run here (not root) is told on standard error, and in
//! the file that `FETCHLOGS_LEFT_OUT` names.

#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod cut;
#[path = "../common/left_out.rs"]
mod left_out;
mod proxy;
#[path = "../common/tally.rs"]
mod tally;
mod town;
mod world;
