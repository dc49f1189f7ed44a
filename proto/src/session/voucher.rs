//! The vouchers that a worker has given out.

use super::Random;
use super::random::random_bytes;
use crate::control::{Voucher, WorkerIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One worker's vouchers: random, single use, each with a deadline, bounded in number. `T` is what a voucher is
/// for (session, epoch, service).
#[derive(Debug)]
pub struct VoucherTable<T> {
    worker: WorkerIndex,
    capacity: usize,
    entries: BTreeMap<[u8; 16], (Instant, T)>,
    deadlines: BTreeSet<(Instant, [u8; 16])>,
}

impl<T> VoucherTable<T> {
    /// A table of at most `capacity` vouchers, all of which name `worker`.
    pub fn new(worker: WorkerIndex, capacity: usize) -> Self {
        Self {
            worker,
            capacity,
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Makes a voucher that is valid for `lifetime`; `None` if the table is full.
    pub fn issue(&mut self, now: Instant, lifetime: Duration, purpose: T, random: &mut dyn Random) -> Option<Voucher> {
        if self.entries.len() >= self.capacity {
            return None;
        }
        let bytes = random_bytes(random);
        let deadline = now + lifetime;
        if let Some((older, _)) = self.entries.insert(bytes, (deadline, purpose)) {
            self.deadlines.remove(&(older, bytes));
        }
        self.deadlines.insert((deadline, bytes));
        Some(Voucher {
            worker: self.worker,
            random: bytes,
        })
    }

    /// What an unused voucher is for, without using it; `None` as in [`Self::take`]. For checking a MAC first.
    pub fn get(&self, now: Instant, voucher: &Voucher) -> Option<&T> {
        let (deadline, purpose) = self.entries.get(&voucher.random)?;
        (voucher.worker == self.worker && now < *deadline).then_some(purpose)
    }

    /// Uses a voucher up; `None` if it was never given out here, is used already, or is late.
    pub fn take(&mut self, now: Instant, voucher: &Voucher) -> Option<T> {
        if voucher.worker != self.worker {
            return None;
        }
        let (deadline, purpose) = self.entries.remove(&voucher.random)?;
        self.deadlines.remove(&(deadline, voucher.random));
        (now < deadline).then_some(purpose)
    }

    /// Removes a voucher that is late, the latest last; call until `None`. Its purpose says what to ask for again.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let (deadline, bytes) = *self.deadlines.first()?;
        if now < deadline {
            return None;
        }
        self.deadlines.pop_first();
        self.entries.remove(&bytes).map(|(_, purpose)| purpose)
    }

    /// Removes every voucher whose purpose is not to be kept (a session or an epoch that ended).
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let deadlines = &mut self.deadlines;
        self.entries.retain(|bytes, (deadline, purpose)| {
            let kept = keep(purpose);
            if !kept {
                deadlines.remove(&(*deadline, *bytes));
            }
            kept
        });
    }

    /// When [`Self::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Vouchers that were given out and not brought back. A gauge.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: usize) -> (VoucherTable<u32>, impl FnMut(&mut [u8]), Instant) {
        let mut count = 0_u8;
        let random = move |bytes: &mut [u8]| {
            count += 1;
            bytes.fill(count);
        };
        (VoucherTable::new(WorkerIndex(3), capacity), random, Instant::now())
    }

    const LIFETIME: Duration = Duration::from_secs(10);

    #[test]
    fn a_voucher_works_once_at_its_own_worker() {
        let (mut table, mut random, now) = table(4);
        let voucher = table.issue(now, LIFETIME, 7, &mut random).unwrap();
        let elsewhere = Voucher {
            worker: WorkerIndex(2),
            ..voucher
        };
        assert_eq!(table.take(now, &elsewhere), None);
        assert_eq!(table.get(now, &voucher), Some(&7));
        assert_eq!(table.take(now, &voucher), Some(7));
        assert_eq!(table.take(now, &voucher), None);
        assert_eq!(table.next_deadline(), None);
    }

    #[test]
    fn a_forged_voucher_is_nothing() {
        let (mut table, mut random, now) = table(4);
        let mut voucher = table.issue(now, LIFETIME, 7, &mut random).unwrap();
        voucher.random[15] ^= 1;
        assert_eq!(table.take(now, &voucher), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_late_voucher_is_nothing_and_leaves_the_table() {
        let (mut table, mut random, now) = table(4);
        let first = table.issue(now, LIFETIME, 1, &mut random).unwrap();
        table.issue(now, LIFETIME * 2, 2, &mut random).unwrap();
        assert_eq!(table.get(now + LIFETIME, &first), None);
        assert_eq!(table.expire(now + LIFETIME), Some(1));
        assert_eq!(table.expire(now + LIFETIME), None);
        assert_eq!(table.next_deadline(), Some(now + LIFETIME * 2));
    }

    #[test]
    fn a_full_table_gives_none_and_goes_on_when_one_is_taken() {
        let (mut table, mut random, now) = table(2);
        let first = table.issue(now, LIFETIME, 1, &mut random).unwrap();
        table.issue(now, LIFETIME, 2, &mut random).unwrap();
        assert_eq!(table.issue(now, LIFETIME, 3, &mut random), None);
        table.take(now, &first).unwrap();
        assert!(table.issue(now, LIFETIME, 3, &mut random).is_some());
    }

    #[test]
    fn vouchers_of_an_ended_session_are_removed() {
        let (mut table, mut random, now) = table(9);
        for purpose in 0..6 {
            table.issue(now, LIFETIME, purpose, &mut random).unwrap();
        }
        table.retain(|purpose| purpose % 2 == 0);
        assert_eq!(table.len(), 3);
        assert_eq!(
            std::iter::from_fn(|| table.expire(now + LIFETIME)).collect::<Vec<_>>(),
            [0, 2, 4]
        );
    }
}
