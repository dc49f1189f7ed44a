//! Bounds that hold over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Few are no crowd: so many more than twice the mean a worker may have.
const SLACK: u64 = 8;

/// A count over all workers, of which each worker's part is known: a worker that died never gives back what it had
/// taken, so that its successor's host does.
#[derive(Debug)]
pub(crate) struct Tally {
    total: AtomicU64,
    parts: Box<[Part]>,
}

/// On a cache line of its own, because one worker writes it all the time.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Part(AtomicU64);

/// Counts one until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    tally: Arc<Tally>,
    worker: usize,
}

impl Tally {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicU64::new(0),
            parts: (0..workers).map(|_| Part::default()).collect(),
        })
    }

    /// Counts one for a worker, unless there are `most` already.
    pub(crate) fn take(self: &Arc<Self>, worker: usize, most: u64) -> Option<Share> {
        self.parts[worker].0.fetch_add(1, Ordering::AcqRel);
        let share = Share {
            tally: self.clone(),
            worker,
        };
        (self.total.fetch_add(1, Ordering::AcqRel) < most).then_some(share)
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Who should take what comes to `worker` next: whoever has the fewest, if `worker` has more than twice the mean (and
    /// [`SLACK`]). The kernel spreads connections over listeners by their addresses, and not always evenly.
    pub(crate) fn relief(&self, worker: usize) -> Option<usize> {
        let workers = self.parts.len() as u64;
        let part = |part: &Part| part.0.load(Ordering::Relaxed);
        if part(&self.parts[worker]) * workers <= 2 * self.total.load(Ordering::Relaxed) + SLACK * workers {
            return None;
        }
        (0..self.parts.len()).min_by_key(|other| part(&self.parts[*other]))
    }

    /// Takes back what a worker that is dead had taken. A share of it that is dropped later counts no more.
    pub(crate) fn forget(&self, worker: usize) {
        let part = self.parts[worker].0.swap(0, Ordering::AcqRel);
        self.total.fetch_sub(part, Ordering::AcqRel);
    }
}

impl Share {
    /// It belongs to another worker from now on.
    pub(crate) fn move_to(&mut self, worker: usize) {
        if !self.leave() {
            self.tally.total.fetch_add(1, Ordering::AcqRel);
        }
        self.worker = worker;
        self.tally.parts[worker].0.fetch_add(1, Ordering::AcqRel);
    }

    /// Leaves its worker's part; `false` if that was forgotten, and it was counted no more.
    fn leave(&self) -> bool {
        let part = &self.tally.parts[self.worker].0;
        part.fetch_update(Ordering::AcqRel, Ordering::Acquire, |part| part.checked_sub(1))
            .is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.leave() {
            self.tally.total.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_over_all_workers_and_room_comes_back() {
        let tally = Tally::new(2);
        let shares = [tally.take(0, 2).unwrap(), tally.take(1, 2).unwrap()];
        assert!(tally.take(0, 2).is_none());
        assert_eq!(tally.total(), 2);
        drop(shares);
        assert_eq!(tally.total(), 0);
    }

    #[test]
    fn worker_with_more_than_twice_the_mean_is_relieved_by_the_one_with_the_fewest() {
        let tally = Tally::new(4);
        let mut shares: Vec<_> = (0..10).map(|_| tally.take(0, 99).unwrap()).collect();
        shares.extend([1, 1, 2, 3].map(|worker| tally.take(worker, 99).unwrap()));
        assert_eq!(tally.relief(0), None, "10 of 14 are more than twice the mean, but few");
        shares.extend((0..30).map(|_| tally.take(0, 99).unwrap()));
        assert_eq!(tally.relief(0), Some(2));
        assert_eq!(tally.relief(1), None);
    }

    #[test]
    fn a_dead_worker_gives_back_what_it_had_and_nothing_twice() {
        let tally = Tally::new(2);
        let (of_dead, mut moved) = (tally.take(0, 9).unwrap(), tally.take(0, 9).unwrap());
        moved.move_to(1);
        tally.forget(0);
        assert_eq!(tally.total(), 1, "the one that had moved away");
        drop(of_dead);
        assert_eq!(tally.total(), 1);
        drop(moved);
        assert_eq!(tally.total(), 0);
    }
}
