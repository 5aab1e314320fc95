//! A linked list built by the CPU with ordinary pointers, walked by a (simulated) device through the same addresses,
//! in device memory smaller than the list.

use std::sync::Arc;

use gmem::hal::Va;
use gmem::sim::{SimKernel, loads, updates};
use gmem::{DeviceChoice, Gmem};

#[repr(C)]
struct Node {
    value: u64,
    next: *mut Node,
}

fn main() -> Result<(), gmem::Error> {
    let gm = Gmem::builder()
        .device(DeviceChoice::Simulated)
        .device_memory(256 << 10)
        .page_size(4096)
        .build()?;

    // 100,000 nodes of 16 bytes from `malloc`: 1.5 MiB, six times the device's memory.
    let count = 100_000u64;
    let mut head: *mut Node = core::ptr::null_mut();
    let (mut low, mut high) = (usize::MAX, 0);
    for value in 0..count {
        let node = gm.malloc(size_of::<Node>()).cast::<Node>();
        assert!(!node.is_null(), "out of memory");
        // SAFETY: `malloc` gave room for a node, aligned to 16, and nobody else knows of it.
        unsafe { node.write(Node { value, next: head }) };
        head = node;
        (low, high) = (
            low.min(node as usize),
            high.max(node as usize + size_of::<Node>()),
        );
    }

    // Each workgroup walks on from where the one before it stopped: a cursor and a sum, in shared memory too.
    let mut state = gm.alloc::<u64>(2)?;
    state[0] = head as u64;
    let walk = SimKernel::new("walk", vec![loads("nodes"), updates("state")], |t| {
        let (mut at, mut sum) = (t.load::<u64>(1, 0)?, t.load::<u64>(1, 8)?);
        for _ in 0..1000 {
            if at == 0 {
                break;
            }
            sum += t.load_va::<u64>(Va(at))?;
            at = t.load_va::<u64>(Va(at + 8))?;
        }
        t.store(1, 0, at)?;
        t.store(1, 8, sum)
    });
    let kernel = gm.kernel_of(&gm.device(0)?, Arc::new(walk))?;
    for _ in 0..count.div_ceil(1000) {
        // SAFETY: no reference into the nodes exists, and they are not freed before the launch is over.
        unsafe {
            kernel
                .launch([1, 1, 1])
                .bind_raw("nodes", low as *const u8, high - low)
        }
        .bind("state", &mut state)
        .run()?;
    }

    println!("sum {} (expected {})", state[1], count * (count - 1) / 2);
    println!(
        "{} pages faulted in, {} evicted",
        gm.stats().counts.device_faults,
        gm.stats().counts.evictions
    );
    Ok(())
}
