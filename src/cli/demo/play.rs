//! The four demonstrations: data filled by plain stores, one kernel over more than the device holds, results read by plain loads.

use std::mem::swap;
use std::time::Instant;

use super::stage::{Outcome, PlainRun, Setup, Stage};
use super::{heat, histogram, pagerank, triad, twins};
use crate::cli::Failure;
use crate::cli::args::DemoName;
use crate::cli::csr::Csr;
use crate::cli::progress::Progress;
use crate::cli::{mtx, stream};

/// Plays one of them.
///
/// # Errors
/// When it cannot be run to its end; a wrong result is no error but an outcome.
pub fn play(name: DemoName, setup: &Setup<'_>) -> Result<Outcome, Failure> {
    match name {
        DemoName::Triad => play_triad(setup),
        DemoName::Heat => play_heat(setup),
        DemoName::Pagerank => play_pagerank(setup),
        DemoName::Histogram => play_histogram(setup),
        DemoName::All => Err(Failure::run("all demonstrations are played one by one")),
    }
}

fn play_triad(setup: &Setup<'_>) -> Result<Outcome, Failure> {
    let (name, seed) = (DemoName::Triad, setup.common.seed);
    let shape = triad::Triad::sized(setup.bytes(triad::DEFAULT_BYTES));
    let group = if setup.engine.simulated() {
        twins::TRIAD_ELEMENTS * 4
    } else {
        triad::GROUP_BYTES
    };
    let budget = setup.budget(name, shape.bytes(), |page| 3 * group.div_ceil(page));
    let mut stage = Stage::open(setup, name, shape.bytes(), budget)?;
    let kernel = stage.kernel(triad::SOURCE, triad::ENTRY, twins::triad)?;
    let grid = match setup.engine.simulated() {
        true => [
            (shape.len as u64).div_ceil(twins::TRIAD_ELEMENTS) as u32,
            1,
            1,
        ],
        false => shape.grid(),
    };

    let mut a = stage.gm().alloc::<f32>(shape.len)?;
    let mut b = stage.gm().alloc::<f32>(shape.len)?;
    let mut c = stage.gm().alloc::<f32>(shape.len)?;
    let progress = Progress::start("triad: filling", b.bytes() + c.bytes());
    triad::fill(&mut b, &mut c, seed, &progress);
    drop(progress);

    let running = Progress::start("triad: running", 0);
    let began = Instant::now();
    let launch = kernel
        .launch(grid)
        .bind("a", &mut a)
        .bind("b", &b)
        .bind("c", &c);
    stage.uniform(launch, "scale", &triad::SCALE).run()?;
    stage.at_hand(&a);
    stage.took(began);
    drop(running);

    let verified = triad::verify(
        &a,
        &b,
        &c,
        seed,
        &Progress::start("triad: verifying", shape.bytes()),
    );
    Ok(stage.finish(
        verified,
        &PlainRun {
            source: triad::SOURCE,
            entry: triad::ENTRY,
            buffers: &[
                bytemuck::cast_slice(&a),
                bytemuck::cast_slice(&b),
                bytemuck::cast_slice(&c),
            ],
            uniform: bytemuck::bytes_of(&triad::SCALE),
            grid: shape.grid(),
            repeat: 1,
            results: &[0],
        },
    ))
}

fn play_heat(setup: &Setup<'_>) -> Result<Outcome, Failure> {
    let (name, seed) = (DemoName::Heat, setup.common.seed);
    let plate = heat::Plate::sized(setup.bytes(heat::DEFAULT_BYTES));
    let budget = setup.budget(name, plate.bytes(), |page| {
        // A workgroup's rows with those above and below them, and the rows it writes: each may begin within a page.
        let row = plate.width as u64 * 4;
        (18 * row).div_ceil(page) + (16 * row).div_ceil(page) + 2
    });
    let mut stage = Stage::open(setup, name, plate.bytes(), budget)?;
    let kernel = stage.kernel(heat::SOURCE, heat::ENTRY, twins::heat)?;
    let grid = match setup.engine.simulated() {
        true => [
            (plate.height as u64).div_ceil(twins::HEAT_ROWS) as u32,
            1,
            1,
        ],
        false => plate.grid(),
    };

    let mut before = stage.gm().alloc::<f32>(plate.cells())?;
    let mut after = stage.gm().alloc::<f32>(plate.cells())?;
    let progress = Progress::start("heat: filling", before.bytes());
    heat::fill(&mut before, plate, seed, &progress);
    drop(progress);

    let running = Progress::start("heat: running", 0);
    let began = Instant::now();
    for _ in 0..heat::STEPS {
        let launch = kernel
            .launch(grid)
            .bind("before", &before)
            .bind("after", &mut after);
        stage.uniform(launch, "plate", &plate.uniform()).run()?;
        swap(&mut before, &mut after);
    }
    stage.at_hand(&before);
    stage.took(began);
    drop(running);

    let progress = Progress::start("heat: verifying", before.bytes());
    let verified = heat::verify(&before, plate, heat::STEPS, seed, &progress);
    drop(progress);
    Ok(stage.finish(
        verified,
        &PlainRun {
            source: heat::SOURCE,
            entry: heat::ENTRY,
            buffers: &[bytemuck::cast_slice(&before), bytemuck::cast_slice(&after)],
            uniform: bytemuck::cast_slice(&plate.uniform()),
            grid: plate.grid(),
            repeat: heat::STEPS,
            results: &[1],
        },
    ))
}

fn graph(setup: &Setup<'_>) -> Result<Csr, Failure> {
    let Some(path) = &setup.args.graph else {
        let _progress = Progress::start("pagerank: making a graph", 0);
        let rmat = pagerank::sized(setup.bytes(pagerank::DEFAULT_BYTES), setup.common.seed);
        return Ok(rmat.build()?);
    };
    let bytes = stream::open(path).map_err(Failure::arguments)?.1;
    Ok(mtx::read(
        path,
        &Progress::start("pagerank: reading the graph", bytes),
    )?)
}

fn play_pagerank(setup: &Setup<'_>) -> Result<Outcome, Failure> {
    let name = DemoName::Pagerank;
    let graph = graph(setup)?;
    let data = pagerank::bytes(&graph);
    let budget = setup.budget(name, data, |page| pagerank::widest_workgroup(&graph, page));
    let mut stage = Stage::open(setup, name, data, budget)?;
    let busiest = graph.longest_row();
    if let Some(most) = stage.most_rounds().filter(|&most| busiest > most) {
        return Err(Failure::run(format!(
            "pagerank would be wrong here: this driver leaves a loop after {most} rounds, and a node of the graph has {busiest} edges \
             into it: use {}, or another adapter",
            match setup.args.graph {
                Some(_) => "another graph",
                None => "a smaller --size",
            }
        )));
    }
    let kernel = stage.kernel(pagerank::SOURCE, pagerank::ENTRY, twins::pagerank)?;

    let (nodes, edges) = (graph.nodes(), graph.edges());
    let mut row_ptr = stage.gm().alloc::<u32>(nodes + 1)?;
    // A graph without edges has an array without elements, which no memory has.
    let mut sources = stage.gm().alloc::<u32>(edges.max(1))?;
    let mut weight = stage.gm().alloc::<f32>(nodes)?;
    let mut share = stage.gm().alloc::<f32>(nodes)?;
    let mut next_share = stage.gm().alloc::<f32>(nodes)?;
    let mut rank = stage.gm().alloc::<f32>(nodes)?;
    pagerank::fill(
        &graph,
        &mut row_ptr,
        &mut sources[..edges],
        &mut weight,
        &mut share,
    );

    let running = Progress::start("pagerank: running", 0);
    let began = Instant::now();
    for _ in 0..pagerank::ITERATIONS {
        let launch = kernel
            .launch(pagerank::grid(&graph))
            .bind("row_ptr", &row_ptr)
            .bind("sources", &sources)
            .bind("weight", &weight)
            .bind("share", &share)
            .bind("next_share", &mut next_share)
            .bind("rank", &mut rank);
        stage
            .uniform(launch, "graph", &pagerank::uniform(&graph))
            .run()?;
        swap(&mut share, &mut next_share);
    }
    stage.at_hand(&rank);
    stage.took(began);
    drop(running);

    let progress = Progress::start(
        "pagerank: verifying",
        data * u64::from(pagerank::ITERATIONS),
    );
    let verified = pagerank::verify(&rank, &graph, pagerank::ITERATIONS, &progress);
    drop(progress);
    Ok(stage.finish(
        verified,
        &PlainRun {
            source: pagerank::SOURCE,
            entry: pagerank::ENTRY,
            buffers: &[
                bytemuck::cast_slice(&row_ptr),
                bytemuck::cast_slice(&sources),
                bytemuck::cast_slice(&weight),
                bytemuck::cast_slice(&share),
                bytemuck::cast_slice(&next_share),
                bytemuck::cast_slice(&rank),
            ],
            uniform: &pagerank::uniform(&graph),
            grid: pagerank::grid(&graph),
            repeat: pagerank::ITERATIONS,
            results: &[5],
        },
    ))
}

fn play_histogram(setup: &Setup<'_>) -> Result<Outcome, Failure> {
    let (name, seed) = (DemoName::Histogram, setup.common.seed);
    let mut file = match &setup.args.file {
        Some(path) => Some((path, stream::open_bin(path).map_err(Failure::arguments)?)),
        None => None,
    };
    let bytes = match &file {
        Some((_, (_, bytes))) => *bytes,
        None => setup.bytes(histogram::DEFAULT_BYTES),
    };
    if bytes > histogram::MOST_BYTES {
        return Err(Failure::arguments(histogram::TooLong { bytes }));
    }
    let words = histogram::words(bytes);
    let data = (words + histogram::BINS) as u64 * 4;
    let budget = setup.budget(name, data, |page| {
        histogram::GROUP_BYTES.min(bytes).div_ceil(page) + 1
    });
    let mut stage = Stage::open(setup, name, data, budget)?;
    let kernel = stage.kernel(histogram::SOURCE, histogram::ENTRY, twins::histogram)?;

    let mut input = stage.gm().alloc::<u32>(words)?;
    let mut bins = stage.gm().alloc::<u32>(histogram::BINS)?;
    let progress = Progress::start("histogram: filling", bytes);
    match &mut file {
        Some((path, (file, _))) => {
            let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut input);
            stream::fill(path, file, &mut memory[..bytes as usize], &progress)?;
        }
        None => histogram::fill(&mut input, seed, &progress),
    }
    drop(progress);

    let running = Progress::start("histogram: running", 0);
    let began = Instant::now();
    let launch = kernel
        .launch(histogram::grid(bytes))
        .bind("words", &input)
        .bind("bins", &mut bins);
    stage.uniform(launch, "input", &(bytes as u32)).run()?;
    stage.at_hand(&bins);
    stage.took(began);
    drop(running);

    let progress = Progress::start("histogram: verifying", bytes);
    // The file is read again: what is compared with is not the memory that the kernel saw.
    let counts = match &file {
        Some((path, _)) => {
            histogram::Counts::of_file(path, &mut stream::open_bin(path)?.0, bytes, &progress)?
        }
        None => histogram::Counts::of_seed(seed, bytes, &progress),
    };
    let verified = counts.verify(&bins);
    drop(progress);
    Ok(stage.finish(
        verified,
        &PlainRun {
            source: histogram::SOURCE,
            entry: histogram::ENTRY,
            buffers: &[bytemuck::cast_slice(&input), bytemuck::cast_slice(&bins)],
            uniform: &(bytes as u32).to_le_bytes(),
            grid: histogram::grid(bytes),
            repeat: 1,
            results: &[1],
        },
    ))
}
