//! libFuzzer over one of the targets of `tests/corpora`, the one that FETCHLOGS_FUZZ names. `fuzz/run`
//! builds and starts it.

#![no_main]

#[path = "../../tests/corpora/targets/mod.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use targets::{LEN_MAX, Target};

#[global_allocator]
static COUNTING: targets::memory::Counting = targets::memory::Counting;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    // A decoder of somebody else may panic, since that is caught. What is not ends the process.
    drop(std::panic::take_hook());
    let name = std::env::var("FETCHLOGS_FUZZ").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("no target is called {name:?}"))
});

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.len() > LEN_MAX {
        return Corpus::Reject;
    }
    TARGET.check(data);
    Corpus::Keep
});
