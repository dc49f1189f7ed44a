//! One figure: where it stands in the results, and how it reads.

use crate::kit::compare::results::Results;
use crate::kit::compare::work::Metric;

/// A figure of everybody: the mean of the medians of its works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    /// Keys of works; those that differ only in their direction.
    pub(super) works: &'static [&'static str],
    pub(super) metric: Metric,
}

/// What somebody has for a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Value(f64),
    /// At least one of its works failed in every round.
    Failed,
    /// Nobody asked.
    Blank,
}

impl Figure {
    pub(super) fn of(self, name: &str, results: &Results) -> Cell {
        let medians: Option<Vec<f64>> = self
            .works
            .iter()
            .map(|work| results.row(name, work, self.metric).map(|row| row.median))
            .collect();
        let failed = |work: &&str| results.row(name, work, self.metric).is_none() && has_failed(name, work, results);
        match medians {
            Some(medians) => Cell::Value(medians.iter().sum::<f64>() / medians.len() as f64),
            None if self.works.iter().any(failed) => Cell::Failed,
            None => Cell::Blank,
        }
    }
}

fn has_failed(name: &str, work: &str, results: &Results) -> bool {
    let mut failures = results.failures.iter();
    failures.any(|failure| failure.name == name && failure.work == work)
}

impl Cell {
    pub(super) fn text(self) -> String {
        match self {
            Self::Value(value) => number(value),
            Self::Failed => "failed".into(),
            Self::Blank => "–".into(),
        }
    }
}

/// Three digits that mean something, and commas between thousands.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 0.9995 => 3,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text;
    }
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::compare::results::Failure;
    use crate::kit::compare::work::Work;
    use crate::kit::contestant::Contestant;
    use kariz_bench::load::bulk::Direction;

    const BOTH_WAYS: Figure = Figure {
        works: &["bulk/1/up", "bulk/1/down"],
        metric: Metric::GbitPerS,
    };

    fn bulk(direction: Direction) -> Work {
        Work::Bulk { streams: 1, direction }
    }

    #[test]
    fn numbers_have_three_digits_and_commas() {
        let texts = [0.0, 0.2134, 2.345, 9.999, 19.34, 99.96, 1234.4, 1_234_567.0, -4321.0].map(number);
        assert_eq!(
            texts,
            [
                "0.000",
                "0.213",
                "2.35",
                "10.0",
                "19.3",
                "100",
                "1,234",
                "1,234,567",
                "-4,321"
            ]
        );
    }

    #[test]
    fn a_figure_is_the_mean_of_both_directions_and_nothing_if_one_is_not_there() {
        let mut results = Results::default();
        let figure = |results: &Results| BOTH_WAYS.of("kariz direct", results);
        assert_eq!(figure(&results), Cell::Blank);
        results.record(Contestant::DIRECT, bulk(Direction::Up), 0, &[(Metric::GbitPerS, 10.0)]);
        assert_eq!(figure(&results), Cell::Blank);
        results.record(
            Contestant::DIRECT,
            bulk(Direction::Down),
            0,
            &[(Metric::GbitPerS, 20.0)],
        );
        assert_eq!(figure(&results), Cell::Value(15.0));
    }

    #[test]
    fn a_work_that_always_failed_says_so() {
        let mut results = Results::default();
        results.record(Contestant::DIRECT, bulk(Direction::Up), 0, &[(Metric::GbitPerS, 10.0)]);
        let mut fail = |direction| {
            results.failures.push(Failure {
                name: "kariz direct".into(),
                work: bulk(direction).key(),
                round: 1,
                why: "nothing arrived".into(),
            });
            BOTH_WAYS.of("kariz direct", &results)
        };
        assert_eq!(fail(Direction::Up), Cell::Blank, "another round went well");
        assert_eq!(fail(Direction::Down), Cell::Failed);
    }
}
