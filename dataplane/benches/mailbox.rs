//! What it costs to post to a worker and to collect: `cargo bench -p kariz-dataplane --bench mailbox`.
//!
//! Across threads the bell is an eventfd at which the collector sleeps, as a worker's ring would; without threads it is
//! silent, so that the queue alone is measured.

use criterion::{BenchmarkId, Criterion, Throughput};
use kariz_dataplane::sync::mailbox::{Bell, Mailbox};
use rustix::event::{EventfdFlags, eventfd};
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Messages that fit, as in a worker's mailbox.
const CAPACITY: usize = 4096;

/// Messages of one iteration across threads.
const STREAM: u64 = 10_000;

/// A message of the size of the data plane's.
type Message = [u64; 8];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    one_thread(&mut criterion);
    two_threads(&mut criterion);
    criterion.final_summary();
}

struct Silent;

impl Bell for Silent {
    fn ring(&self) {}
}

/// Rings are counted by the kernel until they are heard.
struct Eventfd(OwnedFd);

impl Eventfd {
    fn new() -> Self {
        Self(eventfd(0, EventfdFlags::CLOEXEC).expect("the process may open a descriptor"))
    }

    /// Sleeps until it is rung, and silences it.
    fn heard(&self) {
        rustix::io::read(&self.0, &mut [0; 8]).expect("an eventfd can be read");
    }
}

impl Bell for Eventfd {
    fn ring(&self) {
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).expect("an eventfd takes a ring");
    }
}

fn message(number: u64) -> Message {
    [number, 0, 0, 0, 0, 0, 0, number]
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox_one_thread");
    for count in [1, 64, CAPACITY as u64] {
        let mailbox = Mailbox::new(CAPACITY, Silent);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("post_and_collect", count), |bencher| {
            bencher.iter(|| {
                (0..count).for_each(|number| mailbox.post(black_box(message(number))).expect("there is room"));
                let sum: u64 = mailbox.collect().iter().map(|message| message[7]).sum();
                assert_eq!(sum, count * (count - 1) / 2);
            });
        });
    }
    let mailbox = Mailbox::new(1, Silent);
    mailbox.post(message(0)).expect("there is room");
    group.throughput(Throughput::Elements(1));
    group.bench_function("post_to_a_full_one", |bencher| {
        bencher.iter(|| assert!(mailbox.post(black_box(message(1))).is_err()));
    });
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox_two_threads");
    group.throughput(Throughput::Elements(STREAM));
    group.bench_function("stream", |bencher| {
        bencher.iter_custom(|rounds| stream(rounds * STREAM))
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("there_and_back", |bencher| bencher.iter_custom(there_and_back));
    group.finish();
}

/// One thread posts as fast as the mailbox takes it, the other collects.
fn stream(count: u64) -> Duration {
    let (mailbox, start) = (Mailbox::new(CAPACITY, Eventfd::new()), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for number in 0..count {
                let mut wanted = message(number);
                while let Err(refused) = mailbox.post(wanted) {
                    wanted = refused;
                    thread::yield_now();
                }
            }
        });
        start.wait();
        let started = Instant::now();
        let mut next = 0;
        while next < count {
            mailbox.bell().heard();
            for message in mailbox.collect() {
                assert_eq!(message[7], next, "every message once, in order");
                next += 1;
            }
        }
        started.elapsed()
    })
}

/// A message wakes the other thread, and its answer wakes this one.
fn there_and_back(rounds: u64) -> Duration {
    let [there, back] = [(); 2].map(|()| Mailbox::new(CAPACITY, Eventfd::new()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                there.bell().heard();
                there
                    .collect()
                    .into_iter()
                    .for_each(|message| back.post(message).expect("there is room"));
            }
        });
        let started = Instant::now();
        for number in 0..rounds {
            there.post(message(number)).expect("there is room");
            back.bell().heard();
            assert_eq!(back.collect().pop_front(), Some(message(number)));
        }
        started.elapsed()
    })
}
