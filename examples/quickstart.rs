//! Allocate, fill by plain stores, run WGSL, read by plain loads.

fn main() -> Result<(), gmem::Error> {
    let gm = gmem::Gmem::new()?;
    let n = 1 << 20;
    let (mut x, mut y) = (gm.alloc::<f32>(n)?, gm.alloc::<f32>(n)?);
    for i in 0..n {
        (x[i], y[i]) = (i as f32, 1.0);
    }
    let saxpy = gm.kernel(
        "@group(0) @binding(0) var<storage> x: array<f32>;
         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
             if (id.x < arrayLength(&x)) { y[id.x] = 2.0 * x[id.x] + y[id.x]; }
         }",
    )?;
    saxpy.over(n).bind("x", &x).bind("y", &mut y).run()?;
    println!("y[1000] = {}", y[1000]);
    Ok(())
}
