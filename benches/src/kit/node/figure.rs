//! What is measured of a node, and what it has to be.

use super::program::{BARE_ECHO, IN_ORDER, KARIZ};
use crate::kit::report::Verdict;
use kariz_bench::stats::Spread;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

impl Figure {
    /// All, in the order of the output.
    pub(crate) const ALL: [Self; 10] = [
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

    /// In a few words.
    pub(crate) fn label(self) -> &'static str {
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

    /// What the median of Kariz has to be.
    fn judge(self, median: f64, echo: Option<f64>) -> Option<Verdict> {
        let what = self.label();
        Some(match self {
            Self::ListeningMs => Verdict::at_most(what, median, 20.0),
            Self::IdleMib => Verdict::at_most(what, median, 12.0),
            Self::PingsPerS => {
                let possible = echo.map_or(f64::INFINITY, |echo| echo * SHARE_OF_ECHO);
                Verdict::at_least(what, median, possible.min(PINGS_PER_S))
            }
            Self::LateMs | Self::LateWithUsersMs | Self::UsersMs => Verdict::at_most(what, median, 50.0),
            Self::PeakMib | Self::LoadedMib | Self::PingP99Us | Self::StartMs => return None,
        })
    }
}

/// Pings a second that are enough anywhere.
const PINGS_PER_S: f64 = 15_000.0;

/// Where even a bare echo does not come to that, this share of it: on two cores every wake of a thread takes its time.
const SHARE_OF_ECHO: f64 = 0.75;

/// The figures of one program in one round.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// The figures of all programs, one value for each round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) programs: BTreeMap<String, BTreeMap<Figure, Vec<f64>>>,
    pub(crate) verdicts: Vec<Verdict>,
}

impl Results {
    /// Adds a round of `program`.
    pub(super) fn add(&mut self, program: &str, figures: Figures) {
        let all = self.programs.entry(program.to_owned()).or_default();
        for (figure, value) in figures {
            all.entry(figure).or_default().push(value);
        }
    }

    /// Those who have figures, Kariz first.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let known = |name: &&str| self.programs.contains_key(*name);
        IN_ORDER.into_iter().filter(known).collect()
    }

    /// The middle of all rounds, and how far they lie apart.
    fn spread(&self, program: &str, figure: Figure) -> Option<Spread> {
        Spread::of(self.programs.get(program)?.get(&figure)?)
    }

    /// The median of all rounds.
    pub(crate) fn median(&self, program: &str, figure: Figure) -> Option<f64> {
        Some(self.spread(program, figure)?.median)
    }
}

/// The targets, for Kariz alone.
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    let judge = |figure: Figure| {
        let echo = results.median(BARE_ECHO, figure);
        figure.judge(results.median(KARIZ, figure)?, echo)
    };
    Figure::ALL.into_iter().filter_map(judge).collect()
}

/// Medians, with least and most.
pub(super) fn print(results: &Results) {
    for figure in Figure::ALL {
        println!("{}", figure.label());
        for program in results.names() {
            if let Some(Spread { median, min, max }) = results.spread(program, figure) {
                println!("    {program:<18} {median:>10.2}  ({min:.2} to {max:.2})");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kariz_is_judged_by_its_median() {
        let mut results = Results::default();
        for value in [11.0, 13.0, 11.5] {
            results.add("kariz", [(Figure::IdleMib, value), (Figure::StartMs, 900.0)].into());
            results.add("marzban-node", [(Figure::IdleMib, 60.0)].into());
        }
        let verdicts = verdicts(&results);
        assert_eq!(
            verdicts.len(),
            1,
            "no target for the start, none for the other: {verdicts:?}"
        );
        assert!(verdicts[0].pass && (verdicts[0].value - 11.5).abs() < f64::EPSILON);
        results.add("kariz", [(Figure::PingsPerS, 14_999.0)].into());
        assert!(!super::verdicts(&results)[1].pass);
        results.add(BARE_ECHO, [(Figure::PingsPerS, 19_000.0)].into());
        assert!(
            super::verdicts(&results)[1].pass,
            "no more than 14,250 can be asked here"
        );
    }
}
