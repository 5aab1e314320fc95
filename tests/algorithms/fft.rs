//! wgsl-fft's kernels, unmodified, against a transform in f64: Stockham's in radix 4 and 2, Cooley and Tukey's there and back,
//! and Bluestein's for a length that is no power of two.
//!
//! Off by at most `TOLERANCE` of the spectrum's length: an f32 has 24 bits, and each of a dozen levels rounds a few times.

use gmem::{Kernel, Vector};
use wgsl_fft::shaders;

use crate::paging::Chance;
use crate::{Small, adapters};

const TOLERANCE: f64 = 1e-6;
/// Cooley and Tukey's kernel takes sines and cosines of its own, as good as the adapter's.
const OWN_TWIDDLES: f64 = 1e-4;

type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// e to the power of 2 pi i `turns`.
fn unit(turns: f64) -> Complex {
    let angle = std::f64::consts::TAU * turns;
    [angle.cos(), angle.sin()]
}

/// The transform of one signal whose length is a power of two.
fn transform(x: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    if n == 1 {
        return x.to_vec();
    }
    let half = |first: usize| -> Vec<Complex> {
        transform(&x.iter().skip(first).step_by(2).copied().collect::<Vec<_>>())
    };
    let (even, odd) = (half(0), half(1));
    let turned: Vec<Complex> = (0..n / 2)
        .map(|k| times(unit(-(k as f64) / n as f64), odd[k]))
        .collect();
    let pairs = || even.iter().zip(&turned);
    pairs()
        .map(|(e, t)| [e[0] + t[0], e[1] + t[1]])
        .chain(pairs().map(|(e, t)| [e[0] - t[0], e[1] - t[1]]))
        .collect()
}

/// The transform by its definition, of any length.
fn slow_transform(x: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    let units: Vec<Complex> = (0..n).map(|k| unit(-(k as f64) / n as f64)).collect();
    (0..n)
        .map(|k| {
            let mut sum = [0.0; 2];
            for (m, &x) in x.iter().enumerate() {
                let term = times(x, units[k * m % n]);
                sum = [sum[0] + term[0], sum[1] + term[1]];
            }
            sum
        })
        .collect()
}

fn wide(x: &[[f32; 2]]) -> Vec<Complex> {
    x.iter().map(|c| c.map(f64::from)).collect()
}

fn narrow(x: &[Complex]) -> Vec<[f32; 2]> {
    x.iter().map(|c| c.map(|part| part as f32)).collect()
}

fn signals(seed: u64, n: usize) -> Vec<[f32; 2]> {
    let mut chance = Chance(seed);
    let mut one = || chance.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0;
    (0..n).map(|_| [one(), one()]).collect()
}

/// How far one is from the other, in parts of the other's length.
fn off(got: &[Complex], exact: &[Complex]) -> f64 {
    let square = |c: Complex| c[0] * c[0] + c[1] * c[1];
    let apart: f64 = got
        .iter()
        .zip(exact)
        .map(|(g, e)| square([g[0] - e[0], g[1] - e[1]]))
        .sum();
    (apart / exact.iter().copied().map(square).sum::<f64>()).sqrt()
}

fn twiddles(n: usize) -> Vec<[f32; 2]> {
    narrow(
        &(0..n)
            .map(|j| unit(-(j as f64) / n as f64))
            .collect::<Vec<_>>(),
    )
}

fn bytes_of(complex: &[usize]) -> Vec<u64> {
    complex.iter().map(|&n| n as u64 * 8).collect()
}

/// Stockham's transform of `batch` signals of `n`, from `src`, which it leaves in `src`.
fn stockham(
    [r4, r2]: [&Kernel; 2],
    (n, batch): (u32, u32),
    src: &mut Vector<[f32; 2]>,
    dst: &mut Vector<[f32; 2]>,
    twiddles: &Vector<[f32; 2]>,
) {
    let mut p = 1;
    while p < n {
        let (kernel, radix) = if p * 4 <= n { (r4, 4) } else { (r2, 2) };
        kernel
            .launch([(n / radix).div_ceil(256), batch, 1])
            .uniform("U", &[n, p, 0, 0])
            .bind("SRC", &mut *src)
            .bind("DST", &mut *dst)
            .bind("TWIDDLE", twiddles)
            .run()
            .unwrap_or_else(|e| panic!("radix {radix}, p = {p}: {e}"));
        p *= radix;
        std::mem::swap(src, dst);
    }
}

#[test]
fn stockham_in_an_eighth() {
    // A power of 4, and one of 2 that is none.
    for (n, batch) in [(4096_usize, 32_usize), (2048, 48)] {
        let input = signals(7, n * batch);
        let exact: Vec<Complex> = wide(&input).chunks(n).flat_map(transform).collect();
        for adapter in adapters::adapters() {
            let small = Small::new(&adapter, &bytes_of(&[n * batch, n * batch, n]), 8);
            let mut src = small.gm.alloc(n * batch).unwrap();
            let mut dst = small.gm.alloc(n * batch).unwrap();
            let mut factors = small.gm.alloc(n).unwrap();
            src.copy_from_slice(&input);
            factors.copy_from_slice(&twiddles(n));
            let [r4, r2] =
                [shaders::R4_WGSL, shaders::R2_WGSL].map(|wgsl| small.kernel(wgsl, "main"));
            let size = (n as u32, batch as u32);
            stockham([&r4, &r2], size, &mut src, &mut dst, &factors);
            let off = off(&wide(&src), &exact);
            assert!(off < TOLERANCE, "{adapter}: {n} points are off by {off:e}");
            small.finish(&adapter);
        }
    }
}

#[test]
fn cooley_and_tukey_there_and_back_in_an_eighth() {
    const N: usize = 1024;
    const BATCH: usize = 64;
    const LOG: u32 = N.trailing_zeros();
    let input = signals(8, N * BATCH);
    let exact: Vec<Complex> = wide(&input).chunks(N).flat_map(transform).collect();
    for adapter in adapters::adapters() {
        let small = Small::new(&adapter, &bytes_of(&[N * BATCH; 2]), 8);
        let mut now: Vector<[f32; 2]> = small.gm.alloc(N * BATCH).unwrap();
        let mut next: Vector<[f32; 2]> = small.gm.alloc(N * BATCH).unwrap();
        now.copy_from_slice(&input);
        let [reverse, level, normalize] = [
            shaders::BIT_REVERSAL_WGSL,
            shaders::COOLEY_TUKEY_R2_WGSL,
            shaders::NORMALIZE_VEC2_WGSL,
        ]
        .map(|wgsl| small.kernel(wgsl, "main"));
        let groups = |lanes: usize| [lanes.div_ceil(256) as u32, BATCH as u32, 1];
        for direction in [0, 1] {
            reverse
                .launch(groups(N))
                .bind("src", &now)
                .bind("dst", &mut next)
                .uniform("params", &[N as u32, LOG, 0, 0])
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: reversal: {e}"));
            std::mem::swap(&mut now, &mut next);
            for stage in 0..LOG {
                level
                    .launch(groups(N / 2))
                    .bind("input_data", &now)
                    .bind("output_data", &mut next)
                    .uniform("params", &[N as u32, stage, direction, 0])
                    .run()
                    .unwrap_or_else(|e| panic!("{adapter}: stage {stage}: {e}"));
                std::mem::swap(&mut now, &mut next);
            }
            if direction == 0 {
                let off = off(&wide(&now), &exact);
                assert!(off < OWN_TWIDDLES, "{adapter}: off by {off:e}");
            }
        }
        normalize
            .launch(groups(N))
            .bind("data", &mut now)
            .uniform("params", &[N as u32, 0, 0, 0])
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: normalize: {e}"));
        let off = off(&wide(&now), &wide(&input));
        assert!(off < OWN_TWIDDLES, "{adapter}: back, off by {off:e}");
        small.finish(&adapter);
    }
}

/// A transform of 1500 as a convolution over 4096 points: the CPU multiplies the spectra where they lie.
#[test]
fn bluestein_in_an_eighth() {
    const N: usize = 1500;
    const PADDED: usize = 4096;
    const BATCH: usize = 8;
    // Over 2 N the square is exact.
    let chirp = |k: usize| unit(((k * k) % (2 * N)) as f64 / (2 * N) as f64);
    let conjugate = |c: Complex| [c[0], -c[1]];
    let mut ring = vec![[0.0; 2]; PADDED];
    for k in 0..N {
        ring[k] = chirp(k);
        ring[(PADDED - k) % PADDED] = chirp(k);
    }
    let ring = transform(&ring);
    let down: Vec<[f32; 2]> = narrow(&(0..N).map(|k| conjugate(chirp(k))).collect::<Vec<_>>());
    let input = signals(10, N * BATCH);
    let exact: Vec<Complex> = wide(&input).chunks(N).flat_map(slow_transform).collect();

    for adapter in adapters::adapters() {
        let all = [
            PADDED * BATCH,
            PADDED * BATCH,
            PADDED * BATCH,
            N * BATCH,
            PADDED,
            N,
        ];
        let small = Small::new(&adapter, &bytes_of(&all), 8);
        let [
            mut signal,
            mut src,
            mut dst,
            mut output,
            mut factors,
            mut turns,
        ] = all.map(|n| -> Vector<[f32; 2]> { small.gm.alloc(n).unwrap() });
        factors.copy_from_slice(&twiddles(PADDED));
        turns.copy_from_slice(&down);
        for (to, from) in signal.chunks_mut(PADDED).zip(input.chunks(N)) {
            to[..N].copy_from_slice(from);
        }
        let [multiply, pad, back, r4, r2] = [
            shaders::BLUESTEIN_CHIRP_WGSL,
            shaders::BLUESTEIN_ZERO_PAD_WGSL,
            shaders::BLUESTEIN_INV_CHIRP_WGSL,
            shaders::R4_WGSL,
            shaders::R2_WGSL,
        ]
        .map(|wgsl| small.kernel(wgsl, "main"));
        let params = [N as u32, PADDED as u32, 0, 0];
        let groups = |lanes: usize| [lanes.div_ceil(256) as u32, BATCH as u32, 1];
        // What is behind each signal is not zero before `pad`.
        dst.fill([5.0; 2]);
        multiply
            .launch(groups(N))
            .uniform("params", &params)
            .bind("input", &signal)
            .bind("output", &mut dst)
            .bind("chirp", &turns)
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: chirp: {e}"));
        pad.launch(groups(PADDED * 2))
            .uniform("params", &params)
            .bind("input", &dst)
            .bind("output", &mut src)
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: zero pad: {e}"));
        let size = (PADDED as u32, BATCH as u32);
        stockham([&r4, &r2], size, &mut src, &mut dst, &factors);
        // The inverse transform is the transform of the conjugate, conjugated.
        for spectrum in src.chunks_mut(PADDED) {
            for (point, factor) in spectrum.iter_mut().zip(&ring) {
                let product = times(point.map(f64::from), *factor);
                *point = conjugate(product).map(|part| (part / PADDED as f64) as f32);
            }
        }
        stockham([&r4, &r2], size, &mut src, &mut dst, &factors);
        src.iter_mut().for_each(|c| c[1] = -c[1]);
        back.launch(groups(N))
            .uniform("params", &params)
            .bind("input", &src)
            .bind("output", &mut output)
            .bind("inv_chirp", &turns)
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: inverse chirp: {e}"));
        let off = off(&wide(&output), &exact);
        assert!(off < 2.0 * TOLERANCE, "{adapter}: off by {off:e}");
        small.finish(&adapter);
    }
}
