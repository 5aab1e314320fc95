//! Hazard classes, above all which loops wait for other workgroups, and where addresses come from.

use gmem_shaders::{Entry, Hazard, HazardClass, Program};

const BINDINGS: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> lock: atomic<u32>;
@group(0) @binding(4) var<storage, read_write> total: u32;
var<workgroup> shared_flag: u32;
var<private> mine: u32;
";

fn entry(source: &str) -> Entry {
    let source = format!("{BINDINGS}{source}");
    match Program::from_wgsl(&source).and_then(|p| p.entry(None, &[])) {
        Ok(entry) => entry,
        Err(e) => panic!("{e}"),
    }
}

fn of(body: &str) -> (Entry, Hazard) {
    let entry = entry(&format!(
        "@compute @workgroup_size(64)
         fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32,
                 @builtin(workgroup_id) group: vec3<u32>) {{\n{body}\n}}"
    ));
    let hazard = entry.hazard();
    (entry, hazard)
}

#[track_caller]
fn class(body: &str) -> HazardClass {
    of(body).1.class
}

#[test]
fn classes_a_to_d_follow_from_what_is_accessed() {
    assert_eq!(class("y[id.x] = x[id.x];"), HazardClass::A);
    assert_eq!(
        class("shared_flag = x[0]; workgroupBarrier(); y[id.x] = shared_flag;"),
        HazardClass::B
    );
    assert_eq!(
        class("y[id.x] = workgroupUniformLoad(&shared_flag);"),
        HazardClass::B
    );
    let (_, hazard) = of("y[id.x] = y[id.x] + x[id.x]; storageBarrier();");
    assert_eq!(
        (hazard.class, hazard.in_place, hazard.barriers),
        (HazardClass::C, vec![1], true)
    );
    // Atomic, but nothing is read and modified in one.
    assert_eq!(
        class("atomicStore(&state[id.x], 1u); y[id.x] = atomicLoad(&state[0]);"),
        HazardClass::C
    );
    assert_eq!(class("atomicStore(&state[id.x], 1u);"), HazardClass::A);
    let painted = |body: &str| {
        entry(&format!(
            "@group(1) @binding(0) var image: texture_storage_2d<r32uint, read_write>;
             @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ {body} }}"
        ))
        .hazard()
    };
    let hazard = painted("textureStore(image, id.xy, textureLoad(image, id.yx));");
    assert_eq!(
        (hazard.class, hazard.textures),
        (HazardClass::C, vec!["image".to_owned()])
    );
    assert_eq!(
        painted("textureStore(image, id.xy, vec4(1u));").class,
        HazardClass::A
    );
    let (entry, hazard) = of("atomicAdd(&state[x[id.x]], 1u);");
    assert_eq!(hazard.class, HazardClass::D);
    assert_eq!(entry.storage[hazard.updated[0]].name, "state");
    assert!(!hazard.results_used);
    let (_, hazard) = of("y[atomicAdd(&lock, 1u)] = id.x;");
    assert!(hazard.class == HazardClass::D && hazard.results_used);
}

/// A body whose loop waits, and the binding that it watches.
#[track_caller]
fn waits(body: &str, watched: &str) {
    let (entry, hazard) = of(body);
    assert_eq!(hazard.class, HazardClass::E, "{body}");
    let first = &hazard.waits[0];
    assert_eq!(entry.storage[first.binding].name, watched, "{body}");
    let line = entry.text().lines().nth(first.line as usize - 1);
    assert!(line.is_some_and(|line| line.contains(watched)), "{line:?}");
}

#[track_caller]
fn goes_on(body: &str) {
    let (_, hazard) = of(body);
    assert!(hazard.class < HazardClass::E, "{body}: {:?}", hazard.waits);
}

#[test]
fn a_decoupled_look_back_waits() {
    waits(
        "var sum = 0u;
         atomicStore(&state[group.x], (x[id.x] << 2u) | 1u);
         var i = group.x;
         while (i > 0u) {
             let s = atomicLoad(&state[i - 1u]);
             if ((s & 3u) == 2u) { sum += s >> 2u; break; }
             if ((s & 3u) == 1u) { sum += s >> 2u; i -= 1u; }
         }
         y[group.x] = sum;",
        "state",
    );
    // The same without branches: the step is 0 while nothing is there.
    waits(
        "var i = group.x;
         loop {
             let s = atomicLoad(&state[i]);
             if ((s & 3u) == 2u || i == 0u) { break; }
             i -= select(0u, 1u, (s & 3u) == 1u);
         }
         atomicStore(&state[group.x], i);",
        "state",
    );
    // The same with the flag passed on through workgroup memory, and `continue`.
    waits(
        "var i = group.x;
         loop {
             if (lane == 0u) { shared_flag = atomicLoad(&state[i]); }
             workgroupBarrier();
             let flag = workgroupUniformLoad(&shared_flag);
             if (flag == 0u) { continue; }
             if (flag == 2u || i == 0u) { break; }
             i -= 1u;
         }
         atomicStore(&state[group.x], 2u);
         y[id.x] = i;",
        "state",
    );
}

#[test]
fn locks_wait() {
    waits(
        "while (atomicExchange(&lock, 1u) != 0u) {} y[0] = 1u; atomicStore(&lock, 0u);",
        "lock",
    );
    waits(
        "while (!atomicCompareExchangeWeak(&lock, 0u, 1u).exchanged) {} atomicStore(&lock, 0u);",
        "lock",
    );
    waits(
        "loop {
             if (atomicCompareExchangeWeak(&lock, 0u, 1u).exchanged) { total += 1u; atomicStore(&lock, 0u); break; }
         }",
        "lock",
    );
    // What was there says whether it was taken; or whether something else was there.
    waits(
        "loop {
             let r = atomicCompareExchangeWeak(&lock, 0u, 1u);
             if (r.old_value == 0u) { total += 1u; atomicStore(&lock, 0u); break; }
         }",
        "lock",
    );
    waits(
        "loop {
             let r = atomicCompareExchangeWeak(&lock, 0u, 1u);
             if (r.old_value != 1u) { atomicStore(&lock, 0u); break; }
         }",
        "lock",
    );
    // It tries only when the lock looks free: going round without trying is waiting.
    waits(
        "loop {
             let seen = atomicLoad(&lock);
             if (seen == 0u) {
                 if (atomicCompareExchangeWeak(&lock, seen, 1u).exchanged) { break; }
             }
         }
         atomicStore(&lock, 0u);",
        "lock",
    );
    waits(
        "let ticket = atomicAdd(&state[0], 1u);
         while (atomicLoad(&lock) != ticket) {}
         atomicAdd(&lock, 1u);",
        "lock",
    );
    waits(
        "var done = false; while (!done) { if (atomicOr(&lock, 0u) != 0u) { done = true; } }",
        "lock",
    );
    waits("while (atomicAdd(&lock, 0u) == 0u) {}", "lock");
}

#[test]
fn a_loop_until_a_stored_flag_changes_waits() {
    waits(
        "if (id.x == 0u) { total = 1u; } while (total == 0u) {} y[id.x] = 1u;",
        "total",
    );
    waits(
        "var seen = 0u; loop { seen = atomicLoad(&state[1]); if (seen != 0u) { break; } } atomicStore(&state[1], 1u);",
        "state",
    );
    // Waiting longer each time is still waiting.
    waits(
        "var delay = 1u;
         while (atomicLoad(&lock) == 0u) { for (var i = 0u; i < delay; i++) { mine += i; } delay *= 2u; }
         atomicStore(&lock, mine);",
        "lock",
    );
    // All have to arrive.
    waits(
        "if (lane == 0u) { atomicAdd(&lock, 1u); while (atomicLoad(&lock) < x[0]) {} } workgroupBarrier();",
        "lock",
    );
}

#[test]
fn a_wait_in_a_function_is_found_as_well() {
    let source = "
        fn flag(i: u32) -> u32 { return atomicLoad(&state[i]); }
        fn wait_for(i: u32) { loop { if (flag(i) != 0u) { return; } } }
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3<u32>) {
            if (group.x > 0u) { wait_for(group.x - 1u); }
            atomicStore(&state[group.x], 1u);
        }";
    let hazard = entry(source).hazard();
    assert_eq!(hazard.class, HazardClass::E);
}

#[test]
fn compare_and_swap_retries_do_not_wait() {
    // The greatest of all, as CAS.
    goes_on(
        "var old = atomicLoad(&lock);
         while (old < x[id.x]) {
             let r = atomicCompareExchangeWeak(&lock, old, x[id.x]);
             if (r.exchanged) { break; }
             old = r.old_value;
         }",
    );
    goes_on(
        "loop {
             let old = atomicLoad(&lock);
             if (old >= x[id.x]) { break; }
             if (atomicCompareExchangeWeak(&lock, old, x[id.x]).exchanged) { break; }
         }",
    );
    // Room for some, allocated by retries.
    goes_on(
        "var at = 0u;
         loop {
             let old = atomicLoad(&lock);
             let r = atomicCompareExchangeWeak(&lock, old, old + x[id.x]);
             if (r.exchanged) { at = r.old_value; break; }
         }
         y[at] = id.x;",
    );
    // Adding floats.
    goes_on(
        "var old = atomicLoad(&state[x[id.x]]);
         loop {
             let sum = bitcast<u32>(bitcast<f32>(old) + 1.0);
             let r = atomicCompareExchangeWeak(&state[x[id.x]], old, sum);
             if (r.exchanged) { break; }
             old = r.old_value;
         }",
    );
    let helper = "
        fn take(seen: u32, n: u32) -> bool { return atomicCompareExchangeWeak(&lock, seen, seen + n).exchanged; }
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            loop { let seen = atomicLoad(&lock); if (take(seen, x[id.x])) { break; } }
        }";
    assert_eq!(entry(helper).hazard().class, HazardClass::D);
}

#[test]
fn loops_that_get_on_by_themselves_do_not_wait() {
    // A hash table: the next slot each time.
    goes_on(
        "var slot = x[id.x] % 1024u;
         loop {
             let r = atomicCompareExchangeWeak(&state[slot], 0u, x[id.x]);
             if (r.exchanged || r.old_value == x[id.x]) { break; }
             slot = (slot + 1u) % 1024u;
         }",
    );
    // The same, that tries again where a weak exchange failed for nothing.
    goes_on(
        "var slot = x[id.x] % 1024u;
         loop {
             let r = atomicCompareExchangeWeak(&state[slot], 0u, x[id.x]);
             if (r.exchanged) { break; }
             if (r.old_value != 0u) { slot = (slot + 1u) % 1024u; }
         }",
    );
    // A root is looked for in memory that others change.
    goes_on("var node = id.x; while (y[node] != node) { node = y[node]; } y[id.x] = node;");
    goes_on(
        "var node = id.x;
         loop { let up = atomicLoad(&state[node]); if (up == node) { break; } node = up; }
         atomicStore(&state[id.x], node);",
    );
    // Work is taken until there is none.
    goes_on(
        "loop { let i = atomicAdd(&lock, 1u); if (i >= arrayLength(&y)) { break; } y[i] = i; }",
    );
    // Somebody else may have found it: that only ends the loop sooner.
    goes_on(
        "for (var i = 0u; i < x[0]; i++) { if (atomicLoad(&lock) != 0u) { break; } if (x[i] == 7u) { atomicStore(&lock, i); } }",
    );
    // So many attempts, and no more.
    goes_on(
        "var n = 0u; while (atomicLoad(&lock) == 0u && n < 1000u) { n++; } atomicStore(&lock, n);",
    );
    // In place.
    goes_on("while (y[id.x] > 3u) { y[id.x] = y[id.x] / 2u; }");
    goes_on(
        "var low = 0u; var high = arrayLength(&y);
         while (low < high) { let mid = (low + high) / 2u; if (y[mid] < id.x) { low = mid + 1u; } else { high = mid; } }
         y[low] = id.x;",
    );
    goes_on("var j = id.x; while (j > 0u && y[j - 1u] > x[j]) { y[j] = y[j - 1u]; j -= 1u; }");
    goes_on("for (var i = 0u; i < atomicLoad(&lock); i++) { atomicAdd(&state[x[i]], 1u); }");
    // Nobody writes it: it changes for nobody.
    goes_on("while (atomicLoad(&state[1]) == 0u) { if (x[0] == 1u) { break; } } y[id.x] = 1u;");
    // The list is not written.
    goes_on("var at = id.x; while (x[at] != 0u) { at = x[at]; } y[id.x] = at; y[0] += 1u;");
}

#[test]
fn waits_inside_of_other_loops_and_switches_are_found() {
    waits(
        "for (var step = 0u; step < 4u; step++) {
             atomicAdd(&state[step], 1u);
             while (atomicLoad(&state[step]) < 100u) {}
             y[id.x] = step;
         }",
        "state",
    );
    waits(
        "var phase = 0u;
         loop {
             switch (atomicLoad(&lock)) {
                 case 0u: { continue; }
                 case 1u: { phase = 1u; }
                 default: { phase = 2u; }
             }
             if (phase == 2u) { break; }
         }
         atomicStore(&lock, 2u);",
        "lock",
    );
}

#[test]
fn addresses_are_traced_back_to_where_they_come_from() {
    let entry = entry(
        "fn chosen(i: u32) -> u32 { var at = x[i]; at *= 2u; return at; }
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
             y[chosen(id.x)] = 1u;
             let ticket = atomicAdd(&lock, 1u);
             atomicStore(&state[ticket + id.x], 1u);
         }",
    );
    let names = |name: &str| {
        let binding = entry.storage.iter().position(|b| b.name == name);
        entry.origins(binding.expect("a binding"))
    };
    let line = |words: &str| {
        let mut lines = entry.text().lines();
        1 + lines.position(|line| line.contains(words)).expect("a line") as u32
    };
    let y = names("y");
    assert_eq!(y.len(), 1, "{y:?}");
    assert_eq!(y[0].what, "a value of `x`");
    assert_eq!(y[0].line, line("fn chosen"));
    assert_eq!(
        y[0].binding.map(|b| entry.storage[b].name.as_str()),
        Some("x")
    );
    let state = names("state");
    assert_eq!(state.len(), 1, "{state:?}");
    assert_eq!(state[0].what, "the result of an atomic operation on `lock`");
    assert!(names("x").is_empty());
}
