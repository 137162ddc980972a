//! Attacks on everything that reads bytes of strangers, of backends, of operators and of disks, by libFuzzer.
//!
//! One program has all targets, so that it is linked once; `TARGET` in the environment chooses one. A target does more
//! than not to panic: it compares with somebody else's code for the same format, with a second, naive implementation, or
//! with what it has written itself, and holds what is allocated to a budget. `fuzz/run` builds and runs it.
#![no_main]

mod connection;
mod memory;
mod oracle;
mod targets;

use std::sync::OnceLock;

/// What is run with every input.
static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let run = CHOSEN.get_or_init(|| {
        // So that what it takes counts for no target.
        oracle::now(async {});
        let name = std::env::var("TARGET").unwrap_or_default();
        let found = targets::ALL.iter().find(|(known, _)| *known == name);
        let names: Vec<&str> = targets::ALL.iter().map(|(known, _)| *known).collect();
        found.unwrap_or_else(|| panic!("TARGET is one of {}", names.join(" "))).1
    });
    run(data);
});
