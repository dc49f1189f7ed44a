//! What is measured of a node of Marzban panels, and what it has to be.

use super::rate;
use super::table::Measured;
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
    /// The most that it ever was while it took 10,000 users x 3 inbounds, in MiB.
    PeakMib,
    /// What is left of it 10 s later, in MiB.
    LoadedMib,
    /// `/ping` in a row on one connection, a second.
    PingsPerS,
    /// How long 99 % of them take at most, in us.
    PingP99Us,
    /// `/start` of a real core with one user, in ms.
    StartMs,
    /// From the moment that this core accepts users until `/start` answers, in ms.
    LateMs,
    /// The same with 10,000 users x 3 inbounds.
    LateWithUsersMs,
    /// `/start` with 10,000 users x 3 inbounds of a core that is ready as soon as it has read them, in ms: what is left is the
    /// node's own.
    UsersMs,
}

impl Measured for Figure {
    const ALL: &'static [Self] = &[
        Self::ListeningMs,
        Self::IdleMib,
        Self::PeakMib,
        Self::LoadedMib,
        Self::PingsPerS,
        Self::PingP99Us,
        Self::StartMs,
        Self::LateMs,
        Self::LateWithUsersMs,
        Self::UsersMs,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::ListeningMs => "start to listening, ms",
            Self::IdleMib => "memory, idle, MiB",
            Self::PeakMib => "memory, most, while it takes 10,000 users x 3 inbounds, MiB",
            Self::LoadedMib => "memory, 10 s after that, MiB",
            Self::PingsPerS => "`/ping` a second, one connection",
            Self::PingP99Us => "`/ping`, p99, us",
            Self::StartMs => "`/start`, one user, ms",
            Self::LateMs => "`/start` answers after the core is ready, ms",
            Self::LateWithUsersMs => "the same, 10,000 users x 3 inbounds, ms",
            Self::UsersMs => "node's own share of that `/start`, ms",
        }
    }

    fn judge(self, median: f64, echo: Option<f64>) -> Option<Verdict> {
        let what = self.label();
        Some(match self {
            Self::ListeningMs => Verdict::at_most(what, median, 20.0),
            Self::IdleMib => Verdict::at_most(what, median, 12.0),
            Self::PingsPerS => Verdict::at_least(what, median, rate::enough(echo)),
            Self::LateMs | Self::LateWithUsersMs | Self::UsersMs => Verdict::at_most(what, median, 50.0),
            Self::PeakMib | Self::LoadedMib | Self::PingP99Us | Self::StartMs => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::BARE_ECHO;
    use super::super::table::Table;
    use super::*;

    #[test]
    fn kariz_is_judged_by_its_median() {
        let mut table = Table::default();
        for value in [11.0, 13.0, 11.5] {
            table.add("kariz", [(Figure::IdleMib, value), (Figure::StartMs, 900.0)].into());
            table.add("marzban-node", [(Figure::IdleMib, 60.0)].into());
        }
        let verdicts = table.verdicts();
        assert_eq!(
            verdicts.len(),
            1,
            "no target for the start, none for the other: {verdicts:?}"
        );
        assert!(verdicts[0].pass && (verdicts[0].value - 11.5).abs() < f64::EPSILON);
        table.add("kariz", [(Figure::PingsPerS, 14_999.0)].into());
        assert!(!table.verdicts()[1].pass);
        table.add(BARE_ECHO, [(Figure::PingsPerS, 19_000.0)].into());
        assert!(table.verdicts()[1].pass, "no more than 14,250 can be asked here");
    }
}
