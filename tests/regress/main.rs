//! Faults that a hostile look found, each as a test that failed then.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;

mod fetching;
