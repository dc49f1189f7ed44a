//! What a token bucket costs whoever takes of it: `cargo bench -p kariz-proto --bench bucket`.

use criterion::Criterion;
use kariz_proto::bucket::TokenBucket;
use kariz_proto::model::Rate;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A gigabyte per second: a whole number of tokens in a [`STEP`].
const RATE: Rate = Rate {
    per_second: 1_000_000_000,
    burst: 1_000_000_000,
};

/// Time between two takes.
const STEP: Duration = Duration::from_nanos(1000);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let start = Instant::now();
    let mut group = criterion.benchmark_group("bucket");

    let (mut bucket, mut now) = (TokenBucket::full(RATE, start), start);
    group.bench_function("take_while_it_flows", |bencher| {
        bencher.iter(|| {
            now += STEP;
            assert_eq!(bucket.take_up_to(black_box(1000), now), 1000);
        });
    });

    let mut bucket = TokenBucket::full(RATE, start);
    assert_eq!(bucket.take_up_to(u64::MAX, start), RATE.burst);
    group.bench_function("take_of_an_empty_one", |bencher| {
        bencher.iter(|| assert_eq!(bucket.take_up_to(black_box(1000), start), 0));
    });

    group.bench_function("wait_for_an_empty_one", |bencher| {
        bencher.iter(|| assert_eq!(bucket.next_ready(black_box(1000), start), Some(STEP)));
    });

    group.bench_function("take_and_give_back", |bencher| {
        bucket.deposit(1000, start);
        bencher.iter(|| {
            assert_eq!(bucket.take_up_to(black_box(1000), start), 1000);
            bucket.deposit(black_box(1000), start);
        });
    });
    group.finish();
    criterion.final_summary();
}
