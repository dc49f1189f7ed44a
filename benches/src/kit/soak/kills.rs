//! Honest ends: processes are killed with SIGKILL in the midst of transfers, and nobody takes a broken transfer for a
//! finished one.

use crate::kit::contestant::{Contestant, End};
use crate::kit::pair::{Chain, Plan, START_LIMIT};
use crate::kit::report::Verdict;
use anyhow::{Context, Result};
use kariz_bench::load::wait_until_up;
use kariz_bench::pattern::mix;
use kariz_bench::target::Target;
use kariz_bench::visitor::{self, TrafficError};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Transfers under way at each kill, half of them up.
const TRANSFERS: u64 = 8;

/// Longest transfer, in bytes.
const LONGEST: u64 = 4 << 20;

/// A transfer that is neither complete nor reset after this time hangs.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait for an answer before looking whether the victim still runs.
const ATTEMPT: Duration = Duration::from_millis(200);

/// What became of all transfers.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Tally {
    kills: u32,
    complete: u64,
    reset: u64,
    /// A clean end with bytes missing, at the visitor or (by its receipt) at the target.
    short: u64,
    /// Wrong or surplus bytes.
    wrong: u64,
    hung: u64,
    /// Reset before anything was killed.
    reset_without_cause: u64,
    /// Clean ends with bytes missing that the target counted.
    short_at_target: u64,
    /// Starts after a kill that ended at once.
    failed_starts: u32,
    longest_return_s: f64,
}

impl Tally {
    pub(super) fn verdicts(&self, who: Contestant) -> Vec<Verdict> {
        let none = |what: &str, value: u64| {
            Verdict::at_most(
                format!("{}, {} kills, {what}", who.label(), self.kills),
                value as f64,
                0.0,
            )
        };
        vec![
            none("clean ends with bytes missing at visitors", self.short),
            none("clean ends with bytes missing at targets", self.short_at_target),
            none("wrong bytes", self.wrong),
            none("hanging visitors", self.hung),
            none("resets without cause", self.reset_without_cause),
            none("starts that failed after it", self.failed_starts.into()),
            Verdict::at_most(
                format!("{}, longest return, s", who.label()),
                self.longest_return_s,
                15.0,
            ),
        ]
    }

    fn count(&mut self, end: Result<(), TrafficError>, at: Instant, killed: Instant) {
        match end {
            Ok(()) => self.complete += 1,
            Err(error) if error.is_timeout() => self.hung += 1,
            Err(TrafficError::Io { .. }) if at < killed => self.reset_without_cause += 1,
            Err(TrafficError::Io { .. }) => self.reset += 1,
            Err(TrafficError::Short { .. }) => self.short += 1,
            Err(_) => self.wrong += 1,
        }
    }
}

pub(super) fn run(plan: &Plan, target: &Target, kills: u32, seed: u64) -> Result<Tally> {
    let mut chain = plan.start()?;
    let mut random = seed;
    let mut tally = Tally {
        kills,
        ..Tally::default()
    };
    let short_before = target.counters().short_ends.load(Ordering::Relaxed);
    let entry = plan.addresses.entry;
    let undisturbed = Instant::now();
    let first: Vec<_> = transfers(entry, &mut random.clone())
        .into_iter()
        .map(Transfer::join)
        .collect();
    // Around the end of a transfer is where it is decided whether its end is honest.
    let usual = undisturbed.elapsed();
    first
        .into_iter()
        .for_each(|(end, at)| tally.count(end, at, Instant::now()));
    for kill in 0..kills {
        let running = transfers(entry, &mut random);
        std::thread::sleep(usual.mul_f64((mix(&mut random) % 1200) as f64 / 1000.0));
        let victim = (kill % 2) as usize;
        let killed = Instant::now();
        chain.processes[victim].kill()?;
        // At once, as a supervisor does: who came too late for a carrier of the old process waits for the new one.
        tally.failed_starts += come_back(plan, &mut chain, victim)
            .with_context(|| format!("kill {kill}: it does not come back; {}", chain.obituary()))?;
        tally.longest_return_s = tally.longest_return_s.max(killed.elapsed().as_secs_f64());
        for transfer in running {
            let (end, at) = transfer.join();
            tally.count(end, at, killed);
        }
        if (kill + 1) % 50 == 0 {
            eprintln!(
                "{}: {} kills, {} complete, {} reset, {} short",
                plan.contestant.label(),
                kill + 1,
                tally.complete,
                tally.reset,
                tally.short
            );
        }
    }
    tally.short_at_target = target.counters().short_ends.load(Ordering::Relaxed) - short_before;
    Ok(tally)
}

/// Starts the victim as a supervisor would, again if it ends at once, until a visitor gets an answer. Returns how many
/// starts failed.
fn come_back(plan: &Plan, chain: &mut Chain, victim: usize) -> Result<u32> {
    let end: End = plan.contestant.ends()[victim];
    chain.processes[victim] = plan.launch(end)?;
    let (begin, mut failed) = (Instant::now(), 0);
    loop {
        if chain.processes[victim].has_ended()? {
            failed += 1;
            chain.processes[victim] = plan.launch(end)?;
        }
        match wait_until_up(plan.addresses.entry, ATTEMPT) {
            Ok(()) => return Ok(failed),
            Err(error) if begin.elapsed() > START_LIMIT => return Err(error.into()),
            Err(_) => {}
        }
    }
}

struct Transfer(std::thread::JoinHandle<(Result<(), TrafficError>, Instant)>);

impl Transfer {
    /// How it ended, and when.
    fn join(self) -> (Result<(), TrafficError>, Instant) {
        match self.0.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn transfers(entry: SocketAddr, random: &mut u64) -> Vec<Transfer> {
    let start = |index| {
        let (seed, length) = (mix(random), mix(random) % LONGEST + 1);
        Transfer(std::thread::spawn(move || {
            let end = TcpStream::connect(entry)
                .and_then(|stream| stream.set_read_timeout(Some(HANG_LIMIT)).map(|()| stream))
                .map_err(|error| TrafficError::Io { received: 0, error })
                .and_then(|stream| match index % 2 {
                    0 => visitor::upload(&stream, seed, length),
                    _ => visitor::download(&stream, seed, length),
                });
            (end, Instant::now())
        }))
    };
    (0..TRANSFERS).map(start).collect()
}
