//! The adapters that tests run on: every one of Vulkan's and GL's, or what `GMEM_TEST_ADAPTER` (vulkan, gl, none) leaves.

use gmem::gpu::{AdapterChoice, BackendName, adapters as present};

use crate::skipped::skipped;

/// One choice per backend that has an adapter; what is skipped is said.
pub fn adapters() -> Vec<AdapterChoice> {
    let wanted = std::env::var("GMEM_TEST_ADAPTER").unwrap_or_default();
    let present = present();
    let mut out = Vec::new();
    for backend in BackendName::ALL {
        if !wanted.is_empty() && wanted != backend.name() {
            continue;
        }
        if present.iter().any(|a| a.backend == backend.name()) {
            out.push(AdapterChoice::Backend(backend));
        }
    }
    if out.is_empty() {
        let names: Vec<&str> = present.iter().map(|a| a.name.as_str()).collect();
        skipped(format_args!(
            "GMEM_TEST_ADAPTER is `{wanted}` and the adapters here are {names:?}"
        ));
    }
    out
}
