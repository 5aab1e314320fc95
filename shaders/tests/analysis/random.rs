//! Random kernels and a plain interpreter for them: what they touch lies in the footprint, and is the same when every load
//! that does not feed gives zero, as in a probe.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::common::{Fit, Ids, Kernel, Launch, Touches, check, invocations, kernel, words};
use super::machine::{LEN, Machine, Out, Random, Stmt, show_all, stmts};
use gmem_shaders::naga::Expression;
use gmem_shaders::{AccessKind, Footprint, FunctionRef};

struct Generated {
    program: Vec<Stmt>,
    source: String,
    uniform: [u32; 4],
}

fn generate(random: &mut Random) -> Generated {
    random.1 = 0;
    let program = stmts(random, 3, false);
    let mut text = String::new();
    show_all(&program, &mut text);
    let source = format!(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @group(0) @binding(2) var<uniform> n: vec4<u32>;
        fn step(v: ptr<function, u32>, by: u32) {{ *v += by; }}
        fn helper(x: u32, y: u32) -> u32 {{
            if (x > y) {{ return /*0*/a[x - y]; }}
            var k = x;
            while (k < y && k < x + 3u) {{ b[k] = 1u; k++; }}
            return k;
        }}
        @compute @workgroup_size(4, 2) fn main(@builtin(global_invocation_id) gid: vec3<u32>,
                @builtin(local_invocation_id) lid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>) {{
            var zero = 0u;
            var fuel = 12u; var w = 0u; var flag = false;
            var v0 = gid.x; var v1 = gid.y; var v2 = 0u; var v3 = n.z;
            b[0] = n.x + arrayLength(&a);
            {text}
            b[1] = w;
            if (zero > 0u) {{ b[0] = /*{UNUSED}*/a[0]; }}
        }}"
    );
    Generated {
        program,
        source,
        uniform: [random.below(40), random.below(8), random.below(5), 0],
    }
}

/// The load that makes sure that `a` is used.
const UNUSED: u32 = 1_000_000;

impl Generated {
    fn launch(&self, start: [u32; 3], count: [u32; 3]) -> Launch {
        Launch {
            start,
            count,
            grid: [5, 2, 1],
            lens: vec![u64::from(LEN) * 4, 4 * 200],
            uniforms: vec![words(&self.uniform)],
        }
    }

    fn run(&self, ids: Ids, touches: &mut Touches, zeroed: &HashSet<u32>) {
        touches.write(1, 0);
        let mut machine = Machine {
            ids,
            uniform: [self.uniform[0], self.uniform[1]],
            groups: 5,
            variables: [ids.gid[0], ids.gid[1], 0, self.uniform[2]],
            flag: false,
            fuel: 12,
            touches,
            zeroed,
        };
        if !matches!(machine.run(&self.program), Out::Return) {
            touches.write(1, 1);
        }
    }
}

#[test]
fn footprints_contain_what_random_kernels_touch() {
    let mut random = Random(0x1234_5678_9ABC_DEF1, 0);
    let (mut known, mut all) = (0, 0);
    for _ in 0..KERNELS {
        let generated = generate(&mut random);
        let kernel = kernel(&generated.source);
        for (start, count) in [
            ([0, 0, 0], [5, 2, 1]),
            ([2, 1, 0], [1, 1, 1]),
            ([1, 0, 0], [3, 2, 1]),
        ] {
            let launch = generated.launch(start, count);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                check(&kernel, &launch, Fit::Contains, &|ids, touches| {
                    generated.run(ids, touches, &HashSet::new());
                })
            }));
            let Ok(found) = outcome else {
                panic!("{:?}:\n{}", generated.uniform, generated.source);
            };
            all += 2;
            known += usize::from(found[0].reads != Footprint::Unknown);
            known += usize::from(found[1].writes != Footprint::Unknown);
        }
    }
    println!("{known} of {all} footprints are known");
    assert!(
        known * 2 > all,
        "only {known} of {all} footprints say anything"
    );
}

/// The numbers of the loads from `a` whose values do not feed.
fn not_feeding(kernel: &Kernel, source: &str) -> HashSet<u32> {
    let mut numbers = HashSet::new();
    for site in kernel.analysis.sites() {
        if site.binding != 0 || site.kind != AccessKind::Load {
            continue;
        }
        let function = match site.function {
            FunctionRef::Entry => &kernel.module.entry_points[0].function,
            FunctionRef::Function(handle) => &kernel.module.functions[handle],
        };
        let load = function.expressions.iter().find(|(_, expression)| {
            matches!(expression, Expression::Load { pointer } if *pointer == site.pointer)
        });
        let (load, _) = load.expect("a site is a load");
        let start = site.span.to_range().expect("spans are kept").start;
        let before = source[..start]
            .strip_suffix("*/")
            .expect("loads are numbered");
        let number = before[before.rfind("/*").expect("loads are numbered") + 2..].parse();
        if !kernel.analysis.is_feeding(site.function, load) {
            numbers.insert(number.expect("a number"));
        }
    }
    numbers
}

#[test]
fn what_does_not_feed_changes_no_touch_of_random_kernels() {
    let mut random = Random(0x0BAD_CAFE_1357_9BDF, 0);
    let (mut zeroed_loads, mut loads) = (0, 0);
    for _ in 0..KERNELS {
        let generated = generate(&mut random);
        let kernel = kernel(&generated.source);
        kernel
            .probeable()
            .expect("only `a` feeds, and nobody writes it");
        let mut zeroed = not_feeding(&kernel, &generated.source);
        zeroed.remove(&UNUSED);
        loads += random.1 + 1;
        zeroed_loads += zeroed.len();
        let launch = generated.launch([0; 3], [5, 2, 1]);
        for ids in invocations(kernel.size, &launch) {
            let mut really = Touches::new(&launch.lens);
            let mut probed = Touches::new(&launch.lens);
            generated.run(ids, &mut really, &HashSet::new());
            generated.run(ids, &mut probed, &zeroed);
            assert_eq!(
                really, probed,
                "{:?} of {:?}, {zeroed:?}:\n{}",
                ids.gid, generated.uniform, generated.source
            );
        }
    }
    println!("{zeroed_loads} of {loads} loads do not feed");
    assert!(zeroed_loads > 100, "some loads are values only");
}

const KERNELS: u32 = 600;
