//! Each job's results against a second computation, in whole numbers and by another way; then on a GPU, both sides.

use gmem::Gmem;

use super::*;
use crate::cli::bench::baseline::{Plain, warm::Warm};
use crate::cli::bench::job::OnGmem;

fn input<T: bytemuck::Pod>(job: &Job, binding: usize) -> Vec<T> {
    bytemuck::pod_collect_to_vec(&job.memory[binding].before)
}

fn result<T: bytemuck::Pod>(job: &Job, binding: usize) -> Vec<T> {
    let after = job.memory[binding].after.as_ref();
    bytemuck::pod_collect_to_vec(after.expect("it is written"))
}

/// Floats as the whole numbers that they are.
fn ints(floats: Vec<f32>) -> Vec<i64> {
    floats
        .into_iter()
        .map(|f| {
            // Beyond that, the order of a sum would matter.
            assert!(f.fract() == 0.0 && f.abs() < 16_777_216.0, "{f}");
            f as i64
        })
        .collect()
}

/// All jobs, small, and not of round sizes where they need not be.
fn small() -> Vec<Job> {
    vec![
        saxpy::sized(1000, 1),
        stencil::sized(37, 21, 1),
        gemm::sized(48, 32, 64, 1),
        spmv::sized(300, 1),
        histogram::sized(5000, 1),
        radix::sized(1500, 1),
        conv1d::sized(999, 1),
        triad::sized(700, 1),
        gather::sized(900, 300, 1),
    ]
}

#[test]
fn saxpy_and_triad() {
    let job = saxpy::sized(100, 1);
    let (x, y) = (ints(input(&job, 0)), ints(input(&job, 1)));
    let after = ints(result(&job, 1));
    assert!((0..100).all(|i| after[i] == 3 * x[i] + y[i]));
    let job = triad::sized(100, 1);
    let (b, c) = (ints(input(&job, 1)), ints(input(&job, 2)));
    let a = ints(result(&job, 0));
    assert!((0..100).all(|i| a[i] - b[i] == 3 * c[i]));
}

#[test]
fn stencil_by_what_each_cell_gives_away() {
    let (w, h) = (9, 7);
    let job = stencil::sized(w, h, 1);
    let before = ints(input(&job, 0));
    let inside = |x: usize, y: usize| (1..w - 1).contains(&x) && (1..h - 1).contains(&y);
    let mut after = before.clone();
    for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
        let here = before[y * w + x];
        if inside(x, y) {
            after[y * w + x] -= 5 * here;
        }
        for (dx, dy) in [(1, 0), (1, 2), (0, 1), (2, 1)] {
            let (x, y) = ((x + dx).wrapping_sub(1), (y + dy).wrapping_sub(1));
            if inside(x, y) {
                after[y * w + x] += here;
            }
        }
    }
    assert_eq!(ints(result(&job, 1)), after);
}

#[test]
fn gemm_by_dot_products() {
    let (columns, inner) = (32, 80);
    let job = gemm::sized(48, columns, inner, 1);
    let (a, b) = (ints(input(&job, 0)), ints(input(&job, 1)));
    for (i, &c) in ints(result(&job, 2)).iter().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let dot: i64 = (0..inner)
            .map(|k| a[row * inner + k] * b[k * columns + column])
            .sum();
        assert_eq!(c, dot);
    }
}

#[test]
fn spmv_by_a_dense_matrix() {
    let n = 200;
    let job = spmv::sized(n, 1);
    let (starts, columns) = (input::<u32>(&job, 0), input::<u32>(&job, 1));
    let (values, x) = (ints(input(&job, 2)), ints(input(&job, 3)));
    let lengths: Vec<u32> = starts.windows(2).map(|s| s[1] - s[0]).collect();
    assert!(lengths.contains(&0) && lengths.iter().any(|&l| l > 64));
    let mut dense = vec![0; n * n];
    let mut row = 0;
    for (i, (&column, &value)) in columns.iter().zip(&values).enumerate() {
        while starts[row + 1] as usize <= i {
            row += 1;
        }
        dense[row * n + column as usize] += value;
    }
    let y: Vec<i64> = dense
        .chunks(n)
        .map(|row| row.iter().zip(&x).map(|(a, x)| a * x).sum())
        .collect();
    assert_eq!(ints(result(&job, 4)), y);
}

#[test]
fn columns_of_a_row_ascend() {
    let job = spmv::sized(1000, 3);
    let (starts, columns) = (input::<u32>(&job, 0), input::<u32>(&job, 1));
    for row in starts.windows(2) {
        let row = &columns[row[0] as usize..row[1] as usize];
        assert!(row.windows(2).all(|c| c[0] < c[1]) && row.iter().all(|&c| c < 1000));
    }
}

#[test]
fn histogram_by_sorting() {
    let job = histogram::sized(3000, 1);
    let mut data = input::<u32>(&job, 0);
    data.sort_unstable();
    let bins = result::<u32>(&job, 1);
    for run in data.chunk_by(|a, b| a >> 24 == b >> 24) {
        assert_eq!(bins[(run[0] >> 24) as usize], run.len() as u32);
    }
    assert_eq!(bins.iter().sum::<u32>(), 3000);
}

#[test]
fn radix_by_a_stable_sort() {
    let job = radix::sized(1500, 1);
    let mut keys = input::<u32>(&job, 0);
    keys.sort_by_key(|key| key >> 8 & 15);
    assert_eq!(result::<u32>(&job, 2), keys);
    // The scan: what a kernel would write that puts the keys there one by one.
    let (keys, mut next) = (input::<u32>(&job, 0), input::<u32>(&job, 1));
    let blocks = next.len() / 16;
    let mut sorted = vec![0; keys.len()];
    for (i, &key) in keys.iter().enumerate() {
        let place = &mut next[(key >> 8 & 15) as usize * blocks + i / 256];
        sorted[*place as usize] = key;
        *place += 1;
    }
    assert_eq!(result::<u32>(&job, 2), sorted);
}

#[test]
fn conv1d_by_spreading() {
    let job = conv1d::sized(50, 1);
    let source = ints(input(&job, 0));
    let weights = ints(bytemuck::pod_collect_to_vec(
        &job.uniform.as_ref().expect("weights").1,
    ));
    let mut to = vec![0; 50];
    for (at, &value) in source.iter().enumerate() {
        for (tap, &weight) in weights.iter().enumerate().take(conv1d::TAPS) {
            if let Some(to) = at.checked_sub(tap).and_then(|i| to.get_mut(i)) {
                *to += weight * value;
            }
        }
    }
    assert_eq!(ints(result(&job, 1)), to);
}

#[test]
fn gather_takes_each_element_by_its_index() {
    let job = gather::sized(400, 100, 1);
    let (data, index) = (input::<u32>(&job, 0), input::<u32>(&job, 1));
    for (to, from) in result::<u32>(&job, 2).into_iter().zip(index) {
        assert_eq!(to, data[from as usize]);
    }
}

#[test]
fn sizes_follow_the_scale() {
    let jobs: [fn(usize, u64) -> Job; 4] = [saxpy::job, histogram::job, triad::job, stencil::job];
    for job in jobs {
        let (one, two) = (job(1, 0), job(2, 0));
        assert_eq!(two.traffic, 2 * one.traffic, "{}", one.name);
        assert!(one.bytes() >= 16 << 20 && two.bytes() > one.bytes() * 19 / 10);
        assert!(two.grid.iter().all(|&side| side <= 65_535));
    }
    let (one, eight) = (gemm::job(1, 0), gemm::job(8, 0));
    assert_eq!(eight.bytes(), 16 * one.bytes(), "four times the side");
}

#[test]
fn a_grid_covers_its_groups() {
    assert_eq!(rows(1), [1, 1, 1]);
    assert_eq!(rows(1024), [1024, 1, 1]);
    assert_eq!(rows(1025), [1024, 2, 1]);
    assert_eq!(rows(1 << 20), [1024, 1024, 1]);
}

#[test]
fn another_seed_is_other_data() {
    let (one, two) = (saxpy::sized(10, 1), saxpy::sized(10, 2));
    assert_ne!(one.memory[0].before, two.memory[0].before);
}

#[test]
fn both_sides_do_every_job_right() {
    let Ok(gm) = Gmem::builder().device_memory(32 << 20).build() else {
        eprintln!("skipped: there is no adapter");
        return;
    };
    let plain = Plain::of(&gm).expect("it has a GPU");
    for job in small() {
        let mut ours = OnGmem::new(&gm, &job).expect("it fits");
        assert!(ours.verify().expect("it runs"), "{} on gmem", job.name);
        let theirs = Warm::new(&plain, &job);
        assert!(theirs.verify().expect("it runs"), "{} by hand", job.name);
    }
}
