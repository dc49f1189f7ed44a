//! The project's targets, and whether a comparison reached them.

use super::results::Results;
use super::work::{Metric, Work};
use crate::kit::report::Verdict;

/// Works by the beginning of their keys.
const BULK: &str = "bulk/";
const VISITS: &str = "visits";
const ALONE: &str = "ping/alone";
const BESIDE: &str = "ping/beside-2x500-mbit";
const IDLE: &str = "idle/";
const MANY_IDLE: &str = "idle/9000";
const DISTANT_ONE: &str = "distant/1/";

const DIRECT: &str = "kariz direct";
const MUX: &str = "kariz mux";
const RELAY: &str = "kariz relay";

/// A bound on the ratio of two contestants.
struct Target {
    ours: &'static str,
    metric: Metric,
    works: &'static str,
    bound: Bound,
    theirs: &'static [(&'static str, f64)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
}

use Bound::{AtLeast, AtMost};

#[rustfmt::skip]
const TARGETS: &[Target] = &[
    Target { ours: DIRECT, metric: Metric::GbitPerS, works: BULK, bound: AtLeast, theirs: &[
        ("realm pair", 1.0), ("rathole", 1.7), ("haproxy pair", 1.3), ("frp without mux", 1.1)] },
    Target { ours: MUX, metric: Metric::GbitPerS, works: BULK, bound: AtLeast, theirs: &[
        ("frp tcpMux", 2.0), ("backhaul tcpmux", 2.0), ("rathole", 1.3)] },
    Target { ours: DIRECT, metric: Metric::GbitPerCpuS, works: BULK, bound: AtLeast, theirs: &[
        ("realm pair", 1.1), ("frp without mux", 1.8), ("haproxy pair", 2.0), ("rathole", 3.0), ("splice pair", 0.9)] },
    Target { ours: MUX, metric: Metric::GbitPerCpuS, works: BULK, bound: AtLeast, theirs: &[
        ("frp tcpMux", 2.2), ("backhaul tcpmux", 2.5), ("rathole", 2.0)] },
    Target { ours: RELAY, metric: Metric::GbitPerCpuS, works: BULK, bound: AtLeast, theirs: &[
        ("realm relay", 1.1), ("haproxy relay", 2.5), ("splice relay", 0.9)] },
    Target { ours: DIRECT, metric: Metric::RttP50Us, works: ALONE, bound: AtMost, theirs: &[("haproxy pair", 1.0)] },
    Target { ours: DIRECT, metric: Metric::RttP99Us, works: ALONE, bound: AtMost, theirs: &[("haproxy pair", 1.0)] },
    Target { ours: MUX, metric: Metric::RttP50Us, works: ALONE, bound: AtMost, theirs: &[
        ("frp tcpMux", 0.5), ("rathole", 1.0)] },
    Target { ours: DIRECT, metric: Metric::RttP50Us, works: BESIDE, bound: AtMost, theirs: &[
        ("realm pair", 1.0), ("haproxy pair", 1.0)] },
    Target { ours: DIRECT, metric: Metric::RttP99Us, works: BESIDE, bound: AtMost, theirs: &[
        ("realm pair", 1.0), ("haproxy pair", 1.0)] },
    Target { ours: MUX, metric: Metric::RttP99Us, works: BESIDE, bound: AtMost, theirs: &[
        ("frp tcpMux", 0.6), ("backhaul tcpmux", 0.6)] },
    Target { ours: DIRECT, metric: Metric::VisitsPerCpuS, works: VISITS, bound: AtLeast, theirs: &[
        ("rathole", 1.1), ("realm pair", 1.0)] },
    Target { ours: MUX, metric: Metric::VisitsPerCpuS, works: VISITS, bound: AtLeast, theirs: &[
        ("haproxy pair", 1.3), ("frp tcpMux", 3.5)] },
    Target { ours: DIRECT, metric: Metric::KibPerVisitor, works: IDLE, bound: AtMost, theirs: &[("haproxy pair", 1.0)] },
    Target { ours: MUX, metric: Metric::KibPerVisitor, works: IDLE, bound: AtMost, theirs: &[("haproxy pair", 0.7)] },
    Target { ours: DIRECT, metric: Metric::GbitPerS, works: DISTANT_ONE, bound: AtLeast, theirs: &[("bare TCP", 0.9)] },
    Target { ours: MUX, metric: Metric::GbitPerS, works: DISTANT_ONE, bound: AtLeast, theirs: &[("bare TCP", 0.85)] },
];

/// Descriptors of an idle visitor in one process, at most: its own (2 and 1), and a tenth for carriers, which many share or
/// which are kept ready.
const DESCRIPTORS: [(&str, f64); 2] = [(DIRECT, 2.1), (MUX, 1.1)];

/// A verdict on each target for which both sides were measured.
///
/// Where Kariz failed at a work that was played, its targets there are missed, whatever other rounds gave.
pub(super) fn verdicts(results: &Results, played: &[Work]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for target in TARGETS {
        for (theirs, bound) in target.theirs {
            for work in played.iter().map(|work| work.key()) {
                if !work.starts_with(target.works) {
                    continue;
                }
                let failed = has_failed(results, target.ours, &work);
                let ratio = match results.ratio(target.ours, theirs, &work, target.metric) {
                    _ if failed && target.bound == AtLeast => 0.0,
                    _ if failed => f64::MAX,
                    Some(ratio) => ratio,
                    None => continue,
                };
                let what = format!("{} / {theirs}, {work}, {}", target.ours, target.metric.unit());
                verdicts.push(match target.bound {
                    AtLeast => Verdict::at_least(what, ratio, *bound),
                    AtMost => Verdict::at_most(what, ratio, *bound),
                });
            }
        }
    }
    let metric = Metric::DescriptorsPerVisitor;
    for (ours, bound) in DESCRIPTORS {
        let value = match results.row(ours, MANY_IDLE, metric) {
            _ if has_failed(results, ours, MANY_IDLE) => f64::MAX,
            Some(row) => row.median,
            None => continue,
        };
        let what = format!("{ours}, {MANY_IDLE}, {} (a tenth for carriers)", metric.unit());
        verdicts.push(Verdict::at_most(what, value, bound));
    }
    verdicts
}

fn has_failed(results: &Results, name: &str, work: &str) -> bool {
    let mut failures = results.failures.iter();
    failures.any(|failure| failure.name == name && failure.work == work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::compare::results::Failure;
    use crate::kit::compare::work::{Beside, Group};
    use crate::kit::contestant::Contestant;
    use crate::kit::peers::Peer;
    use clap::ValueEnum;

    #[test]
    fn every_target_names_contestants_and_works_that_exist() {
        let mut names: Vec<String> = Peer::value_variants()
            .iter()
            .flat_map(|peer| peer.contestants())
            .map(Contestant::label)
            .collect();
        names.push(Contestant::Bare.label());
        let keys: Vec<String> = Group::value_variants()
            .iter()
            .flat_map(|group| Work::of(*group))
            .map(Work::key)
            .collect();
        for target in TARGETS {
            assert!(keys.iter().any(|key| key.starts_with(target.works)), "{}", target.works);
            for (theirs, _) in target.theirs {
                assert!(names.iter().any(|name| name == theirs), "{theirs}");
            }
        }
    }

    #[test]
    fn who_failed_has_missed() {
        let mut results = Results::default();
        let rival = Peer::Haproxy.contestants()[0];
        let alone = Work::PingPong {
            beside: Beside::Nothing,
        };
        for (work, metric) in [(Work::Visits, Metric::VisitsPerCpuS), (alone, Metric::RttP50Us)] {
            results.record(rival, work, 0, &[(metric, 100.0)]);
            results.failures.push(Failure {
                name: Contestant::MUX.label(),
                work: work.key(),
                round: 1,
                why: "for the test".into(),
            });
        }
        let missed = verdicts(&results, &[Work::Visits, alone]);
        assert!(missed.iter().all(|verdict| !verdict.pass), "{missed:?}");
        let of_visits = missed.iter().filter(|verdict| verdict.what.contains("visits"));
        assert_eq!(of_visits.count(), 2, "haproxy pair and frp tcpMux");
    }

    #[test]
    fn a_missed_target_is_a_miss() {
        let mut results = Results::default();
        let rival = Peer::Rathole.contestants()[0];
        results.record(Contestant::DIRECT, Work::Visits, 0, &[(Metric::VisitsPerCpuS, 100.0)]);
        results.record(rival, Work::Visits, 0, &[(Metric::VisitsPerCpuS, 100.0)]);
        let verdicts = verdicts(&results, &[Work::Visits]);
        assert_eq!(verdicts.len(), 1);
        assert!(!verdicts[0].pass, "1.0 is less than 1.1");
    }
}
