//! `distance`: how long new visitors wait when the two ends of the tunnel are far apart.
//!
//! The outer process and the visitors are in one network namespace, the inner one and the target in another; between
//! them every packet takes half of the round trip. Visitors come by the clock, and wait from their scheduled time.

use super::contestant::Contestant;
use super::kariz::KarizOptions;
use super::machine::Machine;
use super::pair::Plan;
use super::peers::Peers;
use super::programs::Programs;
use super::report::{Record, Verdict};
use anyhow::{Context, Result, ensure};
use kariz_bench::load::visits::{self, Outcome, Pace};
use kariz_bench::path::{self, DelayedPath};
use kariz_bench::stats::{Quantiles, quantiles};
use kariz_bench::target::Target;
use serde::Serialize;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Most round trips that a new visitor waits for its first byte, at p99.
const BOUND_ROUND_TRIPS: f64 = 2.0;

#[derive(Debug, Serialize, clap::Args)]
pub(crate) struct Options {
    /// Round trip time of the path, in milliseconds.
    #[arg(long, default_value_t = 100)]
    rtt_ms: u64,
    /// New visitors each second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For how long they come, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[command(flatten)]
    kariz: KarizOptions,
}

#[derive(Debug, Serialize)]
struct Row {
    tunnel: Contestant,
    visitors: u64,
    failed: u64,
    first_failure: Option<String>,
    wait_us: Quantiles,
    longest_us: f64,
    p50_round_trips: f64,
    p99_round_trips: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
    let (record, machine) = (Record::begin("distance"), Machine::of_this());
    let folder = tempfile::tempdir()?;
    let programs = Programs::prepare(&options.kariz, Peers::default(), folder.path())?;
    let mut rows = Vec::new();
    println!("{} new visitors a second for {} s", options.rate, options.seconds);
    println!(
        "{:<14}{:>9}{:>8}{:>10}{:>10}{:>10}{:>10}{:>18}",
        "tunnel", "visitors", "failed", "p50 ms", "p99 ms", "p99.9 ms", "most ms", "p99, round trips"
    );
    let lanes = Contestant::LANES.into_iter().filter(|_| programs.has_kariz());
    for who in lanes.chain(Contestant::LIMITS) {
        let row = measure(who, &programs, options)?;
        let Quantiles { p50, p99, p999 } = row.wait_us;
        println!(
            "{:<14}{:>9}{:>8}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{:>18.2}  {}",
            who.label(),
            row.visitors,
            row.failed,
            p50 / 1e3,
            p99 / 1e3,
            p999 / 1e3,
            row.longest_us / 1e3,
            row.p99_round_trips,
            row.first_failure.as_deref().unwrap_or_default()
        );
        rows.push(row);
    }
    let mut verdicts = Vec::new();
    for row in rows.iter().filter(|row| row.tunnel.is_kariz()) {
        let what = format!("{}, wait for the first byte, p99, round trips", row.tunnel.label());
        verdicts.push(Verdict::at_most(what, row.p99_round_trips, BOUND_ROUND_TRIPS));
        verdicts.push(Verdict::at_most(
            format!("{}, failed visitors", row.tunnel.label()),
            row.failed as f64,
            0.0,
        ));
    }
    Verdict::print_all(&verdicts);
    let results = serde_json::json!({ "rows": rows, "verdicts": verdicts });
    record.write(programs.kariz_version(), options, &machine, &results)?;
    println!("written to {}", record.path().display());
    Ok(())
}

fn measure(who: Contestant, programs: &Programs, options: &Options) -> Result<Row> {
    let path = DelayedPath::new(Duration::from_millis(options.rtt_ms) / 2).context("making the delayed path")?;
    let rtt = round_trip(&path)?;
    let target = path.second.run(|| Target::start((Ipv4Addr::LOCALHOST, 0).into()))?;
    let plan = Plan::across(who, target.address().port(), programs)?;
    let (entry, chain) = (plan.addresses.entry, plan.start_across(&path)?);
    let plan = visits::Plan {
        address: entry,
        pace: Pace::PerSecond(options.rate),
        duration: Duration::from_secs(options.seconds),
        most: u64::MAX,
        stay: false,
    };
    let outcome: Outcome = path.first.run(move || visits::run(plan))?;
    ensure!(
        outcome.done > 0,
        "{}: nobody got an answer; {}",
        who.label(),
        chain.obituary()
    );
    let wait = quantiles(&outcome.latency, false);
    let rtt_us = rtt.as_secs_f64() * 1e6;
    Ok(Row {
        tunnel: who,
        visitors: outcome.done,
        failed: outcome.failed,
        first_failure: outcome.first_failure,
        wait_us: wait,
        longest_us: outcome.latency.max() as f64 / 1e3,
        p50_round_trips: wait.p50 / rtt_us,
        p99_round_trips: wait.p99 / rtt_us,
    })
}

/// What the path really takes: the shortest of five TCP handshakes.
fn round_trip(path: &DelayedPath) -> Result<Duration> {
    let listener = path.first.run(|| TcpListener::bind((path::FIRST, 0)))?;
    let address = listener.local_addr()?;
    let times = path.second.run(move || {
        let handshake = |_| {
            let begin = Instant::now();
            TcpStream::connect(address).map(|_| begin.elapsed())
        };
        (0..5).map(handshake).collect::<std::io::Result<Vec<Duration>>>()
    })?;
    times.into_iter().min().context("no handshake")
}
