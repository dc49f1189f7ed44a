//! How many carriers a service is going to need: its floor, who waits already, and who will arrive before a carrier
//! that is asked for now can be there.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The arrival rate is measured over windows of this length.
const WINDOW: Duration = Duration::from_millis(100);

/// How much of the older rate stays when a window ends with fewer arrivals. Rises count at once.
const DECAY: f64 = 0.8;

/// Assumed until the first carrier has arrived.
const FIRST_REFILL: Duration = Duration::from_millis(50);

/// A measured refill time is believed up to this.
const MAX_REFILL: Duration = Duration::from_secs(2);

/// A client is near if a round trip to it takes no longer than this.
const NEAR: Duration = Duration::from_millis(25);

/// A far client's pool is at most this many times as large.
const MAX_SCALE: f64 = 4.0;

/// What was asked for is not lost before this.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Head room over the measured need, because arrivals come in clumps.
const MARGIN: f64 = 1.5;

/// Arrivals and refill time of one service on one worker.
#[derive(Debug)]
pub(crate) struct Demand {
    window: Cell<Instant>,
    arrivals: Cell<u32>,
    per_second: Cell<f64>,
    refill: Cell<Duration>,
    distance: Cell<Option<Duration>>,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window: Cell::new(now),
            arrivals: Cell::new(0),
            per_second: Cell::new(0.0),
            refill: Cell::new(FIRST_REFILL),
            distance: Cell::new(None),
        }
    }

    /// A visitor has arrived.
    pub(super) fn arrival(&self) {
        self.arrivals.set(self.arrivals.get() + 1);
    }

    /// A carrier has arrived `after` it was asked for.
    pub(super) fn refilled(&self, after: Duration) {
        let refill = (self.refill.get() * 7 + after.min(MAX_REFILL)) / 8;
        // A slower path is believed at once, a faster one slowly.
        self.refill.set(refill.max(after.min(MAX_REFILL)));
    }

    /// The client is this far away (`None`: not known yet).
    pub(super) fn set_distance(&self, round_trip: Option<Duration>) {
        self.distance.set(round_trip);
    }

    /// Whether it is known how far away the client is.
    pub(super) fn knows_distance(&self) -> bool {
        self.distance.get().is_some()
    }

    /// A pool that is enough for a near client, made enough for this one: from far away a carrier takes longer, and
    /// more visitors come meanwhile. At most [`MAX_SCALE`] times as many.
    pub(super) fn scaled(&self, pool: usize) -> usize {
        let distance = self.distance.get().unwrap_or_default().as_secs_f64();
        let times = distance / NEAR.as_secs_f64();
        (pool as f64 * times.clamp(1.0, MAX_SCALE)) as usize
    }

    /// How long a visitor waits before what was asked for counts as lost.
    pub(super) fn patience(&self) -> Duration {
        LOST_AFTER.max(self.refill.get() * 4)
    }

    /// Visitors that will arrive while a carrier is on its way.
    pub(super) fn expected(&self, now: Instant) -> usize {
        let elapsed = now.duration_since(self.window.get());
        let measured = f64::from(self.arrivals.get()) / elapsed.max(WINDOW).as_secs_f64();
        if elapsed >= WINDOW {
            let windows = (elapsed.as_secs_f64() / WINDOW.as_secs_f64()).floor().min(1000.0);
            self.per_second
                .set(measured.max(self.per_second.get() * DECAY.powf(windows)));
            self.window.set(now);
            self.arrivals.set(0);
        }
        let rate = measured.max(self.per_second.get());
        (rate * self.refill.get().as_secs_f64() * MARGIN) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expects_what_arrives_within_a_refill_time() {
        let start = Instant::now();
        let demand = Demand::new(start);
        demand.refilled(Duration::from_millis(200));
        assert_eq!(demand.expected(start), 0);
        (0..50).for_each(|_| demand.arrival());
        let expected = demand.expected(start + WINDOW);
        assert_eq!(expected, 150, "500 a second, 200 ms, half as many again");
        let later = demand.expected(start + Duration::from_secs(20));
        assert_eq!(later, 0, "nobody came for long");
    }

    #[test]
    fn pool_of_a_far_client_is_larger_up_to_a_bound() {
        let demand = Demand::new(Instant::now());
        assert_eq!(demand.scaled(8), 8);
        demand.set_distance(Some(Duration::from_millis(1)));
        assert_eq!(demand.scaled(8), 8);
        demand.set_distance(Some(Duration::from_millis(50)));
        assert_eq!(demand.scaled(8), 16);
        demand.set_distance(Some(Duration::from_secs(2)));
        assert_eq!(demand.scaled(8), 32);
    }

    #[test]
    fn a_burst_counts_before_its_window_ends() {
        let start = Instant::now();
        let demand = Demand::new(start);
        demand.refilled(Duration::from_millis(100));
        (0..100).for_each(|_| demand.arrival());
        assert!(demand.expected(start + Duration::from_millis(10)) >= 100);
    }
}
