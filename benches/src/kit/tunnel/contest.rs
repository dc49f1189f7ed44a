//! The turns: every candidate does every work once a round.

use super::setup::{Candidate, Name};
use anyhow::{Context, Result, ensure};
use kariz_bench::load::bulk::{Bulk, Direction};
use kariz_bench::load::visits::{self, Pace, Plan};
use kariz_bench::stats::{self, Spread, quantiles};
use kariz_bench::target::Target;
use kariz_bench::visitor;
use serde::Serialize;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Visitors at a time in [`Work::Visits`].
const VISITORS_AT_ONCE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    Bulk { streams: usize, direction: Direction },
    PingPong,
    Visits,
}

/// What is measured; the unit is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Metric {
    GbitPerS,
    GbitPerCpuS,
    RttP50Us,
    RttP99Us,
    RttP999Us,
    VisitsPerS,
    VisitsPerCpuS,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Before the clock of a bulk or ping turn starts.
    pub(super) warm_up: Duration,
    /// How long is measured.
    pub(super) turn: Duration,
}

/// One value of each round.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: Name,
    pub(super) work: Work,
    pub(super) metric: Metric,
    pub(super) values: Vec<f64>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Contest {
    pub(super) series: Vec<Series>,
}

impl Work {
    pub(super) fn all() -> Vec<Self> {
        let bulk = [1, 8, 64]
            .into_iter()
            .flat_map(|streams| [Direction::Up, Direction::Down].map(|direction| Self::Bulk { streams, direction }));
        bulk.chain([Self::PingPong, Self::Visits]).collect()
    }
}

impl Contest {
    pub(super) fn values(&self, name: Name, work: Work, metric: Metric) -> &[f64] {
        let found = self
            .series
            .iter()
            .find(|s| s.name == name && s.work == work && s.metric == metric);
        found.map_or(&[], |series| &series.values)
    }

    fn record(&mut self, name: Name, work: Work, figures: Vec<(Metric, f64)>) {
        for (metric, value) in figures {
            match self
                .series
                .iter_mut()
                .find(|s| s.name == name && s.work == work && s.metric == metric)
            {
                Some(series) => series.values.push(value),
                None => self.series.push(Series {
                    name,
                    work,
                    metric,
                    values: vec![value],
                }),
            }
        }
    }

    /// For the result file: every value, and their spread.
    pub(super) fn rows(&self) -> serde_json::Value {
        let row = |series: &Series| {
            serde_json::json!({
                "name": series.name.label(), "work": series.work, "metric": series.metric,
                "spread": Spread::of(&series.values), "values": series.values,
            })
        };
        self.series.iter().map(row).collect()
    }
}

/// Lets everybody work in turns (A B C A B C) and tells how far it is on stderr.
pub(super) fn run(
    candidates: &[Candidate],
    target: &Target,
    works: &[Work],
    rounds: usize,
    timing: Timing,
) -> Result<Contest> {
    let mut contest = Contest::default();
    for round in 1..=rounds {
        for work in works {
            eprintln!("round {round} of {rounds}: {work:?}");
            for candidate in candidates {
                let figures = turn(candidate, target, *work, timing).with_context(|| {
                    format!(
                        "{} failed at {work:?}; {}",
                        candidate.name.label(),
                        candidate.obituary()
                    )
                })?;
                contest.record(candidate.name, *work, figures);
            }
        }
    }
    Ok(contest)
}

fn turn(candidate: &Candidate, target: &Target, work: Work, timing: Timing) -> Result<Vec<(Metric, f64)>> {
    match work {
        Work::Bulk { streams, direction } => bulk(candidate, target, streams, direction, timing),
        Work::PingPong => ping_pong(candidate, timing),
        Work::Visits => visits(candidate, timing),
    }
}

fn bulk(
    candidate: &Candidate,
    target: &Target,
    streams: usize,
    direction: Direction,
    timing: Timing,
) -> Result<Vec<(Metric, f64)>> {
    let load = Bulk::start(candidate.entry, target, streams, direction)?;
    std::thread::sleep(timing.warm_up);
    let (begin, bytes, cpu) = (Instant::now(), load.received(), candidate.cpu_time()?);
    std::thread::sleep(timing.turn);
    let (elapsed, bytes) = (begin.elapsed(), load.received() - bytes);
    let cpu = candidate.cpu_time()? - cpu;
    load.stop()?;
    ensure!(bytes > 0, "nothing arrived");
    let gbit = bytes as f64 * 8e-9;
    Ok(vec![
        (Metric::GbitPerS, gbit / elapsed.as_secs_f64()),
        (Metric::GbitPerCpuS, gbit / cpu.as_secs_f64()),
    ])
}

fn ping_pong(candidate: &Candidate, timing: Timing) -> Result<Vec<(Metric, f64)>> {
    let stream = TcpStream::connect(candidate.entry)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut nanos = stats::recorder();
    let begin = Instant::now();
    visitor::ping_pong(&stream, 1, timing.warm_up + timing.turn, |rtt| {
        if begin.elapsed() > timing.warm_up {
            stats::record(&mut nanos, rtt);
        }
    })?;
    let rtt = quantiles(&nanos, true);
    Ok(vec![
        (Metric::RttP50Us, rtt.p50),
        (Metric::RttP99Us, rtt.p99),
        (Metric::RttP999Us, rtt.p999),
    ])
}

fn visits(candidate: &Candidate, timing: Timing) -> Result<Vec<(Metric, f64)>> {
    let cpu = candidate.cpu_time()?;
    let plan = Plan {
        address: candidate.entry,
        pace: Pace::AtOnce(VISITORS_AT_ONCE),
        duration: timing.turn,
        most: u64::MAX,
        stay: false,
    };
    let outcome = visits::run(plan)?;
    let cpu = candidate.cpu_time()? - cpu;
    let reason = outcome.first_failure.unwrap_or_default();
    ensure!(
        outcome.failed == 0,
        "{} of {} visits failed: {reason}",
        outcome.failed,
        outcome.done + outcome.failed
    );
    let done = outcome.done as f64;
    Ok(vec![
        (Metric::VisitsPerS, done / outcome.elapsed.as_secs_f64()),
        (Metric::VisitsPerCpuS, done / cpu.as_secs_f64()),
    ])
}
