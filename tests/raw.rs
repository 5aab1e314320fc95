//! `malloc` and friends over memory that a device has, a kernel that panics, and ranges, grids and devices that are none.

use std::sync::Arc;

use gmem::host::{Choice, HostMechanism};
use gmem::sim::{SimKernel, updates};
use gmem::{DeviceChoice, Error, Gmem, Kernel};

mod skipped;

const BYTES: usize = 4096;

fn space(host: HostMechanism) -> Option<Gmem> {
    let built = Gmem::builder()
        .device(DeviceChoice::Simulated)
        .device_memory(1 << 20)
        .page_size(4096)
        .host(Choice::Only(host))
        .build();
    match built {
        Ok(gm) => Some(gm),
        Err(e) => {
            skipped::skipped(e);
            None
        }
    }
}

/// A kernel that adds one to every byte.
fn add_one(gm: &Gmem) -> Kernel {
    let kernel = SimKernel::new("add_one", vec![updates("bytes")], |t| {
        for at in 0..t.len(0) {
            let byte = t.load::<u8>(0, at)?;
            t.store(0, at, byte + 1)?;
        }
        Ok(())
    });
    gm.kernel_of(&gm.device(0).unwrap(), Arc::new(kernel))
        .unwrap()
}

fn run(kernel: &Kernel, p: *mut u8) {
    // SAFETY: `p` has BYTES bytes, to which no reference exists.
    let launch = unsafe { kernel.launch([1, 1, 1]).bind_raw("bytes", p, BYTES) };
    launch.run().unwrap();
}

fn all(gm: &Gmem, p: *mut u8, bytes: usize) -> Vec<u8> {
    gm.touch(p, bytes, false).unwrap();
    // SAFETY: `p` has that many bytes, which were just brought home, and nothing runs.
    unsafe { core::slice::from_raw_parts(p, bytes) }.to_vec()
}

#[test]
fn realloc_and_calloc_see_what_a_device_wrote_under_every_mechanism() {
    for host in [
        HostMechanism::Userfaultfd,
        HostMechanism::Mprotect,
        HostMechanism::Explicit,
    ] {
        let Some(gm) = space(host) else { continue };
        let add_one = add_one(&gm);
        let p = gm.calloc(1, BYTES);
        run(&add_one, p);
        run(&add_one, p);
        // SAFETY: nobody uses the old address after this.
        let q = unsafe { gm.realloc(p, 64 * BYTES) }.unwrap();
        assert_eq!(
            all(&gm, q, BYTES),
            [2; BYTES],
            "{host:?}: realloc lost what the device wrote"
        );
        run(&add_one, q);
        // SAFETY: as above.
        let r = unsafe { gm.realloc(q, BYTES) }.unwrap();
        assert_eq!(
            all(&gm, r, BYTES),
            [3; BYTES],
            "{host:?}: shrinking lost what the device wrote"
        );
        run(&add_one, r);
        // SAFETY: nobody uses it after this.
        unsafe { gm.free(r) }.unwrap();
        let z = gm.calloc(BYTES, 1);
        assert_eq!(
            all(&gm, z, BYTES),
            [0; BYTES],
            "{host:?}: calloc gave what a device had"
        );
        // SAFETY: nobody uses it after this; the second time it names nothing.
        unsafe {
            gm.free(z).unwrap();
            assert!(matches!(gm.free(z), Err(Error::Move(_))));
        }
        gm.check().unwrap();
    }
}

#[test]
fn a_kernel_that_panics_fails_its_launch_and_nothing_else() {
    let Some(gm) = space(HostMechanism::Explicit) else {
        return;
    };
    let device = gm.device(0).unwrap();
    let mut v = gm.alloc::<u8>(3 * BYTES).unwrap();
    v.fill(5);
    let broken = SimKernel::new("broken", vec![updates("v")], |t| {
        t.load::<u8>(0, 0)?;
        panic!("a bug in the kernel")
    });
    let broken = gm.kernel_of(&device, Arc::new(broken)).unwrap();
    let error = broken
        .launch([1, 1, 1])
        .bind("v", &mut v)
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("a bug in the kernel"), "{error}");
    // Its claims are over: neither the CPU nor the next launch waits for them.
    v[0] = 6;
    let good = SimKernel::new("good", vec![updates("v")], |t| {
        let byte = t.load::<u8>(0, 0)?;
        t.store(0, 1, byte)
    });
    gm.kernel_of(&device, Arc::new(good))
        .unwrap()
        .launch([1, 1, 1])
        .bind("v", &mut v)
        .run()
        .unwrap();
    assert_eq!(v[..3], [6, 6, 5]);
    gm.check().unwrap();
}

#[test]
fn a_touch_past_the_end_of_a_region_says_so() {
    let Some(gm) = space(HostMechanism::Explicit) else {
        return;
    };
    let p = gm.malloc(1 << 20);
    gm.touch(p, 1 << 20, true).unwrap();
    for bytes in [(1 << 20) + 1, usize::MAX] {
        let beyond = gm.touch(p, bytes, true);
        assert!(
            matches!(
                beyond,
                Err(Error::BeyondRegion {
                    start: 0,
                    len: 1_048_576,
                    ..
                })
            ),
            "{beyond:?}"
        );
    }
    // SAFETY: nobody uses it.
    unsafe { gm.free(p) }.unwrap();
}

#[test]
fn a_grid_whose_ids_would_wrap_is_refused() {
    let Some(gm) = space(HostMechanism::Explicit) else {
        return;
    };
    let kernel = add_one(&gm);
    let mut bytes = gm.alloc::<u8>(1).unwrap();
    // Of a device's own kernel a workgroup is one invocation.
    for launch in [
        kernel.over(usize::MAX),
        kernel.over((1 << 32) + 1),
        kernel.launch([u32::MAX; 3]),
    ] {
        let refused = launch.bind("bytes", &mut bytes).run();
        assert!(matches!(refused, Err(Error::Grid { .. })), "{refused:?}");
    }
    assert_eq!(bytes.read(0..1).unwrap(), [0]);
}

#[test]
fn prefetching_home_what_was_never_touched_costs_nothing() {
    for host in [HostMechanism::Userfaultfd, HostMechanism::Explicit] {
        let Some(gm) = space(host) else { continue };
        let v = gm.alloc::<u8>(1 << 36).unwrap();
        v.prefetch_host().unwrap();
        assert_eq!(
            gm.stats().metadata_bytes.0,
            0,
            "{host:?}: a page came into being"
        );
    }
}

#[test]
fn a_device_of_another_space_is_refused() {
    let (Some(gm), Some(other)) = (
        space(HostMechanism::Explicit),
        space(HostMechanism::Explicit),
    ) else {
        return;
    };
    let bytes = gm.alloc::<u8>(BYTES).unwrap();
    let theirs = other.device(0).unwrap();
    for refused in [bytes.prefetch(&theirs), bytes.evict(&theirs)] {
        assert!(
            matches!(refused, Err(Error::OtherSpaceDevice { .. })),
            "{refused:?}"
        );
    }
    let compiled = gm.kernel_on(&theirs, "", None, &[]).map(|_| ());
    assert!(
        matches!(compiled, Err(Error::OtherSpaceDevice { .. })),
        "{compiled:?}"
    );
    let closure = SimKernel::new("nothing", vec![updates("v")], |_| Ok(()));
    let taken = gm.kernel_of(&theirs, Arc::new(closure)).map(|_| ());
    assert!(
        matches!(taken, Err(Error::OtherSpaceDevice { .. })),
        "{taken:?}"
    );
    bytes.prefetch(&gm.device(0).unwrap()).unwrap();
}
