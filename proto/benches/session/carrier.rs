//! A fresh carrier and the visitor on it.

use super::counting;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use kariz_proto::control::{CarrierKey, Epoch, SessionId, Voucher, WorkerIndex};
use kariz_proto::session::VoucherTable;
use kariz_proto::session::carrier::{CarrierHello, First, Open, Ready, parse_first};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Vouchers of a worker that are out while others come and go.
const VOUCHERS_OUT: usize = 4096;

const LIFETIME: Duration = Duration::from_secs(10);

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_carrier");
    hello(&mut group);
    vouchers(&mut group);
    open_and_ready(&mut group);
    group.finish();
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn key() -> CarrierKey {
    CarrierKey([0x5a; 32])
}

const VOUCHER: Voucher = Voucher {
    worker: WorkerIndex(1),
    random: [0xc3; 16],
};

fn hello(group: &mut Group<'_>) {
    let key = key();
    let encode = || CarrierHello::encode(&key, SessionId(0x0123_4567_89ab_cdef), Epoch(3), black_box(&VOUCHER));
    let bytes = encode();
    let Ok(First::Carrier { hello, consumed }) = parse_first(&bytes) else {
        unreachable!("a whole hello")
    };
    assert_eq!((hello.voucher, consumed), (VOUCHER, bytes.len()));
    assert!(!hello.verify(&CarrierKey([0; 32])), "the MAC is looked at");

    group.bench_function("hello_encode", |bencher| {
        bencher.iter(|| assert_eq!(encode().len(), bytes.len()));
    });
    group.bench_function("hello_parse", |bencher| bencher.iter(|| parse_first(black_box(&bytes))));
    group.bench_function("hello_verify", |bencher| {
        bencher.iter(|| assert!(black_box(&hello).verify(&key)));
    });
}

fn vouchers(group: &mut Group<'_>) {
    let now = Instant::now();
    let mut random = counting();
    let mut table = VoucherTable::new(WorkerIndex(1), VOUCHERS_OUT + 1);
    for purpose in 0..VOUCHERS_OUT {
        table
            .issue(now, LIFETIME, purpose, &mut random)
            .expect("there is room in the table");
    }
    group.bench_function("voucher_issue_and_take", |bencher| {
        bencher.iter(|| {
            let voucher = table
                .issue(now, LIFETIME, 7, &mut random)
                .expect("there is room in the table");
            assert_eq!(table.take(now, black_box(&voucher)), Some(7));
        });
    });
    assert_eq!(table.len(), VOUCHERS_OUT);
}

fn open_and_ready(group: &mut Group<'_>) {
    let open = Open {
        service: "web".into(),
        port_offset: 0,
        stream_id: 0x0123_4567,
        priority: 1,
        visitor: ([192, 0, 2, 7], 50_000).into(),
    };
    let ready = Ready {
        stream_id: open.stream_id,
        result: Ok(()),
    };
    let key = key();
    for (suffix, auth) in [("", None), ("_with_mac", Some((&key, &VOUCHER)))] {
        let bytes = open.encode(auth);
        assert_eq!(Open::decode(&bytes, auth), Ok(Some((open.clone(), bytes.len()))));
        group.bench_function(format!("open_encode{suffix}"), |bencher| {
            bencher.iter(|| assert_eq!(black_box(&open).encode(auth).len(), bytes.len()));
        });
        group.bench_function(format!("open_decode{suffix}"), |bencher| {
            bencher.iter(|| Open::decode(black_box(&bytes), auth));
        });

        let bytes = ready.encode(auth);
        assert_eq!(Ready::decode(&bytes, auth), Ok(Some((ready, bytes.len()))));
        group.bench_function(format!("ready_encode{suffix}"), |bencher| {
            bencher.iter(|| assert_eq!(black_box(&ready).encode(auth).len(), bytes.len()));
        });
        group.bench_function(format!("ready_decode{suffix}"), |bencher| {
            bencher.iter(|| Ready::decode(black_box(&bytes), auth));
        });
    }
}
