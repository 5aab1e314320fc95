//! A launch whose stores go where atomics say, in half of the memory that it binds: attempted box by box, with what misses a page
//! undone. The baseline has all of that memory. Data begins with the CPU and results are read by it on both sides, so that what
//! has to move is in both.

use gmem::gpu::AdapterChoice;
use gmem::{DeviceChoice, Gmem, Kernel, LaunchReport, Vector};

use crate::common;

const ROUNDS: usize = 9;
const N: usize = 2 << 20;
const LANES: usize = 64;

/// Every lane appends to a list.
const APPEND: &str = "
    @group(0) @binding(0) var<storage, read> data: array<u32>;
    @group(0) @binding(1) var<storage, read_write> used: atomic<u32>;
    @group(0) @binding(2) var<storage, read_write> found: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        found[atomicAdd(&used, 1u)] = data[id.x];
    }";

/// One of three does.
const SOME: &str = "
    @group(0) @binding(0) var<storage, read> data: array<u32>;
    @group(0) @binding(1) var<storage, read_write> used: atomic<u32>;
    @group(0) @binding(2) var<storage, read_write> found: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let value = data[id.x];
        if value % 3u == 0u { found[atomicAdd(&used, 1u)] = value; }
    }";

pub fn measure(adapter: &AdapterChoice) {
    let every = |_: u32| true;
    let third = |value: u32| value.is_multiple_of(3);
    for (name, source, is_wanted) in [
        ("every lane appends", APPEND, every as fn(u32) -> bool),
        ("one lane in three appends", SOME, third),
    ] {
        let data: Vec<u32> = (0..N as u32).map(|i| i.wrapping_mul(0x9e37_79b1)).collect();
        let mut wanted: Vec<u32> = data.iter().copied().filter(|&v| is_wanted(v)).collect();
        wanted.sort_unstable();
        let bytes = 4 * (N + wanted.len()) as u64;
        let mut half = Bed::new(adapter, source, bytes / 2, wanted.len());
        let mut all = Bed::new(adapter, source, bytes + (1 << 20), wanted.len());
        let (ours, plain) = (half.verify(&data, &wanted), all.verify(&data, &wanted));
        assert!(ours.passes > 1 && plain.passes == 1 && plain.undone == 0);
        println!(
            "transaction: {name}: {} MiB in half of the memory: {} passes, {} attempts undone",
            bytes >> 20,
            ours.passes,
            ours.undone
        );
        let again = (0..ROUNDS).map(|_| {
            all.cold(&data);
            all.launch();
            common::seconds(|| {
                all.used[0] = 0;
                all.launch();
            })
        });
        let kernel = again.fold(f64::MAX, f64::min);
        let mut whole = Vec::new();
        common::ratio(
            &format!("transaction: {name}, at 2x"),
            "all resident, and what moves",
            ROUNDS,
            || half.cold(&data),
            || {
                whole.push(all.cold(&data));
                whole[whole.len() - 1]
            },
        );
        whole.sort_unstable_by(f64::total_cmp);
        println!(
            "transaction: {name}: of the baseline's {:.3} ms a launch with all resident is {:.3} ms",
            whole[whole.len() / 2] * 1e3,
            kernel * 1e3
        );
    }
}

/// A space, the kernel and its memory.
struct Bed {
    kernel: Kernel,
    data: Vector<u32>,
    used: Vector<u32>,
    found: Vector<u32>,
    // After what it is the space of.
    _gm: Gmem,
}

impl Bed {
    fn new(adapter: &AdapterChoice, source: &str, device_memory: u64, found: usize) -> Self {
        let gm = Gmem::builder()
            .device(DeviceChoice::Gpu(adapter.clone()))
            .device_memory(device_memory)
            .build()
            .expect("the adapter opens");
        Self {
            kernel: gm.kernel(source).expect("the kernel is one"),
            data: gm.alloc(N).expect("there is room"),
            used: gm.alloc(1).expect("there is room"),
            found: gm.alloc(found).expect("there is room"),
            _gm: gm,
        }
    }

    /// Writes the data as a CPU does.
    fn fill(&mut self, data: &[u32]) {
        self.data.copy_from_slice(data);
        self.used[0] = 0;
        self.found.fill(0);
    }

    fn launch(&mut self) -> LaunchReport {
        let launch = self.kernel.launch([(N / LANES) as u32, 1, 1]);
        launch
            .bind("data", &self.data)
            .bind("used", &mut self.used)
            .bind("found", &mut self.found)
            .run()
            .expect("it runs at any size")
    }

    /// Seconds of a launch over data that the CPU has just written, until it has read what was found.
    fn cold(&mut self, data: &[u32]) -> f64 {
        self.fill(data);
        let mut sum = 0u32;
        let seconds = common::seconds(|| {
            self.launch();
            sum = self.found.iter().fold(0, |sum, v| sum.wrapping_add(*v));
        });
        assert_eq!(self.used[0] as usize, self.found.len());
        std::hint::black_box(sum);
        seconds
    }

    /// Each value is found once.
    fn verify(&mut self, data: &[u32], wanted: &[u32]) -> LaunchReport {
        self.fill(data);
        let report = self.launch();
        assert_eq!(self.used[0] as usize, wanted.len());
        let mut found = self.found.to_vec();
        found.sort_unstable();
        assert!(found == wanted, "something was lost");
        report
    }
}
