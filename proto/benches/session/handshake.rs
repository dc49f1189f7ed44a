//! Sessions from the first byte until both ends are up. What 64 services cost more than one is mostly their proofs:
//! each end makes one for each and checks one.

use super::counting;
use super::pair::Configs;
use criterion::{BenchmarkId, Criterion};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SERVICES: [usize; 2] = [1, 64];

/// Time between two resumptions, so that used tickets are forgotten as they are in life.
const BETWEEN: Duration = Duration::from_secs(1);

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_handshake");
    for services in SERVICES {
        let start = Instant::now();
        let configs = Configs::new(start, services);
        let mut random = counting();
        group.bench_function(BenchmarkId::new("full", services), |bencher| {
            bencher.iter(|| {
                let pair = configs.establish(start, None, &mut random);
                assert!(!black_box(pair).resumed);
            });
        });
        let (mut ticket, mut now) = (configs.establish(start, None, &mut random).ticket, start);
        group.bench_function(BenchmarkId::new("resumed", services), |bencher| {
            bencher.iter(|| {
                now += BETWEEN;
                let pair = configs.establish(now, Some(ticket.clone()), &mut random);
                assert!(pair.resumed);
                ticket = pair.ticket;
            });
        });
    }
    group.finish();
}
