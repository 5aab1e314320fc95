//! Windows, copies and the page table, on every adapter of this machine.

mod support;

use gmem_hal::{
    ByteRange, CopyRun, Device, FrameIndex, Geometry, HostMemory, PageEntry, PageSize, PlainHost,
};
use gmem_wgpu::{AdapterChoice, OpenError, WgpuOptions, open};
use support::{Bench, devices, frames, seeded};

fn page(bytes: u64) -> PageSize {
    PageSize::new(bytes).unwrap()
}

/// Uploads seeded pages to frames in an odd order, spoils the host, and downloads them again.
fn round_trip(bench: &Bench, seed: u64) {
    let page = bench.geometry.page.bytes();
    let all: Vec<u32> = bench
        .windows
        .iter()
        .flat_map(|w| w.first.0..w.first.0 + w.frames)
        .collect();
    let pages = (bench.geometry.len / page).min(all.len() as u64);
    let bytes = seeded(seed, (pages * page) as usize);
    bench.host.write_bytes(0, &bytes);
    // Page p goes to the frame p * 7 + 3 of all, 7 being prime to their number or not: then in order.
    let odd = !(all.len() as u64).is_multiple_of(7);
    let frame = |p: u64| {
        all[if odd {
            (p * 7 + 3) as usize % all.len()
        } else {
            p as usize
        }]
    };
    let runs: Vec<CopyRun> = (0..pages)
        .map(|p| CopyRun {
            offset: p * page,
            frames: frames(frame(p), 1),
        })
        .collect();
    bench.device.upload(&runs, &bench.host).unwrap();
    bench.host.write_bytes(0, &vec![0xee; bytes.len()]);
    bench.device.download(&runs, &bench.host).unwrap();
    assert!(
        bench.read(ByteRange::new(0, bytes.len() as u64)) == bytes,
        "pages came back changed"
    );
}

#[test]
fn pages_survive_the_trip_at_every_page_size() {
    for bytes in [4 << 10, 16 << 10, 64 << 10, 2 << 20] {
        for device in devices(12 << 20, None) {
            let bench = Bench::new(device, page(bytes), 8 << 20);
            assert_eq!(bench.windows.len(), 1);
            round_trip(&bench, bytes);
        }
    }
}

#[test]
fn pages_survive_the_trip_through_many_windows() {
    for device in devices(6 << 20, Some((1 << 20) + 256)) {
        let bench = Bench::new(device, page(64 << 10), 6 << 20);
        assert!(bench.windows.len() >= 2, "{:?}", bench.windows);
        round_trip(&bench, 5);
        round_trip(&bench, 6);
    }
}

#[test]
fn long_runs_cross_staging_buffers_and_land_where_they_should() {
    for device in devices(64 << 20, None) {
        let bench = Bench::new(device, page(64 << 10), 40 << 20);
        let bytes = seeded(9, 40 << 20);
        bench.host.write_bytes(0, &bytes);
        let run = CopyRun {
            offset: 0,
            frames: frames(17, 640),
        };
        bench.device.upload(&[run], &bench.host).unwrap();
        bench.host.write_bytes(0, &vec![1; 40 << 20]);
        // Home again in another cut, to other places.
        let back: Vec<CopyRun> = (0..40)
            .map(|i| CopyRun {
                offset: (39 - i) << 20,
                frames: frames(17 + i as u32 * 16, 16),
            })
            .collect();
        bench.device.download(&back, &bench.host).unwrap();
        for i in 0..40_usize {
            let got = bench.read(ByteRange::new((39 - i as u64) << 20, 1 << 20));
            assert!(got == bytes[i << 20..(i + 1) << 20], "MiB {i}");
        }
    }
}

#[test]
fn zero_clears_the_frames_it_is_given_and_no_others() {
    for device in devices(4 << 20, Some((1 << 20) + 256)) {
        let bench = Bench::new(device, page(16 << 10), 2 << 20);
        let window = bench.windows[1].first.0;
        let runs: Vec<CopyRun> = (0..32)
            .map(|p| CopyRun {
                offset: p * (16 << 10),
                frames: frames(window + p as u32, 1),
            })
            .collect();
        let bytes = seeded(3, 32 * (16 << 10));
        bench.host.write_bytes(0, &bytes);
        bench.device.upload(&runs, &bench.host).unwrap();
        bench
            .device
            .zero(&[frames(window + 4, 3), frames(window + 31, 1)])
            .unwrap();
        bench.device.download(&runs, &bench.host).unwrap();
        let got = bench.read(ByteRange::new(0, bytes.len() as u64));
        for (p, (got, before)) in got.chunks(16 << 10).zip(bytes.chunks(16 << 10)).enumerate() {
            let cleared = (4..7).contains(&p) || p == 31;
            assert!(
                if cleared {
                    got.iter().all(|&b| b == 0)
                } else {
                    got == before
                },
                "page {p}"
            );
        }
    }
}

#[test]
fn frames_begin_as_zeroes() {
    for device in devices(4 << 20, None) {
        let bench = Bench::new(device, page(64 << 10), 2 << 20);
        bench.host.write_bytes(0, &vec![7; 2 << 20]);
        bench
            .device
            .download(
                &[CopyRun {
                    offset: 0,
                    frames: frames(8, 32),
                }],
                &bench.host,
            )
            .unwrap();
        assert!(
            bench
                .read(ByteRange::new(0, 2 << 20))
                .iter()
                .all(|&b| b == 0)
        );
    }
}

#[test]
fn bytes_are_counted_and_the_cap_holds() {
    let cap = (5 << 20) + 1234;
    for device in devices(cap, Some((1 << 20) + 256)) {
        assert_eq!(device.bytes().windows, 0);
        let bench = Bench::new(device, page(64 << 10), 2 << 20);
        let bytes = bench.device.bytes();
        let windows: u64 = bench
            .windows
            .iter()
            .map(|w| u64::from(w.frames) * (64 << 10) + 256)
            .sum();
        assert_eq!(bytes.windows, windows);
        assert_eq!(bytes.peak_windows, windows);
        assert!(bytes.windows <= cap);
        assert!(bytes.staging > 0 && bytes.tables > 0);
    }
}

#[test]
fn a_table_grows_to_the_pages_it_is_given() {
    for device in devices(4 << 20, None) {
        let host = PlainHost::new(2 << 20);
        // Far more pages than the table has at first; nothing of the range exists.
        let geometry = Geometry {
            base: host.base(),
            len: 1 << 40,
            page: page(4 << 10),
        };
        device.attach(geometry).unwrap();
        let before = device.bytes().tables;
        device.grow(1).unwrap();
        let entry = |page, frame: Option<u32>| PageEntry {
            page,
            frame: frame.map(|f| (FrameIndex(f), true)),
        };
        device
            .set_entries(&[entry(3, Some(1)), entry(3, None), entry(5, Some(2))])
            .unwrap();
        assert_eq!(device.bytes().tables, before);
        device.set_entries(&[entry(100_000, Some(3))]).unwrap();
        let grown = device.bytes().tables;
        assert!(
            grown >= before + 400_000 - 4096 && grown < before + (1 << 20),
            "{before} {grown}"
        );
        // Taking away what never was costs nothing.
        device.set_entries(&[entry((1 << 28) - 1, None)]).unwrap();
        assert_eq!(device.bytes().tables, grown);
        let scattered: Vec<_> = (0..2000)
            .map(|i| entry((i * 7919) % 100_000, Some(i as u32 % 64)))
            .collect();
        device.set_entries(&scattered).unwrap();
    }
}

#[test]
fn a_bad_budget_is_refused_with_the_least_that_works() {
    let open = |bytes| {
        open(&WgpuOptions {
            device_memory: Some(bytes),
            ..WgpuOptions::default()
        })
        .map(|_| ())
        .unwrap_err()
    };
    assert_eq!(
        open(4096),
        OpenError::Budget {
            bytes: 4096,
            least: 4096 + 256
        }
    );
    for device in devices(64 << 10, None) {
        let host = PlainHost::new(2 << 20);
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page: page(64 << 10),
        };
        let error = device.attach(geometry).unwrap_err();
        assert!(error.to_string().contains("65792"), "{error}");
        // The device can still be attached with a page that fits.
        let geometry = Geometry {
            page: page(4 << 10),
            ..geometry
        };
        assert_eq!(device.attach(geometry).unwrap().max_frames, 15);
    }
}

#[test]
fn an_unknown_adapter_is_an_error_that_names_what_exists() {
    let adapter = AdapterChoice::Name("no such adapter".to_owned());
    let error = open(&WgpuOptions {
        adapter,
        ..WgpuOptions::default()
    })
    .map(|_| ())
    .unwrap_err();
    let OpenError::NoAdapter { wanted, available } = &error else {
        panic!("{error}")
    };
    assert!(wanted.contains("no such adapter"));
    for adapter in gmem_wgpu::adapters() {
        assert!(
            available.iter().any(|a| a.contains(&adapter.name)),
            "{error}"
        );
    }
}

#[test]
fn calls_before_attach_and_to_frames_that_do_not_exist_are_errors() {
    for device in devices(4 << 20, None) {
        let host = PlainHost::new(2 << 20);
        let run = CopyRun {
            offset: 0,
            frames: frames(0, 1),
        };
        assert!(device.upload(&[run], &host).is_err());
        assert!(device.grow(1).is_err());
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page: page(64 << 10),
        };
        device.attach(geometry).unwrap();
        assert!(device.attach(geometry).is_err());
        // No window yet.
        assert!(device.upload(&[run], &host).is_err());
        assert!(device.zero(&[frames(0, 1)]).is_err());
        let window = device.grow(1).unwrap();
        for bad in [
            frames(window.frames, 1),
            frames(0, window.frames + 1),
            frames(u32::MAX - 4, 2),
        ] {
            assert!(
                device
                    .upload(
                        &[CopyRun {
                            offset: 0,
                            frames: bad
                        }],
                        &host
                    )
                    .is_err()
            );
            assert!(
                device
                    .download(
                        &[CopyRun {
                            offset: 0,
                            frames: bad
                        }],
                        &host
                    )
                    .is_err()
            );
            assert!(device.zero(&[bad]).is_err());
        }
        // And none of it did any harm.
        host.write_bytes(0, &[5; 100]);
        device.upload(&[run], &host).unwrap();
        host.write_bytes(0, &[6; 100]);
        device.download(&[run], &host).unwrap();
        let mut got = [0; 100];
        host.read_bytes(0, &mut got);
        assert_eq!(got, [5; 100]);
    }
}

#[test]
fn copies_from_many_threads_do_not_mix() {
    for device in devices(16 << 20, None) {
        let bench = Bench::new(device, page(64 << 10), 12 << 20);
        let bytes = seeded(21, 12 << 20);
        bench.host.write_bytes(0, &bytes);
        let (device, host) = (&bench.device, &bench.host);
        std::thread::scope(|scope| {
            for t in 0..4_u32 {
                scope.spawn(move || {
                    for i in 0..3 {
                        let first = t * 48 + i * 16;
                        let run = CopyRun {
                            offset: u64::from(first) << 16,
                            frames: frames(first, 16),
                        };
                        device.upload(&[run], host).unwrap();
                        host.write_bytes(run.offset, &vec![0; 1 << 20]);
                        device.download(&[run], host).unwrap();
                    }
                });
            }
        });
        assert!(bench.read(ByteRange::new(0, 12 << 20)) == bytes);
    }
}
