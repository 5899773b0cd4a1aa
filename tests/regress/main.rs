//! What was lost, repeated or said falsely once: each a test that failed then; both programs, real files.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;

mod fetching;
mod serving;
