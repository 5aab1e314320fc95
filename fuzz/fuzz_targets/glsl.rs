//! Arbitrary bytes as GLSL: see `shaders/tests/front/hostile.rs`.
#![no_main]

#[path = "../../shaders/tests/front/hostile.rs"]
#[allow(dead_code, reason = "each target reads one language")]
mod hostile;

// libFuzzer's hook ends the process at every panic: those that become errors must not reach it.
libfuzzer_sys::fuzz_target!(init: { hostile::keep_quiet(); }, |bytes: &[u8]| {
    hostile::glsl(bytes);
});
