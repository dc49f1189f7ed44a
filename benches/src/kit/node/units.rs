//! The units of the figures, and the times that they are made of.

use anyhow::Result;
use std::time::Duration;

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The middle one of `N` times that are taken one after the other.
pub(super) fn middle<const N: usize>(mut take: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let mut times = [Duration::ZERO; N];
    for time in &mut times {
        *time = take()?;
    }
    times.sort();
    Ok(times[N / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_of_all_times_counts() {
        let mut times = [7, 1, 5].map(Duration::from_millis).into_iter();
        assert_eq!(
            middle::<3>(|| Ok(times.next().unwrap())).unwrap(),
            Duration::from_millis(5)
        );
        assert!(middle::<3>(|| anyhow::bail!("none")).is_err());
    }
}
