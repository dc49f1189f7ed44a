//! Whether accepting has to pause at the moment, as descriptors or memory are short.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a shortage is minded after it was last met. Who is out of descriptors tries again several times in this time.
const MINDED_FOR: Duration = Duration::from_secs(1);

/// The pauses of the whole process, whose descriptors all of its workers have in common.
#[derive(Debug)]
pub(crate) struct Shortage {
    began: Instant,
    /// Milliseconds from `began` until the last one is over; 0 if there was none.
    over_after: AtomicU64,
}

impl Default for Shortage {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            over_after: AtomicU64::new(0),
        }
    }
}

impl Shortage {
    /// A connection could not be accepted.
    pub(crate) fn met(&self) {
        self.met_at(Instant::now());
    }

    /// Whether that was a moment ago: what is not needed at once had better not be asked for.
    pub(crate) fn is_there(&self) -> bool {
        // Asked for every visitor, and mostly there never was one: no look at the clock then.
        self.over_after.load(Ordering::Relaxed) > 0 && self.is_there_at(Instant::now())
    }

    /// Whether there was one since then.
    pub(crate) fn was_met_since(&self, since: Instant) -> bool {
        self.is_there_at(since)
    }

    fn met_at(&self, now: Instant) {
        let over_after = self.since_began(now + MINDED_FOR);
        self.over_after.fetch_max(over_after, Ordering::Relaxed);
    }

    fn is_there_at(&self, now: Instant) -> bool {
        self.since_began(now) < self.over_after.load(Ordering::Relaxed)
    }

    fn since_began(&self, at: Instant) -> u64 {
        at.duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_minded_until_it_is_over() {
        let (shortage, begin) = (Shortage::default(), Instant::now());
        assert!(!shortage.is_there_at(begin));
        shortage.met_at(begin + Duration::from_secs(5));
        shortage.met_at(begin + Duration::from_secs(4));
        assert!(shortage.is_there_at(begin + Duration::from_millis(5_900)));
        assert!(!shortage.is_there_at(begin + Duration::from_millis(6_100)));
        assert!(shortage.was_met_since(begin) && !shortage.was_met_since(begin + Duration::from_secs(7)));
    }
}
