//! Messages of a live control carrier: a Want, which carries vouchers to the client, and a ping with its answer.

use super::counting;
use super::pair::{Configs, Pair, service};
use criterion::{BatchSize, BenchmarkId, Criterion};
use kariz_proto::control::{Voucher, WorkerIndex};
use kariz_proto::model::Lane;
use kariz_proto::session::{ClientEvent, ClientSession, MAX_VOUCHERS_PER_WANT, ServerEvent, ServerSession};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// One carrier, a pool of them, and the longest message.
const VOUCHERS: [usize; 3] = [1, 8, MAX_VOUCHERS_PER_WANT];

/// Time between two pings, so that the answers are not taken for a flood.
const BETWEEN: Duration = Duration::from_millis(1);

pub(super) fn bench(criterion: &mut Criterion) {
    let now = Instant::now();
    let configs = Configs::new(now, 1);
    let up = || configs.establish(now, None, &mut counting());
    let mut group = criterion.benchmark_group("session_control");
    for count in VOUCHERS {
        let vouchers = vouchers(count);
        let Pair { mut server, .. } = up();
        group.bench_function(BenchmarkId::new("want_seal", count), |bencher| {
            bencher.iter(|| seal(&mut server, now, &vouchers));
        });
        // Frames have to be opened in the order in which they were sealed, and that is how batches go.
        let Pair {
            mut server, mut client, ..
        } = up();
        group.bench_function(BenchmarkId::new("want_open", count), |bencher| {
            bencher.iter_batched(
                || seal(&mut server, now, &vouchers),
                |frame| assert!(open(&mut client, now, &frame) == vouchers),
                BatchSize::SmallInput,
            );
        });
    }
    let (mut pair, mut now) = (up(), now);
    group.bench_function("ping_and_pong", |bencher| {
        bencher.iter(|| {
            now += BETWEEN;
            ping(&mut pair, now);
        });
    });
    group.finish();
}

fn vouchers(count: usize) -> Vec<Voucher> {
    let voucher = |number: usize| Voucher {
        worker: WorkerIndex(0),
        random: (number as u128).to_be_bytes(),
    };
    (0..count).map(voucher).collect()
}

/// A Want as it goes over the wire.
fn seal(server: &mut ServerSession, now: Instant, vouchers: &[Voucher]) -> Vec<u8> {
    server
        .want(now, &service(0), Lane::Mux, black_box(vouchers))
        .expect("the service is granted");
    let frame = server.poll_transmit().expect("the message is one frame");
    assert!(server.poll_transmit().is_none() && frame.len() > vouchers.len() * 18);
    frame.into()
}

fn open(client: &mut ClientSession, now: Instant, frame: &[u8]) -> Vec<Voucher> {
    client.handle_input(now, black_box(frame));
    match client.poll_event() {
        Some(ClientEvent::Want { vouchers, .. }) => vouchers,
        other => unreachable!("{other:?}"),
    }
}

/// Two messages are sealed and opened.
fn ping(pair: &mut Pair, now: Instant) {
    pair.server.ping(now).expect("the session is up");
    let ping = pair.server.poll_transmit().expect("a ping");
    pair.client.handle_input(now, &ping);
    let pong = pair.client.poll_transmit().expect("an answer");
    pair.server.handle_input(now, &pong);
    assert!(matches!(pair.server.poll_event(), Some(ServerEvent::Pong { .. })));
}
