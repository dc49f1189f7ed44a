//! The figures of several programs over several rounds, and what Kariz has to reach.

use super::program::{BARE_ECHO, IN_ORDER, KARIZ, REPLACED};
use crate::kit::report::Verdict;
use kariz_bench::stats::Spread;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Figures of one kind of node.
pub(crate) trait Measured: Copy + Ord + 'static {
    /// All, in the order of the output.
    const ALL: &'static [Self];

    /// In a few words.
    fn label(self) -> &'static str;

    /// Whether it is a question: 1 is yes, 0 is no, and a single no counts.
    fn is_question(self) -> bool {
        false
    }

    /// What Kariz has to reach, if anything; `echo` is what a bare echo comes to.
    fn judge(self, value: f64, echo: Option<f64>) -> Option<Verdict>;
}

/// The figures of one program in one round.
pub(super) type Figures<F> = BTreeMap<F, f64>;

/// The figures of all programs, one value for each round.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent, bound = "F: Ord + Serialize + DeserializeOwned")]
pub(crate) struct Table<F>(BTreeMap<String, BTreeMap<F, Vec<f64>>>);

impl<F> Default for Table<F> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<F: Measured> Table<F> {
    /// Adds a round of `program`.
    pub(super) fn add(&mut self, program: &str, figures: Figures<F>) {
        let all = self.0.entry(program.to_owned()).or_default();
        for (figure, value) in figures {
            all.entry(figure).or_default().push(value);
        }
    }

    /// Those who have figures, Kariz first.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let known = |name: &&str| self.0.contains_key(*name);
        IN_ORDER.into_iter().filter(known).collect()
    }

    /// The median of all rounds; of a question its answer.
    pub(crate) fn value(&self, program: &str, figure: F) -> Option<f64> {
        let Spread { median, min, .. } = Spread::of(self.rounds(program, figure)?)?;
        Some(if figure.is_question() { min } else { median })
    }

    /// The targets, for Kariz alone.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let judge = |figure: &F| figure.judge(self.value(KARIZ, *figure)?, self.value(BARE_ECHO, *figure));
        F::ALL.iter().filter_map(judge).collect()
    }

    /// Medians, with least and most, and the ratios to those that Kariz replaces.
    pub(super) fn print(&self) {
        for figure in F::ALL.iter().copied() {
            println!("{}", figure.label());
            for program in self.names() {
                if let Some(spread) = self.rounds(program, figure).and_then(Spread::of) {
                    print(program, spread);
                }
            }
            for replaced in REPLACED.into_iter().filter(|_| !figure.is_question()) {
                if let Some(ratios) = self.ratios(replaced, figure) {
                    print(&format!("{KARIZ} / {replaced}"), ratios);
                }
            }
        }
    }

    /// Kariz in the measure of another, round by round.
    fn ratios(&self, other: &str, figure: F) -> Option<Spread> {
        Spread::of_ratios(self.rounds(KARIZ, figure)?, self.rounds(other, figure)?)
    }

    /// One value for each round.
    fn rounds(&self, program: &str, figure: F) -> Option<&[f64]> {
        self.0.get(program)?.get(&figure).map(Vec::as_slice)
    }
}

fn print(what: &str, Spread { median, min, max }: Spread) {
    println!("    {what:<23} {median:>10.2}  ({min:.2} to {max:.2})");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Figure {
        Size,
        Lives,
    }

    impl Measured for Figure {
        const ALL: &'static [Self] = &[Self::Size, Self::Lives];

        fn label(self) -> &'static str {
            "figure"
        }

        fn is_question(self) -> bool {
            self == Self::Lives
        }

        fn judge(self, value: f64, echo: Option<f64>) -> Option<Verdict> {
            let bound = if self.is_question() { 1.0 } else { echo? };
            Some(Verdict::at_least(self.label(), value, bound))
        }
    }

    #[test]
    fn one_no_among_the_rounds_is_the_answer() {
        let mut table = Table::default();
        for (size, lives) in [(1.0, 1.0), (5.0, 0.0), (3.0, 1.0)] {
            table.add(KARIZ, [(Figure::Size, size), (Figure::Lives, lives)].into());
        }
        assert_eq!(table.value(KARIZ, Figure::Size), Some(3.0));
        assert_eq!(table.value(KARIZ, Figure::Lives), Some(0.0));
        assert_eq!(table.value(BARE_ECHO, Figure::Size), None);
        assert_eq!(table.verdicts().len(), 1, "there is no echo to compare with");
        table.add(BARE_ECHO, [(Figure::Size, 3.0)].into());
        let passed: Vec<bool> = table.verdicts().iter().map(|verdict| verdict.pass).collect();
        assert_eq!(passed, [true, false]);
        assert_eq!(table.names(), [KARIZ, BARE_ECHO]);
    }

    #[test]
    fn results_have_no_wrapping() {
        let text = r#"{"kariz":{"size":[1.5]}}"#;
        let table: Table<Figure> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&table).unwrap(), text);
    }
}
