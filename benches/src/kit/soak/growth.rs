//! Many short connections leave nothing behind.

use crate::kit::children::Process;
use crate::kit::pair::{Chain, Plan};
use crate::kit::report::Verdict;
use anyhow::{Result, ensure};
use kariz_bench::load::visits::{self, Pace};
use kariz_bench::target::Target;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Resident memory after all connections, at most this many times that after the first tenth.
const RSS_FACTOR: f64 = 1.05;

/// How long descriptors may take to come down to where they were.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(plan: &Plan, target: &Target, connections: u64) -> Result<Vec<Verdict>> {
    let chain = plan.start()?;
    // The first tenth fills pools and the allocator: what grows after it, grows for ever.
    visit(plan, connections / 10)?;
    settle(target);
    std::thread::sleep(Duration::from_secs(3));
    let before = look(&chain)?;
    visit(plan, connections)?;
    settle(target);
    let begin = Instant::now();
    let mut after = look(&chain)?;
    while begin.elapsed() < SETTLE_LIMIT && descriptors(&after) != descriptors(&before) {
        std::thread::sleep(Duration::from_millis(500));
        after = look(&chain)?;
    }
    let mut verdicts = Vec::new();
    for (index, end) in ["outer", "inner"].into_iter().enumerate() {
        let what = |figure| {
            format!(
                "{} {end}, after {connections} connections, {figure}",
                plan.contestant.label()
            )
        };
        let ((fds_before, rss_before), (fds_after, rss_after)) = (before[index], after[index]);
        verdicts.push(Verdict::at_most(
            what("descriptors more"),
            fds_after as f64 - fds_before as f64,
            0.0,
        ));
        verdicts.push(Verdict::at_most(
            what("RSS ratio"),
            rss_after as f64 / rss_before as f64,
            RSS_FACTOR,
        ));
    }
    Ok(verdicts)
}

fn visit(plan: &Plan, connections: u64) -> Result<()> {
    eprintln!("{}: {connections} short connections", plan.contestant.label());
    let outcome = visits::run(visits::Plan {
        address: plan.addresses.entry,
        pace: Pace::AtOnce(64),
        duration: Duration::from_secs(3600),
        most: connections,
        stay: false,
    })?;
    let reason = outcome.first_failure.unwrap_or_default();
    ensure!(
        outcome.failed == 0,
        "{} of {connections} failed: {reason}",
        outcome.failed
    );
    Ok(())
}

/// Waits until the target has no connection left.
fn settle(target: &Target) {
    let begin = Instant::now();
    while target.counters().open.load(Ordering::Relaxed) > 0 && begin.elapsed() < SETTLE_LIMIT {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn look(chain: &Chain) -> Result<[(usize, u64); 2]> {
    let look = |process: &Process| -> Result<(usize, u64)> { Ok((process.descriptors()?, process.memory()?.rss)) };
    Ok([look(&chain.processes[0])?, look(&chain.processes[1])?])
}

fn descriptors(ends: &[(usize, u64); 2]) -> [usize; 2] {
    ends.map(|(descriptors, _)| descriptors)
}
