//! How long to wait before the next attempt.

use super::Random;
use std::time::{Duration, Instant};

/// Health after which the next failure is a first one again.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// How long after the first failure the cap is [`EARLY_CAP`].
pub const EARLY_PHASE: Duration = Duration::from_secs(10);
/// Cap while an outage is young, so that a short one is over soon.
pub const EARLY_CAP: Duration = Duration::from_secs(1);

/// Exponential backoff with full jitter (`spec/session.md`, Liveness).
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
    failing_since: Option<Instant>,
    healthy_since: Option<Instant>,
}

impl Backoff {
    /// `retry_interval` bounds the first wait, `retry_max` every wait once an outage is older than
    /// [`EARLY_PHASE`]; before that the cap is [`EARLY_CAP`] (or `retry_max`, if that is shorter).
    pub fn new(retry_interval: Duration, retry_max: Duration) -> Self {
        Self {
            first: retry_interval,
            cap: retry_max,
            attempts: 0,
            failing_since: None,
            healthy_since: None,
        }
    }

    /// An attempt succeeded. The streak of failures ends when this holds for [`HEALTHY_AFTER`].
    pub fn succeeded(&mut self, now: Instant) {
        self.healthy_since.get_or_insert(now);
    }

    /// An attempt failed, or what had succeeded was lost: how long to wait before the next attempt. Uniform between
    /// zero and the bound.
    pub fn failed(&mut self, now: Instant, random: &mut dyn Random) -> Duration {
        let healthy = self.healthy_since.take();
        if healthy.is_some_and(|since| now.saturating_duration_since(since) >= HEALTHY_AFTER) {
            self.attempts = 0;
            self.failing_since = None;
        }
        let since = *self.failing_since.get_or_insert(now);
        let bound = self.bound(now.saturating_duration_since(since));
        self.attempts = self.attempts.saturating_add(1);
        jitter(bound, random)
    }

    fn bound(&self, outage: Duration) -> Duration {
        let cap = if outage < EARLY_PHASE {
            EARLY_CAP.min(self.cap)
        } else {
            self.cap
        };
        self.first.saturating_mul(1 << self.attempts.min(16)).min(cap)
    }
}

/// A uniform duration from zero up to `bound`.
fn jitter(bound: Duration, random: &mut dyn Random) -> Duration {
    let draw = u64::from_le_bytes(super::random::random_bytes(random));
    // The draw is a 64-bit fraction of one: the product's upper half cannot exceed the bound.
    let nanos = (bound.as_nanos().min(u128::from(u64::MAX)) * u128::from(draw)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(bytes: &mut [u8]) {
        bytes.fill(0xff);
    }

    #[test]
    fn waits_are_short_at_first_and_capped_later() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(3), Duration::from_secs(5));
        let longest = |backoff: &mut Backoff, seconds| {
            let wait = backoff.failed(start + Duration::from_secs(seconds), &mut most);
            wait.as_secs_f64().round() as u64
        };
        assert_eq!(longest(&mut backoff, 0), 1);
        assert_eq!(longest(&mut backoff, 9), 1);
        assert_eq!(longest(&mut backoff, 10), 5);
        assert_eq!(longest(&mut backoff, 1000), 5);
    }

    #[test]
    fn the_first_wait_is_bound_by_the_retry_interval() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for bound in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.failed(now, &mut most);
            assert!(
                wait <= Duration::from_millis(bound) && wait >= Duration::from_millis(bound - 1),
                "{wait:?}"
            );
        }
    }

    #[test]
    fn jitter_reaches_down_to_zero() {
        let mut backoff = Backoff::new(Duration::from_secs(3), Duration::from_secs(5));
        assert_eq!(
            backoff.failed(Instant::now(), &mut |bytes: &mut [u8]| bytes.fill(0)),
            Duration::ZERO
        );
    }

    #[test]
    fn only_a_minute_of_health_forgets_an_outage() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut backoff = Backoff::new(Duration::from_secs(3), Duration::from_secs(5));
        backoff.failed(start, &mut most);
        backoff.succeeded(at(20));
        assert!(backoff.failed(at(79), &mut most) > Duration::from_secs(4));
        backoff.succeeded(at(80));
        backoff.succeeded(at(100));
        assert!(backoff.failed(at(140), &mut most) <= Duration::from_secs(1));
    }
}
