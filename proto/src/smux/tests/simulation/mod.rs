//! Both ends, a virtual clock and a seeded link that delays, splits, stalls and cuts.
//!
//! A failure prints its seed; `SMUX_SEED=<seed>` runs that world alone.

mod host;
mod link;
mod plan;

use super::{foreign, kariz};
use crate::model::MuxVersion;
use crate::smux::{Config, Role};
use host::{Ending, Host};
use link::Link;
use plan::Plan;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::time::{Duration, Instant};

const SEEDS: u64 = 1000;

/// The longest that a world may take on the virtual clock.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Reproducible chance.
struct Dice(TestRng);

impl Dice {
    fn new(words: &[u64]) -> Self {
        let mut seed = [0; 32];
        for (place, word) in seed.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }
}

/// What both ends of a simulation agree on.
#[derive(Debug, Clone, Copy)]
struct World {
    seed: u64,
    kariz: bool,
    with_stuck: bool,
    /// Whether the windows fit the receive buffer, so that reading never pauses.
    windows_hold: bool,
    receive_buffer: usize,
}

/// Runs the world of one seed to its end.
fn run(seed: u64) {
    let mut dice = Dice::new(&[seed]);
    let version = if dice.one_in(3) { MuxVersion::V1 } else { MuxVersion::V2 };
    let is_kariz = !dice.one_in(4);
    // Opens of both ends can cross, so that with a tight limit only one end opens, as in Kariz.
    let max_streams = if dice.one_in(2) { 12 } else { dice.between(1, 5) as u32 };
    let config = if is_kariz { kariz(version) } else { foreign(version) };
    let config = Config {
        frame_size: dice.between(1000, 65535) as u16,
        max_streams: if is_kariz { max_streams } else { 1000 },
        receive_buffer: if version == MuxVersion::V1 {
            1 << dice.between(12, 22)
        } else {
            1 << dice.between(20, 23)
        },
        ..config
    };
    let windows_hold = is_kariz && version == MuxVersion::V2;
    let receive_buffer = config.receive_buffer as usize;
    let world = World {
        seed,
        kariz: is_kariz,
        with_stuck: windows_hold && max_streams == 12,
        windows_hold,
        receive_buffer,
    };
    let start = Instant::now();
    let delay = Duration::from_micros(1 << dice.between(4, 17));
    let cut_at = dice
        .one_in(6)
        .then(|| start + Duration::from_millis(dice.between(1, 2000)));
    let mut links = [1, 2].map(|direction| Link::new(Dice::new(&[seed, direction, 5]), delay, cut_at, start));
    let mut hosts = [Role::Dialled, Role::Accepted].map(|role| Host::new(role, config, world, start));
    if is_kariz && max_streams < 12 {
        hosts[0].to_open = 0;
    }
    let mut now = start;
    loop {
        let ([a, b], [there, back]) = (&mut hosts, &mut links);
        if there.is_cut(now) {
            a.lose_carrier();
            b.lose_carrier();
            return;
        }
        a.turn(now, back, there);
        b.turn(now, there, back);
        if a.is_done() && b.is_done() && there.is_idle() && back.is_idle() {
            break;
        }
        let wakes = [
            a.next_wake(now),
            b.next_wake(now),
            there.next_arrival(now),
            back.next_arrival(now),
            cut_at,
        ];
        now = wakes
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
            .expect("something goes on");
        assert!(now < start + PATIENCE, "a stream stalls");
    }
    check_endings(&hosts, world);
}

/// Every stream ended at both ends, and each end is the one that was planned.
fn check_endings(hosts: &[Host; 2], world: World) {
    let [a, b] = hosts;
    for (host, other) in [(a, b), (b, a)] {
        let direction = if std::ptr::eq(host, a) { 1 } else { 0 };
        for (id, ending) in &host.endings {
            let plans = [direction, 1 - direction].map(|side| Plan::of(world.seed, *id, side, world.with_stuck));
            let failures = plans.iter().filter(|plan| plan.fails_at.is_some()).count();
            assert!(
                failures > 0 || *ending == Ending::Clean,
                "stream {id} was reset for nothing"
            );
            if world.kariz && *ending == Ending::Reset && plans[0].fails_at.is_some() && failures == 1 {
                assert_ne!(other.endings.get(id), None, "stream {id}");
            }
        }
        if host.is_empty() {
            assert_eq!(
                (host.mux.streams(), host.mux.unconsumed(), host.mux.has_pending()),
                (0, 0, false)
            );
        }
    }
}

#[test]
fn every_world_ends_well() {
    if let Ok(seed) = std::env::var("SMUX_SEED") {
        return run(seed.parse().unwrap());
    }
    for seed in 0..SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
