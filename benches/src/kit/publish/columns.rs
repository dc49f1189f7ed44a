//! What the tables show.

use super::cell::Figure;
use crate::kit::compare::work::Metric;

/// One or more figures that belong together.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) figures: &'static [Figure],
}

const fn figure(metric: Metric, works: &'static [&'static str]) -> Figure {
    Figure { works, metric }
}

const ONE_STREAM: &[&str] = &["bulk/1/up", "bulk/1/down"];
const EIGHT_STREAMS: &[&str] = &["bulk/8/up", "bulk/8/down"];
const MANY_STREAMS: &[&str] = &["bulk/64/up", "bulk/64/down"];
const ALONE: &[&str] = &["ping/alone"];
const BESIDE: &[&str] = &["ping/beside-2x500-mbit"];
const UNBOUNDED: &[&str] = &["ping/beside-unbounded"];
const FAIRNESS: &[&str] = &["fairness"];

/// Of these there is a picture, too.
pub(super) const CPU_ONE_STREAM: Figure = figure(Metric::GbitPerCpuS, ONE_STREAM);
pub(super) const CPU_MANY_STREAMS: Figure = figure(Metric::GbitPerCpuS, MANY_STREAMS);
pub(super) const P99_BESIDE: Figure = figure(Metric::RttP99Us, BESIDE);
pub(super) const VISITS: Figure = figure(Metric::VisitsPerCpuS, &["visits"]);
pub(super) const IDLE_KIB: Figure = figure(Metric::KibPerVisitor, &["idle/9000"]);

const SPEED: Column = Column {
    head: "Gbit/s, 1 / 8 / 64 streams",
    figures: &[
        figure(Metric::GbitPerS, ONE_STREAM),
        figure(Metric::GbitPerS, EIGHT_STREAMS),
        figure(Metric::GbitPerS, MANY_STREAMS),
    ],
};
const COST: Column = Column {
    head: "Gbit per CPU-second, 1 / 8 / 64 streams",
    figures: &[
        CPU_ONE_STREAM,
        figure(Metric::GbitPerCpuS, EIGHT_STREAMS),
        CPU_MANY_STREAMS,
    ],
};
pub(super) const ROUND_TRIP: Column = Column {
    head: "round trip alone, p50 / p99 / p99.9, us",
    figures: &[
        figure(Metric::RttP50Us, ALONE),
        figure(Metric::RttP99Us, ALONE),
        figure(Metric::RttP999Us, ALONE),
    ],
};
pub(super) const ROUND_TRIP_BESIDE: Column = Column {
    head: "beside 2x500 Mbit/s, p50 / p99 / p99.9, us",
    figures: &[
        figure(Metric::RttP50Us, BESIDE),
        P99_BESIDE,
        figure(Metric::RttP999Us, BESIDE),
    ],
};
const ROUND_TRIP_UNBOUNDED: Column = Column {
    head: "beside unbounded flows, p50 / p99 / p99.9, us",
    figures: &[
        figure(Metric::RttP50Us, UNBOUNDED),
        figure(Metric::RttP99Us, UNBOUNDED),
        figure(Metric::RttP999Us, UNBOUNDED),
    ],
};
const UNBOUNDED_FLOWS: Column = Column {
    head: "those flows, Gbit/s",
    figures: &[figure(Metric::GbitPerS, UNBOUNDED)],
};
pub(super) const CONNECTIONS: Column = Column {
    head: "new connections per CPU-second",
    figures: &[VISITS],
};
const MEMORY: Column = Column {
    head: "KiB per idle visitor, 1,000 / 9,000",
    figures: &[figure(Metric::KibPerVisitor, &["idle/1000"]), IDLE_KIB],
};
const DESCRIPTORS: Column = Column {
    head: "descriptors per idle visitor",
    figures: &[figure(Metric::DescriptorsPerVisitor, &["idle/9000"])],
};
const BESIDE_BULK: Column = Column {
    head: "one bulk stream, Gbit/s",
    figures: &[figure(Metric::GbitPerS, FAIRNESS)],
};
const SMALL_STREAMS: Column = Column {
    head: "100 small streams beside it, p99, us",
    figures: &[figure(Metric::RttP99Us, FAIRNESS)],
};
const SLOWEST_STREAM: Column = Column {
    head: "slowest of them, p50, us",
    figures: &[figure(Metric::SlowestP50Us, FAIRNESS)],
};
const START: Column = Column {
    head: "start to first byte, ms",
    figures: &[figure(Metric::FirstByteMs, &["start"])],
};
const DISTANT_ONE: Column = Column {
    head: "long path, 1 stream, up / down, Gbit/s",
    figures: &[
        figure(Metric::GbitPerS, &["distant/1/up"]),
        figure(Metric::GbitPerS, &["distant/1/down"]),
    ],
};
const DISTANT_MANY: Column = Column {
    head: "long path, 16 streams, up / down, Gbit/s",
    figures: &[
        figure(Metric::GbitPerS, &["distant/16/up"]),
        figure(Metric::GbitPerS, &["distant/16/down"]),
    ],
};

// Three narrow tables rather than a wide one, of which a page on GitHub would show the left half.

/// Of those with two ends: how fast, and for how much CPU time.
pub(super) const SPEED_OF_TWO: &[Column] = &[SPEED, COST, CONNECTIONS];

/// Of the same: what a single visitor notices, and what an idle one costs.
pub(super) const VISITOR_OF_TWO: &[Column] = &[ROUND_TRIP, ROUND_TRIP_BESIDE, MEMORY, DESCRIPTORS, START];

/// Of the same: who waits for whom, and how far a window reaches.
pub(super) const CROWD_OF_TWO: &[Column] = &[
    ROUND_TRIP_UNBOUNDED,
    UNBOUNDED_FLOWS,
    BESIDE_BULK,
    SMALL_STREAMS,
    SLOWEST_STREAM,
    DISTANT_ONE,
    DISTANT_MANY,
];

/// Of relays.
pub(super) const ONE_HOP: &[Column] = &[SPEED, COST, CONNECTIONS, ROUND_TRIP, MEMORY];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::compare::work::{Group, Work};
    use clap::ValueEnum;

    #[test]
    fn every_figure_is_of_works_that_exist() {
        let groups = Group::value_variants().iter();
        let keys: Vec<String> = groups.flat_map(|group| Work::of(*group)).map(Work::key).collect();
        for column in [SPEED_OF_TWO, VISITOR_OF_TWO, CROWD_OF_TWO, ONE_HOP]
            .into_iter()
            .flatten()
        {
            for work in column.figures.iter().flat_map(|figure| figure.works) {
                assert!(keys.iter().any(|key| key == work), "{}: {work}", column.head);
            }
        }
    }
}
