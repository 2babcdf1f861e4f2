#![no_main]

#[path = "../registry_checks.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod registry_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_checks::manifests(data));
