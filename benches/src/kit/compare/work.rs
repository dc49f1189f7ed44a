//! The works of a comparison, and what is measured at each.

use crate::kit::contestant::Contestant;
use kariz_bench::load::bulk::Direction;
use serde::{Deserialize, Serialize};

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// As many bytes as possible, in one direction.
    Bulk { streams: usize, direction: Direction },
    /// Connect, 64 bytes there and back, close; 16 visitors at a time.
    Visits,
    /// 64 bytes there and back, again and again on one connection.
    PingPong { beside: Beside },
    /// One bulk stream down, beside 100 that send 64 bytes 20 times a second.
    Fairness,
    /// Visitors who do nothing.
    Idle { visitors: u32 },
    /// From starting the processes to the first byte that comes back.
    Start,
    /// Bulk over a path with 50 ms round trip and a bandwidth cap.
    Distant { streams: usize, direction: Direction },
}

/// What else moves while pings go to and fro: one flow up and one down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// 500 Mbit/s each.
    Paced,
    /// As much as they can.
    Unbounded,
}

/// What is measured; the unit is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    GbitPerS,
    GbitPerCpuS,
    /// CPU seconds of all processes for each gigabyte that passes.
    CpuSPerGb,
    RttP50Us,
    RttP99Us,
    RttP999Us,
    /// Of the small streams, the one with the greatest median.
    SlowestP50Us,
    VisitsPerS,
    VisitsPerCpuS,
    /// User memory (PSS) of all processes, above what they have without visitors.
    KibPerVisitor,
    /// The same of the outer process alone.
    OuterKibPerVisitor,
    /// Of the process that needs most.
    DescriptorsPerVisitor,
    FirstByteMs,
}

/// Groups of works that one can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    Bulk,
    Visits,
    Ping,
    Fairness,
    Idle,
    Start,
    Distant,
}

const BOTH: [Direction; 2] = [Direction::Up, Direction::Down];

impl Work {
    /// All works of a group, in the order of their turns.
    pub(crate) fn of(group: Group) -> Vec<Self> {
        let each = |streams: &[usize], work: fn(usize, Direction) -> Self| {
            let of = |streams: &usize| BOTH.map(|direction| work(*streams, direction));
            streams.iter().flat_map(of).collect()
        };
        match group {
            Group::Bulk => each(&[1, 8, 64], |streams, direction| Self::Bulk { streams, direction }),
            Group::Visits => vec![Self::Visits],
            Group::Ping => [Beside::Nothing, Beside::Paced, Beside::Unbounded]
                .map(|beside| Self::PingPong { beside })
                .to_vec(),
            Group::Fairness => vec![Self::Fairness],
            Group::Idle => [1000, 9000].map(|visitors| Self::Idle { visitors }).to_vec(),
            Group::Start => vec![Self::Start],
            Group::Distant => each(&[1, 16], |streams, direction| Self::Distant { streams, direction }),
        }
    }

    /// Its name in result files.
    pub(crate) fn key(self) -> String {
        match self {
            Self::Bulk { streams, direction } => format!("bulk/{streams}/{}", way(direction)),
            Self::Visits => "visits".into(),
            Self::PingPong {
                beside: Beside::Nothing,
            } => "ping/alone".into(),
            Self::PingPong { beside: Beside::Paced } => "ping/beside-2x500-mbit".into(),
            Self::PingPong {
                beside: Beside::Unbounded,
            } => "ping/beside-unbounded".into(),
            Self::Fairness => "fairness".into(),
            Self::Idle { visitors } => format!("idle/{visitors}"),
            Self::Start => "start".into(),
            Self::Distant { streams, direction } => format!("distant/{streams}/{}", way(direction)),
        }
    }

    /// Whether it tells something about this contestant. The copy loops of the kit show what runtimes cost when they
    /// move bytes; over a distance the sockets decide, and a plain relay has no second end.
    pub(crate) fn suits(self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::Bare => matches!(self, Self::Distant { .. }),
            Contestant::Pair(hop) | Contestant::Relay(hop) if hop.is_copy_loop() => matches!(
                self,
                Self::Bulk { .. }
                    | Self::Visits
                    | Self::PingPong {
                        beside: Beside::Nothing
                    }
            ),
            Contestant::Relay(_) => !matches!(self, Self::Distant { .. }),
            Contestant::Tunnel(_) | Contestant::Pair(_) => true,
        }
    }

    /// In how many of `rounds` it takes part: memory and the long path hardly vary, and take long.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        match self {
            Self::Idle { .. } | Self::Distant { .. } => rounds.min(2),
            _ => rounds,
        }
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

impl Metric {
    /// Its name in tables.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::GbitPerS => "Gbit/s",
            Self::GbitPerCpuS => "Gbit/cpu-s",
            Self::CpuSPerGb => "cpu-s/GB",
            Self::RttP50Us => "p50 us",
            Self::RttP99Us => "p99 us",
            Self::RttP999Us => "p99.9 us",
            Self::SlowestP50Us => "slowest p50 us",
            Self::VisitsPerS => "/s",
            Self::VisitsPerCpuS => "/cpu-s",
            Self::KibPerVisitor => "KiB/visitor",
            Self::OuterKibPerVisitor => "KiB/visitor, outer",
            Self::DescriptorsPerVisitor => "descriptors/visitor",
            Self::FirstByteMs => "ms to first byte",
        }
    }
}
