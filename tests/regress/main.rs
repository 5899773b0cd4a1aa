//! What was lost, repeated or said falsely once: each a test that failed then; both programs, real files.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/left_out.rs"]
mod left_out;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;
#[path = "../common/tracer.rs"]
mod tracer;

#[path = "../common/scripted.rs"]
mod scripted;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/truth.rs"]
mod truth;

mod attacked;
mod fetching;
mod misled;
mod power;
mod serving;
mod telling;

use std::fs;

use mirror::Mirror;

/// The copy and all archives, with their names.
fn shelf(mirror: &Mirror) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(mirror.copy.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())
        })
        .filter(|(name, _)| name.starts_with("app.log") && !name.contains("pointer"))
        .collect();
    all.sort();
    all
}
