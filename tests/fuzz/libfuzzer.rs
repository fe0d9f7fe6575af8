//! libFuzzer's way to what must hold for any bytes: `GATEHOUSE_FUZZ_TARGET` says which.

#![no_main]

use std::sync::LazyLock;

use gatehouse::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("GATEHOUSE_FUZZ_TARGET").unwrap_or_default();
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(" ");
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("GATEHOUSE_FUZZ_TARGET is none of: {}", known()))
});

fuzz_target!(|bytes: &[u8]| (CHOSEN.judge)(bytes));
