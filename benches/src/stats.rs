//! Figures of several rounds, summed up.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The middle of what several rounds gave, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The middle value; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Round trips, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: f64,
    /// 99 % are below.
    pub p99: f64,
    /// 99.9 % are below.
    pub p999: f64,
}

impl Spread {
    /// Of at least one value; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        Some(Self { median, min, max })
    }

    /// Of the ratios of values that belong to the same round: what drifts from round to round cancels out.
    pub fn of_ratios(values: &[f64], limits: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = values
            .iter()
            .zip(limits)
            .filter(|(_, limit)| **limit > 0.0)
            .map(|(value, limit)| value / limit)
            .collect();
        Self::of(&ratios)
    }
}

/// The longest time that a recorder tells from longer ones, in nanoseconds: one minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// An empty histogram for nanoseconds, with three digits; what is longer than a minute counts as a minute.
pub fn recorder() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("one minute at three digits is within the bounds of the crate")
}

/// Records one time.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS));
}

/// Quantiles of nanoseconds. A closed loop sends nothing while it waits, and so leaves out what a stall would have done to
/// those in between: `correct` puts them back, with the median as the time between two of them (coordinated omission).
pub fn quantiles(nanos: &Histogram<u64>, correct: bool) -> Quantiles {
    let micros = |value: u64| value as f64 / 1000.0;
    let p50 = nanos.value_at_quantile(0.5);
    let corrected = if correct {
        nanos.clone_correct(p50)
    } else {
        nanos.clone()
    };
    Quantiles {
        p50: micros(p50),
        p99: micros(corrected.value_at_quantile(0.99)),
        p999: micros(corrected.value_at_quantile(0.999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(
            Spread::of(&[3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ratios = Spread::of_ratios(&[10.0, 20.0, 40.0], &[5.0, 10.0, 20.0]);
        assert_eq!(
            ratios,
            Some(Spread {
                median: 2.0,
                min: 2.0,
                max: 2.0
            })
        );
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn a_stall_of_a_closed_loop_weighs_as_much_as_it_hid() {
        let mut histogram = recorder();
        (0..9_999).for_each(|_| record(&mut histogram, Duration::from_micros(100)));
        record(&mut histogram, Duration::from_millis(100));
        assert!((99.0..101.0).contains(&quantiles(&histogram, true).p50));
        assert!(quantiles(&histogram, false).p99 < 101.0);
        assert!(
            quantiles(&histogram, true).p99 > 50_000.0,
            "100 ms hid 1,000 round trips of 100 us"
        );
    }
}
