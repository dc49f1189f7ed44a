//! Turns of a sender: who may send next, and the header of what it sends. Version 1, where no window stops a stream.

use super::{BATCH_BYTES, STREAMS, ready};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use kariz_proto::model::MuxVersion;
use kariz_proto::smux::{HEADER_BYTES, Mux, StreamId};
use std::collections::HashMap;
use std::hint::black_box;

/// Turns of one iteration.
const TURNS: usize = 64;

/// A full frame, and what an interactive stream has at a time.
const BULK_BYTES: usize = 32_768;
const SMALL_BYTES: usize = 1200;

pub(super) fn bench(criterion: &mut Criterion) {
    check_shares();
    let mut group = criterion.benchmark_group("smux_send");
    for streams in STREAMS {
        run(&mut group, "bulk", streams, BULK_BYTES, |_| 0, bulk);
        run(&mut group, "bulk_priorities", streams, BULK_BYTES, spread, bulk);
        run(&mut group, "small", streams, SMALL_BYTES, |_| 0, small());
        run(&mut group, "small_priorities", streams, SMALL_BYTES, spread, small());
    }
    group.finish();
}

fn run(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    streams: u32,
    payload: usize,
    priority: impl Fn(u32) -> u8,
    mut turn: impl FnMut(&mut Mux) -> (StreamId, usize),
) {
    let (mut mux, _, _) = ready(MuxVersion::V1, streams, priority);
    let bytes = TURNS * (HEADER_BYTES + payload);
    group.throughput(Throughput::ElementsAndBytes {
        elements: TURNS as u64,
        bytes: bytes as u64,
    });
    group.bench_function(BenchmarkId::new(name, streams), |bencher| {
        bencher.iter(|| {
            let sent: usize = (0..TURNS).map(|_| HEADER_BYTES + black_box(turn(&mut mux)).1).sum();
            assert_eq!(sent, bytes);
        });
    });
}

/// A source that always has more.
fn bulk(mux: &mut Mux) -> (StreamId, usize) {
    pull(mux, BULK_BYTES)
}

/// A source that is empty after a little, and has something again when another one had its turn or nobody has any.
fn small() -> impl FnMut(&mut Mux) -> (StreamId, usize) {
    let mut empty = None;
    move |mux| {
        if mux.next_data(BATCH_BYTES).is_none() {
            refill(mux, &mut empty);
        }
        let (id, length) = pull(mux, SMALL_BYTES);
        mux.set_ready(id, false);
        refill(mux, &mut empty);
        empty = Some(id);
        (id, length)
    }
}

fn refill(mux: &mut Mux, empty: &mut Option<StreamId>) {
    if let Some(id) = empty.take() {
        mux.set_ready(id, true);
    }
}

fn pull(mux: &mut Mux, most: usize) -> (StreamId, usize) {
    let pull = mux.next_data(BATCH_BYTES).expect("every stream is ready");
    let length = pull.max_len.min(most);
    black_box(mux.pulled(pull.id, length));
    (pull.id, length)
}

/// Every priority has as many streams as the others.
fn spread(stream: u32) -> u8 {
    (stream % 4) as u8
}

/// What is measured is the scheduler at work: the header says what was sent, and the priorities share as they should.
fn check_shares() {
    let (mut mux, ids, _) = ready(MuxVersion::V1, 64, spread);
    let pull = mux.next_data(BATCH_BYTES).expect("every stream is ready");
    let [a, b, c, d] = pull.id.to_le_bytes();
    assert_eq!(mux.pulled(pull.id, 0x0102), [1, 2, 0x02, 0x01, a, b, c, d]);
    let mut sent = HashMap::<_, usize>::new();
    for _ in 0..64_000 {
        let (id, length) = bulk(&mut mux);
        *sent.entry(id).or_default() += length;
    }
    let unit = sent.values().sum::<usize>() as f64 / (16 * (8 + 4 + 2 + 1)) as f64;
    for (stream, id) in (0..).zip(&ids) {
        let share = sent[id] as f64 / unit;
        let weight = f64::from(8 >> spread(stream));
        assert!((0.9..1.1).contains(&(share / weight)), "{share} for {weight}");
    }
}
