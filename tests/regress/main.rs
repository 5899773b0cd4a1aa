//! What was lost or repeated once, and nobody was told: both programs, real files.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;
mod serving;
