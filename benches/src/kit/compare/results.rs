//! What a comparison found: the part of its result file that tables and plots are made of.

use super::work::{Metric, Work};
use crate::kit::contestant::Contestant;
use crate::kit::report::Verdict;
use kariz_bench::stats::Spread;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// In the order in which they were first measured.
    pub(crate) rows: Vec<Row>,
    /// Turns that failed.
    pub(crate) failures: Vec<Failure>,
    /// Who dropped answers to a connection that the visitor had half-closed.
    pub(crate) answers_lost: BTreeSet<String>,
    /// Peers that could not be had, and why.
    pub(crate) missing: BTreeMap<String, String>,
    /// What the peers say that they are.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// One figure of one contestant at one work.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) work: String,
    pub(crate) metric: Metric,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// One of each round; `null` where the turn failed, so that rounds stay comparable (what failed last is left out).
    pub(crate) values: Vec<Option<f64>>,
}

/// A turn that failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) name: String,
    pub(crate) work: String,
    /// Counted from 1.
    pub(crate) round: usize,
    pub(crate) why: String,
}

impl Results {
    /// Notes what one turn in `round` (from 0) gave.
    pub(crate) fn record(&mut self, who: Contestant, work: Work, round: usize, figures: &[(Metric, f64)]) {
        for (metric, value) in figures {
            let (name, work) = (who.label(), work.key());
            let found = self.rows.iter_mut().find(|row| row.is(&name, &work, *metric));
            let row = match found {
                Some(row) => row,
                None => {
                    self.rows.push(Row {
                        name,
                        work,
                        metric: *metric,
                        median: 0.0,
                        min: 0.0,
                        max: 0.0,
                        values: Vec::new(),
                    });
                    self.rows.last_mut().expect("pushed above")
                }
            };
            row.values.resize(round, None);
            row.values.push(Some(*value));
            if let Some(spread) = Spread::of(&row.values.iter().copied().flatten().collect::<Vec<_>>()) {
                (row.median, row.min, row.max) = (spread.median, spread.min, spread.max);
            }
        }
    }

    /// The row of a contestant, if it was measured.
    pub(crate) fn row(&self, name: &str, work: &str, metric: Metric) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(name, work, metric))
    }

    /// The median of the ratios within the rounds.
    pub(crate) fn ratio(&self, ours: &str, theirs: &str, work: &str, metric: Metric) -> Option<f64> {
        let ours = self.row(ours, work, metric)?;
        let theirs = self.row(theirs, work, metric)?;
        let rounds = ours.values.iter().zip(&theirs.values);
        let (ours, theirs): (Vec<f64>, Vec<f64>) =
            rounds.filter_map(|(ours, theirs)| Some(((*ours)?, (*theirs)?))).unzip();
        Some(Spread::of_ratios(&ours, &theirs)?.median)
    }
}

impl Row {
    fn is(&self, name: &str, work: &str, metric: Metric) -> bool {
        self.name == name && self.work == work && self.metric == metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_leave_rounds_out_in_which_one_failed() {
        let (ours, theirs) = (Contestant::DIRECT, Contestant::LIMITS[0]);
        let mut results = Results::default();
        for (round, (a, b)) in [(2.0, Some(1.0)), (9.0, None), (8.0, Some(2.0))]
            .into_iter()
            .enumerate()
        {
            results.record(ours, Work::Visits, round, &[(Metric::VisitsPerS, a)]);
            if let Some(b) = b {
                results.record(theirs, Work::Visits, round, &[(Metric::VisitsPerS, b)]);
            }
        }
        let ratio = |metric| results.ratio(&ours.label(), &theirs.label(), "visits", metric);
        assert_eq!(ratio(Metric::VisitsPerS), Some(3.0), "the middle of 2 and 4");
        assert_eq!(ratio(Metric::VisitsPerCpuS), None);
        let row = results.row("kariz direct", "visits", Metric::VisitsPerS).unwrap();
        assert_eq!((row.median, row.min, row.max), (8.0, 2.0, 9.0));
    }
}
