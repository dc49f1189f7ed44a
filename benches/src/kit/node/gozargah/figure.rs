//! What is measured of a node of these panels, and what it has to be.

use crate::kit::node::rate;
use crate::kit::node::table::Measured;
use crate::kit::report::Verdict;
use serde::{Deserialize, Serialize};

/// One figure of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// From the start of the process, key pair present, until it accepts connections, in ms.
    ListeningMs,
    /// Resident memory with a panel connected and no core, in MiB.
    IdleMib,
    /// The same 10 s after a start with 10,000 users x 4 inbounds, in MiB.
    LoadedMib,
    /// The same 1 s after SyncUsers with all users was called 11 times, in MiB.
    SyncedMib,
    /// The most that it ever was, changes of users included, in MiB.
    PeakMib,
    /// Start with 10,000 users x 4 inbounds, in ms; of the core alone: until it says that it has started.
    StartMs,
    /// That without what the core alone took in the same round, in ms.
    OwnStartMs,
    /// SyncUsers with all 10,000 users, of whom 10 have new credentials, in ms.
    SyncUsersMs,
    /// Whether the core's process is still the same after that.
    CoreStays,
    /// Whether a user's connection is still there after that.
    VisitorStays,
    /// GetStats for all users (20,000 counters), set back to 0, in ms; of the core alone: the same question to its API.
    StatsMs,
    /// SyncUser of 10 users with new credentials, one after the other, in ms.
    SyncUserMs,
    /// SyncUsersChunked of 10 users with new credentials, in ms.
    SyncChunksMs,
    /// `/info` in a row on one connection, a second.
    CallsPerS,
    /// How long 99 % of them take at most, in us.
    CallP99Us,
    /// GetBaseInfo over gRPC in a row on one connection, a second.
    GrpcCallsPerS,
}

impl Measured for Figure {
    const ALL: &'static [Self] = &[
        Self::ListeningMs,
        Self::IdleMib,
        Self::LoadedMib,
        Self::SyncedMib,
        Self::PeakMib,
        Self::StartMs,
        Self::OwnStartMs,
        Self::SyncUsersMs,
        Self::CoreStays,
        Self::VisitorStays,
        Self::StatsMs,
        Self::SyncUserMs,
        Self::SyncChunksMs,
        Self::CallsPerS,
        Self::CallP99Us,
        Self::GrpcCallsPerS,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::ListeningMs => "API key: start to listening, ms",
            Self::IdleMib => "API key: memory, idle, MiB",
            Self::LoadedMib => "memory, 10 s after it took 10,000 users x 4 inbounds, MiB",
            Self::SyncedMib => "memory, after 11 SyncUsers of all of them, MiB",
            Self::PeakMib => "memory, most, in all of this, MiB",
            Self::StartMs => "Start, 10,000 users x 4 inbounds, ms",
            Self::OwnStartMs => "that Start without the core's own time, ms",
            Self::SyncUsersMs => "SyncUsers, 10,000 users of whom 10 changed, ms",
            Self::CoreStays => "the core lives through that",
            Self::VisitorStays => "users' connections live through that",
            Self::StatsMs => "GetStats of all users, 20,000 counters, ms",
            Self::SyncUserMs => "SyncUser, 10 users in a row, ms",
            Self::SyncChunksMs => "SyncUsersChunked, 10 users, ms",
            Self::CallsPerS => "`/info` a second, one connection",
            Self::CallP99Us => "`/info`, p99, us",
            Self::GrpcCallsPerS => "GetBaseInfo (gRPC) a second, one connection",
        }
    }

    fn is_question(self) -> bool {
        matches!(self, Self::CoreStays | Self::VisitorStays)
    }

    fn judge(self, value: f64, echo: Option<f64>) -> Option<Verdict> {
        let what = self.label();
        Some(match self {
            Self::ListeningMs | Self::StatsMs => Verdict::at_most(what, value, 20.0),
            Self::IdleMib => Verdict::at_most(what, value, 12.0),
            Self::LoadedMib | Self::SyncedMib => Verdict::at_most(what, value, 40.0),
            Self::OwnStartMs | Self::SyncUsersMs => Verdict::at_most(what, value, 100.0),
            Self::CoreStays | Self::VisitorStays => Verdict::at_least(what, value, 1.0),
            Self::CallsPerS => Verdict::at_least(what, value, rate::enough(echo)),
            Self::PeakMib
            | Self::StartMs
            | Self::SyncUserMs
            | Self::SyncChunksMs
            | Self::CallP99Us
            | Self::GrpcCallsPerS => return None,
        })
    }
}
