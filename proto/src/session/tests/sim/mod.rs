//! Whole systems on a virtual clock: one server, two clients with the same services, and links that delay, split,
//! stall, cut, swallow and alter. After a minute the faults stop, and everything has to be well again.

mod link;
mod server;
mod world;

use super::pair::Dice;
use world::{Reached, World};

const SEEDS: u64 = 1000;

#[test]
fn everything_is_well_again_after_any_faults() {
    let reached = std::thread::scope(|scope| {
        let halves =
            [0, 1].map(|half| scope.spawn(move || (half..SEEDS).step_by(2).map(run).fold(Reached::new(), add)));
        halves
            .map(|half| half.join().expect("every seed is well"))
            .into_iter()
            .fold(Reached::new(), add)
    });
    // The faults have led to all that they are meant to lead to.
    for what in [
        "full",
        "resumed",
        "registered",
        "lost",
        "silent",
        "handshake_timeout",
        "decrypt",
        "peer",
    ] {
        assert!(
            reached.get(what).is_some_and(|times| *times > 50),
            "{what}: {reached:?}"
        );
    }
}

/// Runs one seed; prints it if it fails.
fn run(seed: u64) -> Reached {
    let run = std::panic::catch_unwind(|| World::new(Dice(seed.wrapping_mul(0x1234_5677))).run());
    run.unwrap_or_else(|panic| {
        eprintln!("seed {seed}");
        std::panic::resume_unwind(panic)
    })
}

fn add(mut sum: Reached, more: Reached) -> Reached {
    more.into_iter()
        .for_each(|(what, times)| *sum.entry(what).or_default() += times);
    sum
}
