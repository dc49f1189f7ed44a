//! The token bucket behind every rate limit.

use crate::model::Rate;
use std::time::{Duration, Instant};

/// Parts into which one token is divided: what flows in within a nanosecond is then a whole number of parts, so that
/// nothing is rounded and a bucket never drifts from its rate.
const PARTS_PER_TOKEN: u128 = 1_000_000_000;

/// A bucket that fills by [`Rate::per_second`] and holds at most [`Rate::burst`] tokens.
///
/// It never makes a token out of rounding and never loses one: over any time, what can be taken is exactly
/// `burst + per_second * time`, rounded down once. Time that runs backwards counts as no time.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u128,
    capacity_parts: u128,
    parts: u128,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket at `now`. A zero in `rate` means a bucket into which nothing flows, or that holds nothing.
    pub fn full(rate: Rate, now: Instant) -> Self {
        let capacity_parts = u128::from(rate.burst) * PARTS_PER_TOKEN;
        Self {
            per_second: u128::from(rate.per_second),
            capacity_parts,
            parts: capacity_parts,
            filled_at: now,
        }
    }

    /// Whole tokens that can be taken at `now`.
    pub fn available(&mut self, now: Instant) -> u64 {
        self.fill(now);
        // A capacity comes from a `u64` of tokens, and the content never exceeds the capacity.
        (self.parts / PARTS_PER_TOKEN) as u64
    }

    /// Takes `tokens`, or as many as there are; returns how many were taken.
    pub fn take_up_to(&mut self, tokens: u64, now: Instant) -> u64 {
        let taken = tokens.min(self.available(now));
        self.parts -= u128::from(taken) * PARTS_PER_TOKEN;
        taken
    }

    /// Gives back `tokens` that were taken and not used; what exceeds the burst is lost.
    pub fn deposit(&mut self, tokens: u64, now: Instant) {
        self.fill(now);
        self.parts = self
            .capacity_parts
            .min(self.parts + u128::from(tokens) * PARTS_PER_TOKEN);
    }

    /// How long until `tokens` can be taken: zero if they are there. `None` if they never will be, because that is
    /// more than the bucket holds, nothing flows in, or the wait cannot be expressed as a `Duration`.
    ///
    /// The answer is exact to the nanosecond: one nanosecond earlier the tokens are not there.
    pub fn next_ready(&mut self, tokens: u64, now: Instant) -> Option<Duration> {
        self.fill(now);
        let wanted = u128::from(tokens) * PARTS_PER_TOKEN;
        if wanted > self.capacity_parts {
            return None;
        }
        let missing = wanted.saturating_sub(self.parts);
        if missing == 0 {
            return Some(Duration::ZERO);
        }
        if self.per_second == 0 {
            return None;
        }
        let nanos = missing.div_ceil(self.per_second);
        let seconds = u64::try_from(nanos / PARTS_PER_TOKEN).ok()?;
        Some(Duration::new(seconds, (nanos % PARTS_PER_TOKEN) as u32))
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        if elapsed.is_zero() {
            return;
        }
        // Saturation stands for "more than any bucket holds".
        let flow = elapsed.as_nanos().saturating_mul(self.per_second);
        self.parts = self.capacity_parts.min(self.parts.saturating_add(flow));
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_second: u64, burst: u64) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn full_bucket_gives_its_burst_and_then_the_flow() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(rate(10, 5), start);
        assert_eq!(bucket.take_up_to(8, start), 5);
        assert_eq!(bucket.next_ready(1, start), Some(Duration::from_millis(100)));
        assert_eq!(bucket.available(start + Duration::from_millis(99)), 0);
        assert_eq!(bucket.available(start + Duration::from_millis(100)), 1);
        assert_eq!(bucket.available(start + Duration::from_secs(3600)), 5);
    }

    #[test]
    fn more_than_the_burst_is_never_ready() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(rate(10, 5), start);
        assert_eq!(bucket.next_ready(6, start), None);
        assert_eq!(bucket.next_ready(5, start), Some(Duration::ZERO));
    }

    #[test]
    fn nothing_flows_at_rate_zero() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(rate(0, 5), start);
        assert_eq!(bucket.take_up_to(5, start), 5);
        assert_eq!(bucket.next_ready(1, start), None);
        assert_eq!(bucket.available(start + Duration::from_secs(1 << 40)), 0);
    }

    #[test]
    fn time_that_runs_backwards_changes_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = TokenBucket::full(rate(10, 5), start);
        bucket.take_up_to(5, start);
        assert_eq!(bucket.available(start - Duration::from_secs(5)), 0);
        assert_eq!(bucket.available(start + Duration::from_millis(100)), 1);
    }

    #[test]
    fn greatest_rate_does_not_overflow() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(rate(u64::MAX, u64::MAX), start);
        assert_eq!(bucket.take_up_to(u64::MAX, start), u64::MAX);
        assert_eq!(bucket.next_ready(u64::MAX, start), Some(Duration::from_secs(1)));
        bucket.deposit(u64::MAX, start);
        bucket.deposit(u64::MAX, start);
        assert_eq!(bucket.available(start + Duration::from_secs(1 << 40)), u64::MAX);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Take(u64),
        Deposit(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5_000_000_000u64).prop_map(Step::Wait),
            (0..3000u64).prop_map(Step::Take),
            (0..3000u64).prop_map(Step::Deposit),
        ]
    }

    proptest! {
        // The model keeps the content as a plain sum from the last time that the bucket was full, in one fraction.
        #[test]
        fn bucket_agrees_with_exact_arithmetic(
            per_second in 1..1_000_000_007u64,
            burst in 1..2000u64,
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut now = Instant::now();
            let mut bucket = TokenBucket::full(rate(per_second, burst), now);
            let capacity = i128::from(burst) * 1_000_000_000;
            let mut model = capacity;
            for step in steps {
                match step {
                    Step::Wait(nanos) => {
                        now += Duration::from_nanos(nanos);
                        model = capacity.min(model + i128::from(nanos) * i128::from(per_second));
                    }
                    Step::Take(tokens) => {
                        let expected = (model / 1_000_000_000).min(i128::from(tokens));
                        prop_assert_eq!(i128::from(bucket.take_up_to(tokens, now)), expected);
                        model -= expected * 1_000_000_000;
                    }
                    Step::Deposit(tokens) => {
                        bucket.deposit(tokens, now);
                        model = capacity.min(model + i128::from(tokens) * 1_000_000_000);
                    }
                }
                prop_assert_eq!(i128::from(bucket.available(now)), model / 1_000_000_000);
            }
        }

        #[test]
        fn often_asked_bucket_does_not_drift(per_second in 1..1000u64, polls in 1..2000u32, gap in 1..50_000_000u64) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = TokenBucket::full(rate(per_second, 1_000_000), start);
            bucket.take_up_to(u64::MAX, start);
            let mut taken = 0;
            for _ in 0..polls {
                now += Duration::from_nanos(gap);
                taken += bucket.take_up_to(u64::MAX, now);
            }
            let exact = u128::from(polls) * u128::from(gap) * u128::from(per_second) / 1_000_000_000;
            prop_assert_eq!(u128::from(taken), exact);
        }

        #[test]
        fn wait_is_exact_to_the_nanosecond(per_second in 1..u64::MAX, burst in 1..u64::MAX, part in 1..1000u64) {
            let start = Instant::now();
            let mut bucket = TokenBucket::full(rate(per_second, burst), start);
            bucket.take_up_to(burst, start);
            let wanted = 1 + (burst - 1) / part;
            let Some(wait) = bucket.next_ready(wanted, start) else { return Err(TestCaseError::reject("too long")) };
            prop_assume!(wait < Duration::from_secs(1 << 40));
            let mut early = bucket.clone();
            prop_assert!(early.available(start + wait - Duration::from_nanos(1)) < wanted);
            prop_assert!(bucket.available(start + wait) >= wanted);
        }
    }
}
