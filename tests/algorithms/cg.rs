//! Conjugate gradients on the matrix of Poisson's equation over a cube of cells, in compressed rows.

use gmem::Vector;

use crate::paging::Chance;
use crate::{Small, adapters};

const SOURCE: &str = "
const LANES = 64u;
@group(0) @binding(0) var<storage, read> starts: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> p: array<f32>;
@group(0) @binding(4) var<storage, read_write> q: array<f32>;
@group(0) @binding(5) var<storage, read_write> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> r: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;
@group(0) @binding(8) var<uniform> factor: f32;

var<workgroup> part: array<f32, LANES>;

fn add_up(value: f32, lane: u32, block: u32) {
    part[lane] = value;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if (lane < width) { part[lane] += part[lane + width]; }
    }
    if (lane == 0u) { sums[block] = part[0]; }
}

// q = A p, and p q.
@compute @workgroup_size(LANES)
fn multiply(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let row = id.x;
    var product = 0.0;
    if (row < arrayLength(&q)) {
        var sum = 0.0;
        for (var i = starts[row]; i < starts[row + 1u]; i++) {
            sum += values[i] * p[columns[i]];
        }
        q[row] = sum;
        product = sum * p[row];
    }
    add_up(product, lane, block.x);
}

// x += factor p, r -= factor q, and r r.
@compute @workgroup_size(LANES)
fn advance(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let row = id.x;
    var square = 0.0;
    if (row < arrayLength(&x)) {
        x[row] += factor * p[row];
        r[row] -= factor * q[row];
        square = r[row] * r[row];
    }
    add_up(square, lane, block.x);
}

// p = r + factor p.
@compute @workgroup_size(LANES)
fn turn(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&p)) { p[id.x] = r[id.x] + factor * p[id.x]; }
}
";

const SIDE: usize = 24;
const ROWS: usize = SIDE * SIDE * SIDE;

/// 6 on the diagonal, -1 for each neighbour; nothing lies beyond the cube.
struct Matrix {
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Matrix {
    fn poisson() -> Self {
        let mut matrix = Self {
            starts: vec![0],
            columns: Vec::new(),
            values: Vec::new(),
        };
        for row in 0..ROWS {
            for (distance, at) in [
                (SIDE * SIDE, row / SIDE / SIDE),
                (SIDE, row / SIDE % SIDE),
                (1, row % SIDE),
            ] {
                if at > 0 {
                    matrix.push(row - distance, -1.0);
                }
                if at + 1 < SIDE {
                    matrix.push(row + distance, -1.0);
                }
            }
            matrix.push(row, 6.0);
            matrix.starts.push(matrix.columns.len() as u32);
        }
        matrix
    }

    fn push(&mut self, column: usize, value: f32) {
        self.columns.push(column as u32);
        self.values.push(value);
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        let entry = |i: usize| f64::from(self.values[i]) * x[self.columns[i] as usize];
        self.starts
            .windows(2)
            .map(|w| (w[0] as usize..w[1] as usize).map(entry).sum())
            .collect()
    }

    /// The solution to all of an f64's digits that conjugate gradients find.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; ROWS];
        let (mut r, mut p) = (b.to_vec(), b.to_vec());
        let mut square = dot(&r, &r);
        let end = square * 1e-26;
        while square > end {
            let q = self.times(&p);
            let alpha = square / dot(&p, &q);
            for i in 0..ROWS {
                x[i] += alpha * p[i];
                r[i] -= alpha * q[i];
            }
            let next = dot(&r, &r);
            for i in 0..ROWS {
                p[i] = r[i] + next / square * p[i];
            }
            square = next;
        }
        x
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn total(sums: &[f32]) -> f64 {
    sums.iter().copied().map(f64::from).sum()
}

/// The answer is off by no more than 1e-4 of its length: the matrix loses some two of an f32's seven digits.
#[test]
fn conjugate_gradients_in_an_eighth() {
    let matrix = Matrix::poisson();
    let mut chance = Chance(6);
    let right: Vec<f32> = (0..ROWS)
        .map(|_| chance.below(2001) as f32 / 1000.0 - 1.0)
        .collect();
    let exact = matrix.solve(&right.iter().copied().map(f64::from).collect::<Vec<_>>());
    const GROUPS: usize = ROWS / 64;
    for adapter in adapters::adapters() {
        let entries = matrix.columns.len();
        let words = [ROWS + 1, entries, entries, ROWS, ROWS, ROWS, ROWS, GROUPS];
        let small = Small::new(&adapter, &words.map(|w| 4 * w as u64), 8);
        let gm = &small.gm;
        let mut starts: Vector<u32> = gm.alloc(ROWS + 1).unwrap();
        let mut columns: Vector<u32> = gm.alloc(entries).unwrap();
        let mut values: Vector<f32> = gm.alloc(entries).unwrap();
        starts.copy_from_slice(&matrix.starts);
        columns.copy_from_slice(&matrix.columns);
        values.copy_from_slice(&matrix.values);
        let [mut p, mut q, mut x, mut r] = [0; 4].map(|_| gm.alloc::<f32>(ROWS).unwrap());
        p.copy_from_slice(&right);
        r.copy_from_slice(&right);
        let mut sums: Vector<f32> = gm.alloc(GROUPS).unwrap();
        let [multiply, advance, turn] =
            ["multiply", "advance", "turn"].map(|entry| small.kernel(SOURCE, entry));

        let mut square: f64 = right.iter().map(|&b| f64::from(b) * f64::from(b)).sum();
        let end = square * 1e-12;
        let mut rounds = 0;
        while square > end {
            rounds += 1;
            assert!(
                rounds < 150,
                "{adapter}: {square} is left, and should be {end}"
            );
            multiply
                .over(ROWS)
                .bind("starts", &starts)
                .bind("columns", &columns)
                .bind("values", &values)
                .bind("p", &mut p)
                .bind("q", &mut q)
                .bind("sums", &mut sums)
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: multiply: {e}"));
            let alpha = square / total(&sums);
            advance
                .over(ROWS)
                .bind("p", &mut p)
                .bind("q", &mut q)
                .bind("x", &mut x)
                .bind("r", &mut r)
                .bind("sums", &mut sums)
                .uniform("factor", &(alpha as f32))
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: advance: {e}"));
            let next = total(&sums);
            turn.over(ROWS)
                .bind("p", &mut p)
                .bind("r", &mut r)
                .uniform("factor", &((next / square) as f32))
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: turn: {e}"));
            square = next;
        }
        assert!(
            rounds > 20,
            "{adapter}: {rounds} rounds are too few to be true"
        );
        let difference: Vec<f64> = x
            .iter()
            .zip(&exact)
            .map(|(&x, &exact)| f64::from(x) - exact)
            .collect();
        let off = (dot(&difference, &difference) / dot(&exact, &exact)).sqrt();
        assert!(
            off < 1e-4,
            "{adapter}: off by {off:e} after {rounds} rounds"
        );
        small.finish(&adapter);
    }
}
