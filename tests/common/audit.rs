//! What must hold of a quiet space whatever happened to it before: mappings, translations, frames and copies agree.

use std::collections::HashMap;
use std::sync::Arc;

use gmem_hal::{ByteRange, FrameIndex, FrameRun, NodeId};
use gmem_runtime::AddressSpace;
use gmem_sim::SimDevice;

use super::flat::Allocation;

/// Checks everything, page by page, against the oracle's bytes.
pub fn audit(
    space: &AddressSpace,
    devices: &[(NodeId, Arc<SimDevice>)],
    allocations: &[Allocation],
) {
    let geometry = space.geometry();
    // A CPU thread goes on as soon as its page is mapped; who mapped it may still hold the block to write that down.
    for a in allocations {
        for page in geometry.pages_of(ByteRange::new(a.offset, a.bytes.len() as u64)) {
            let _ = space.query(geometry.va(page << geometry.page.shift()));
        }
    }
    space.check().expect("frames and mappings agree");
    let page = geometry.page.bytes();
    let tables: Vec<HashMap<u64, (FrameIndex, bool)>> = devices
        .iter()
        .map(|(_, d)| {
            d.entries()
                .into_iter()
                .filter_map(|e| Some((e.page, e.frame?)))
                .collect()
        })
        .collect();
    for ((node, device), table) in devices.iter().zip(&tables) {
        let (frames, bytes) = space.device(*node).expect("it is attached");
        assert_eq!(
            frames.used as usize,
            table.len(),
            "frames in use and translations of {node:?}"
        );
        assert_eq!(frames.retiring, 0, "nothing retires in a quiet space");
        assert_eq!(
            u64::from(frames.total()) * page,
            bytes.windows,
            "all windows are in the pool of {node:?}"
        );
        let held: std::collections::HashSet<_> = table.values().map(|t| t.0).collect();
        assert_eq!(held.len(), table.len(), "no frame holds two pages");
        for (&page, &(_, writable)) in table {
            let mapping = space
                .query(geometry.va(page * geometry.page.bytes()))
                .expect("in the space")
                .mapping;
            assert!(mapping.is_consistent(), "{mapping:?}");
            assert!(
                mapping.valid.has(*node),
                "{node:?} translates page {page} without a valid copy: {mapping:?}"
            );
            assert_eq!(
                writable,
                mapping.writer == Some(*node),
                "rights of {node:?} on page {page}: {mapping:?}"
            );
        }
        assert!(device.total_calls() > 0);
    }
    for allocation in allocations {
        let all = ByteRange::new(allocation.offset, allocation.bytes.len() as u64);
        for p in geometry.pages_of(all) {
            let mapping = space
                .query(geometry.va(p * page))
                .expect("in the space")
                .mapping;
            assert!(mapping.is_consistent(), "{mapping:?}");
            let from = all.offset.max(p * page);
            let to = all.end().min((p + 1) * page);
            let expected =
                &allocation.bytes[(from - all.offset) as usize..(to - all.offset) as usize];
            if mapping.valid.is_empty() {
                assert!(expected.iter().all(|&b| b == 0), "page {p} was forgotten");
            }
            // The alias needs no fault; in a quiet space nobody writes it either.
            if mapping.valid.has(NodeId::HOST) || mapping.valid.is_empty() {
                let mut bytes = vec![0; expected.len()];
                space.host().read_bytes(from, &mut bytes);
                same(&bytes, expected, || {
                    format!("the host's copy of page {p}, {mapping:?}")
                });
            }
            for ((node, device), table) in devices.iter().zip(&tables) {
                let entry = table.get(&p);
                assert_eq!(
                    entry.is_some(),
                    mapping.valid.has(*node),
                    "translation of page {p} on {node:?}"
                );
                if let Some(&(frame, _)) = entry {
                    let copy = device.frame_bytes(FrameRun::new(frame, 1));
                    let bytes = &copy[(from - p * page) as usize..(to - p * page) as usize];
                    same(bytes, expected, || {
                        format!("the copy of page {p} on {node:?}, {mapping:?}")
                    });
                }
            }
        }
    }
}

/// Asserts that bytes are equal, and says where they first are not.
#[track_caller]
pub fn same(found: &[u8], expected: &[u8], what: impl Fn() -> String) {
    assert_eq!(found.len(), expected.len());
    if found != expected {
        let at = found
            .iter()
            .zip(expected)
            .position(|(a, b)| a != b)
            .expect("they differ");
        let wrong = found.iter().zip(expected).filter(|(a, b)| a != b).count();
        panic!(
            "{}: {wrong} bytes wrong, from {at} on: {:#x} for {:#x}",
            what(),
            found[at],
            expected[at]
        );
    }
}
