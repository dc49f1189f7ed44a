//! One turn of one candidate at one work.

use super::candidate::{Candidate, Running};
use super::stage::Stage;
use super::work::{Beside, Metric, Work};
use crate::kit::children::Process;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use kariz_bench::load::bulk::{Bulk, Direction, Flow};
use kariz_bench::load::pings;
use kariz_bench::load::visits::{self, Pace};
use kariz_bench::stats::{self, Quantiles, quantiles};
use kariz_bench::visitor;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Visitors at a time in [`Work::Visits`].
const VISITORS_AT_ONCE: usize = 16;

/// Flows of [`Beside::Paced`], in Mbit/s.
const PACE: u16 = 500;

/// The small streams of [`Work::Fairness`], and pings of each in a second.
const SMALL_STREAMS: u32 = 100;
const SMALL_RATE: u32 = 20;

/// Visitors that come and go before the memory without visitors is looked at: pools have their size then.
const TRIAL_VISITS: u64 = 200;

type Figures = Vec<(Metric, f64)>;

/// What one turn gave.
pub(super) struct Outcome {
    pub(super) figures: Figures,
    /// Whether an upload that ended with a half-close was left without its answer.
    pub(super) answer_lost: bool,
}

pub(super) fn take(candidate: &mut Candidate, stage: &Stage, work: Work) -> Result<Outcome> {
    let mut flows = Flows::default();
    let wrong_before = stage.mismatches();
    let figures = figures(candidate, stage, work, &mut flows)?;
    // Idle and distant contestants are gone by now, and their connections with them.
    stage.clear()?;
    let wrong = stage.mismatches() - wrong_before;
    ensure!(wrong == 0, "{wrong} streams had wrong bytes at the target");
    // Kariz promises it; many others do not.
    ensure!(
        !(flows.answer_lost && candidate.contestant.is_kariz()),
        "an answer after a half-close was lost"
    );
    Ok(Outcome {
        figures,
        answer_lost: flows.answer_lost,
    })
}

/// Ends flows, and keeps in mind whether one was left without its receipt.
#[derive(Default)]
struct Flows {
    answer_lost: bool,
}

impl Flows {
    fn stop(&mut self, load: Bulk) -> Result<()> {
        self.answer_lost |= load.stop()? > 0;
        Ok(())
    }
}

fn figures(candidate: &mut Candidate, stage: &Stage, work: Work, flows: &mut Flows) -> Result<Figures> {
    match work {
        Work::Bulk { streams, direction } => bulk(candidate.lasting(stage)?, stage, flow(streams, direction), flows),
        Work::Visits => short_visits(candidate.lasting(stage)?, stage),
        Work::PingPong { beside } => ping_pong(candidate.lasting(stage)?, stage, beside, flows),
        Work::Fairness => fairness(candidate.lasting(stage)?, stage, flows),
        Work::Idle { visitors } => idle(&candidate.fresh(stage)?, stage, visitors),
        Work::Start => {
            let time = candidate.time_start(stage)?;
            Ok(vec![(Metric::FirstByteMs, time.as_secs_f64() * 1e3)])
        }
        Work::Distant { streams, direction } => {
            distant(&candidate.distant(stage)?, stage, flow(streams, direction), flows)
        }
    }
}

fn flow(streams: usize, direction: Direction) -> Flow {
    Flow {
        streams,
        direction,
        mbit_per_s: None,
    }
}

fn bulk(running: &Running, stage: &Stage, flow: Flow, flows: &mut Flows) -> Result<Figures> {
    let load = Bulk::start(running.entry, stage.target.counters(), flow)?;
    std::thread::sleep(stage.timing.warm_up);
    let (begin, bytes, cpu) = (Instant::now(), load.received(), running.chain.cpu_time()?);
    std::thread::sleep(stage.timing.turn);
    let (elapsed, bytes) = (begin.elapsed(), load.received() - bytes);
    let cpu = (running.chain.cpu_time()? - cpu).as_secs_f64();
    flows.stop(load)?;
    ensure!(bytes > 0, "nothing arrived");
    let gbit = bytes as f64 * 8e-9;
    Ok(vec![
        (Metric::GbitPerS, gbit / elapsed.as_secs_f64()),
        (Metric::GbitPerCpuS, gbit / cpu),
        (Metric::CpuSPerGb, cpu * 8.0 / gbit),
    ])
}

fn distant(running: &Running, stage: &Stage, flow: Flow, flows: &mut Flows) -> Result<Figures> {
    let long = stage.long_path()?;
    let (entry, counters) = (running.entry, long.target.counters().clone());
    let load = long.path.first.run(move || Bulk::start(entry, &counters, flow))?;
    std::thread::sleep(stage.timing.distant_warm_up);
    let (begin, bytes) = (Instant::now(), load.received());
    std::thread::sleep(stage.timing.distant_turn);
    let (elapsed, bytes) = (begin.elapsed(), load.received() - bytes);
    flows.stop(load)?;
    ensure!(bytes > 0, "nothing arrived");
    Ok(vec![(Metric::GbitPerS, bytes as f64 * 8e-9 / elapsed.as_secs_f64())])
}

fn ping_pong(running: &Running, stage: &Stage, beside: Beside, flows: &mut Flows) -> Result<Figures> {
    let mut beside_it = Vec::new();
    if beside != Beside::Nothing {
        for direction in [Direction::Up, Direction::Down] {
            let flow = Flow {
                streams: 1,
                direction,
                mbit_per_s: (beside == Beside::Paced).then_some(PACE),
            };
            beside_it.push(Bulk::start(running.entry, stage.target.counters(), flow)?);
        }
    }
    let stream = TcpStream::connect(running.entry)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut nanos = stats::recorder();
    let (begin, timing) = (Instant::now(), stage.timing);
    let mut moved_before = None;
    visitor::ping_pong(&stream, 1, timing.warm_up + timing.turn, |rtt| {
        if begin.elapsed() > timing.warm_up {
            moved_before.get_or_insert_with(|| (Instant::now(), received(&beside_it)));
            stats::record(&mut nanos, rtt);
        }
    })?;
    let mut figures = round_trips(quantiles(&nanos, true));
    if beside != Beside::Nothing {
        let (since, before) = moved_before.context("no ping came back")?;
        let moved = (received(&beside_it) - before) as f64 * 8e-9 / since.elapsed().as_secs_f64();
        // Who holds the flows back has an easy time with the pings.
        let least = f64::from(2 * PACE) * 0.9e-3;
        ensure!(
            beside != Beside::Paced || moved >= least,
            "the flows beside it got {moved:.2} Gbit/s, not 2 x {PACE} Mbit/s"
        );
        figures.push((Metric::GbitPerS, moved));
    }
    for load in beside_it {
        flows.stop(load).context("a flow beside the pings")?;
    }
    Ok(figures)
}

/// What all flows have brought so far.
fn received(flows: &[Bulk]) -> u64 {
    flows.iter().map(Bulk::received).sum()
}

fn round_trips(rtt: Quantiles) -> Figures {
    vec![
        (Metric::RttP50Us, rtt.p50),
        (Metric::RttP99Us, rtt.p99),
        (Metric::RttP999Us, rtt.p999),
    ]
}

fn fairness(running: &Running, stage: &Stage, flows: &mut Flows) -> Result<Figures> {
    let timing = stage.timing;
    let load = Bulk::start(running.entry, stage.target.counters(), flow(1, Direction::Down))?;
    let plan = pings::Plan {
        address: running.entry,
        streams: SMALL_STREAMS,
        rate: SMALL_RATE,
        duration: timing.warm_up + timing.turn,
        warm_up: timing.warm_up,
    };
    let (streams, gbit) = std::thread::scope(|scope| {
        let bulk = scope.spawn(|| {
            std::thread::sleep(timing.warm_up);
            let (begin, before) = (Instant::now(), load.received());
            std::thread::sleep(timing.turn);
            (load.received() - before) as f64 * 8e-9 / begin.elapsed().as_secs_f64()
        });
        let streams = pings::run(plan).context("the small streams");
        (streams, bulk.join().expect("it only sleeps and counts"))
    });
    let streams = streams?;
    flows.stop(load)?;
    let mut all = stats::recorder();
    for stream in &streams {
        all.add(stream)?;
    }
    let median = |stream: &Histogram<u64>| stream.value_at_quantile(0.5) as f64 / 1e3;
    let slowest = streams.iter().map(median).fold(0.0, f64::max);
    let mut figures = round_trips(quantiles(&all, false));
    figures.extend([(Metric::SlowestP50Us, slowest), (Metric::GbitPerS, gbit)]);
    Ok(figures)
}

fn short_visits(running: &Running, stage: &Stage) -> Result<Figures> {
    let pace = Pace::AtOnce(VISITORS_AT_ONCE);
    // Pools get their size before it counts.
    visit(running.entry, pace, stage.timing.warm_up, u64::MAX, false)?;
    let cpu = running.chain.cpu_time()?;
    let outcome = visit(running.entry, pace, stage.timing.turn, u64::MAX, false)?;
    let cpu = running.chain.cpu_time()? - cpu;
    let done = outcome.done as f64;
    Ok(vec![
        (Metric::VisitsPerS, done / outcome.elapsed.as_secs_f64()),
        (Metric::VisitsPerCpuS, done / cpu.as_secs_f64()),
    ])
}

fn idle(running: &Running, stage: &Stage, visitors: u32) -> Result<Figures> {
    let look = || -> Result<Vec<(f64, f64)>> {
        std::thread::sleep(stage.timing.rest);
        let processes = running.chain.processes.iter();
        let footprint = |process: &Process| -> Result<(f64, f64)> {
            Ok((process.memory()?.pss as f64 / 1024.0, process.descriptors()? as f64))
        };
        processes.map(footprint).collect()
    };
    let patience = Duration::from_secs(300);
    drop(visit(running.entry, Pace::AtOnce(16), patience, TRIAL_VISITS, false)?);
    let before = look()?;
    let staying = visit(running.entry, Pace::AtOnce(64), patience, visitors.into(), true)?;
    let with = look()?;
    let open = stage.target.counters().open.load(Ordering::Relaxed);
    ensure!(open >= visitors.into(), "only {open} of {visitors} visitors stayed");
    drop(staying);
    let grown = |figure: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let pairs = with.iter().zip(&before);
        pairs
            .map(|(with, before)| (figure(with) - figure(before)) / f64::from(visitors))
            .collect()
    };
    let (kib, descriptors) = (grown(|look| look.0), grown(|look| look.1));
    Ok(vec![
        (Metric::KibPerVisitor, kib.iter().sum()),
        (Metric::OuterKibPerVisitor, kib[0]),
        (
            Metric::DescriptorsPerVisitor,
            descriptors.into_iter().fold(f64::NEG_INFINITY, f64::max),
        ),
    ])
}

/// Visits of which none may fail.
fn visit(address: SocketAddr, pace: Pace, duration: Duration, most: u64, stay: bool) -> Result<visits::Outcome> {
    let outcome = visits::run(visits::Plan {
        address,
        pace,
        duration,
        most,
        stay,
    })?;
    let reason = outcome.first_failure.as_deref().unwrap_or_default();
    ensure!(
        outcome.failed == 0,
        "{} of {} visits failed: {reason}",
        outcome.failed,
        outcome.done + outcome.failed
    );
    Ok(outcome)
}
