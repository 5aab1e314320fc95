//! The coherence step, against the cheapest thing that could stand in its place: a table look-up of the same answer.

mod common;

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gmem::hal::NodeId;
use gmem_runtime::step::{Event, Mapping, Step, step};

fn cases() -> Vec<(Mapping, Event)> {
    let mut seen = vec![Mapping::NIL];
    let mut out = Vec::new();
    let events: Vec<Event> = (0..3)
        .map(NodeId)
        .flat_map(|n| [Event::Read(n), Event::Write(n), Event::Evict(n)])
        .collect();
    let mut at = 0;
    while at < seen.len() {
        for &event in &events {
            out.push((seen[at], event));
            let next = step(seen[at], event, true).next;
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
        at += 1;
    }
    out
}

fn bench(c: &mut Criterion) {
    let cases = cases();
    let key = |m: &Mapping, e: &Event| format!("{m:?}{e:?}");
    let index: HashMap<String, usize> = cases
        .iter()
        .enumerate()
        .map(|(i, (m, e))| (key(m, e), i))
        .collect();
    let answers: Vec<Step> = cases.iter().map(|&(m, e)| step(m, e, true)).collect();
    let order: Vec<usize> = cases.iter().map(|(m, e)| index[&key(m, e)]).collect();
    let rounds = 20_000;
    let mut ours = || {
        common::seconds(|| {
            for _ in 0..rounds {
                for &(m, e) in &cases {
                    black_box(step(black_box(m), black_box(e), true));
                }
            }
        })
    };
    let mut table = || {
        common::seconds(|| {
            for _ in 0..rounds {
                for &i in &order {
                    black_box(answers[black_box(i)].clone());
                }
            }
        })
    };
    common::ratio("step", "a table look-up", 11, &mut ours, &mut table);
    c.bench_function("step/all states and events", |b| {
        b.iter(|| {
            cases.iter().for_each(|&(m, e)| {
                black_box(step(black_box(m), black_box(e), true));
            })
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
