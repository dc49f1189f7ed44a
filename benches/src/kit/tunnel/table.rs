//! The table on the terminal and the verdicts on the project's targets.

use super::contest::{Contest, Metric, Work};
use super::setup::Name;
use crate::kit::pair::Kind;
use crate::kit::report::Verdict;
use kariz_bench::load::bulk::Direction;
use kariz_bench::stats::Spread;

const DIRECT: Name = Name::Tunnel(Kind::KarizDirect);
const MUX: Name = Name::Tunnel(Kind::KarizMux);
const SPLICE_PAIR: Name = Name::Tunnel(Kind::SplicePair);

/// Who is held against which limit.
const AGAINST: [(Name, Name, f64); 3] = [
    (DIRECT, SPLICE_PAIR, 0.85),
    (MUX, Name::Tunnel(Kind::FramingPair), 0.80),
    (Name::KarizRelay, Name::SpliceRelay, 0.90),
];

/// Most that a tunnel may add to the round trip of the bare two-hop relay.
const RTT_BOUND: f64 = 1.25;

pub(super) fn print(contest: &Contest) {
    let mut works: Vec<(Work, Metric)> = Vec::new();
    let mut names: Vec<Name> = Vec::new();
    for series in &contest.series {
        if !works.contains(&(series.work, series.metric)) {
            works.push((series.work, series.metric));
        }
        if !names.contains(&series.name) {
            names.push(series.name);
        }
    }
    print!("{:<28}", "median (least-greatest)");
    names.iter().for_each(|name| print!("{:>24}", name.label()));
    println!();
    for (work, metric) in works {
        print!("{:<28}", format!("{} {}", describe(work), unit(metric)));
        for name in &names {
            let cell = Spread::of(contest.values(*name, work, metric))
                .map(cell)
                .unwrap_or_default();
            print!("{cell:>24}");
        }
        println!();
    }
}

/// Each target with the median of the ratios within the rounds; none without Kariz.
pub(super) fn verdicts(contest: &Contest) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (name, limit, bound) in AGAINST {
        for work in Work::all() {
            let ours = contest.values(name, work, Metric::GbitPerCpuS);
            let theirs = contest.values(limit, work, Metric::GbitPerCpuS);
            if let Some(ratio) = Spread::of_ratios(ours, theirs) {
                let what = format!("{} / {}, Gbit/cpu-s, {}", name.label(), limit.label(), describe(work));
                verdicts.push(Verdict::at_least(what, ratio.median, bound));
            }
        }
    }
    for name in [DIRECT, MUX] {
        let ours = contest.values(name, Work::PingPong, Metric::RttP50Us);
        let theirs = contest.values(SPLICE_PAIR, Work::PingPong, Metric::RttP50Us);
        if let Some(ratio) = Spread::of_ratios(ours, theirs) {
            let what = format!("{} / {}, round trip p50", name.label(), SPLICE_PAIR.label());
            verdicts.push(Verdict::at_most(what, ratio.median, RTT_BOUND));
        }
    }
    verdicts
}

fn cell(spread: Spread) -> String {
    let digits = if spread.median < 100.0 { 1 } else { 0 };
    format!(
        "{:.digits$} ({:.digits$}-{:.digits$})",
        spread.median, spread.min, spread.max
    )
}

fn describe(work: Work) -> String {
    match work {
        Work::Bulk {
            streams,
            direction: Direction::Up,
        } => format!("{streams} up"),
        Work::Bulk {
            streams,
            direction: Direction::Down,
        } => format!("{streams} down"),
        Work::PingPong => "64 B ping-pong".into(),
        Work::Visits => "64 B visits".into(),
    }
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::GbitPerS => "Gbit/s",
        Metric::GbitPerCpuS => "Gbit/cpu-s",
        Metric::RttP50Us => "p50 us",
        Metric::RttP99Us => "p99 us",
        Metric::RttP999Us => "p99.9 us",
        Metric::VisitsPerS => "/s",
        Metric::VisitsPerCpuS => "/cpu-s",
    }
}
