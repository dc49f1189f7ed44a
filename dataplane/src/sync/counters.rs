//! Counters and gauges of one worker: written by the worker alone, read by anybody.

use super::shim::{AtomicU64, Ordering};

/// `N` counters. Only one thread may write (`add`, `sub`, `set`): there is no atomic read-modify-write in them,
/// so that counting costs a worker nothing.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    values: [AtomicU64; N],
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self {
            values: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl<const N: usize> Counters<N> {
    /// Adds to a counter. Release, so that who sees an effect sees its cause: see [`Counters::read`].
    pub fn add(&self, index: usize, amount: u64) {
        let value = &self.values[index];
        value.store(value.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Release);
    }

    /// Takes from a gauge.
    pub fn sub(&self, index: usize, amount: u64) {
        let value = &self.values[index];
        value.store(value.load(Ordering::Relaxed).saturating_sub(amount), Ordering::Release);
    }

    /// Sets a gauge.
    pub fn set(&self, index: usize, amount: u64) {
        self.values[index].store(amount, Ordering::Release);
    }

    /// Reads one value.
    pub fn get(&self, index: usize) -> u64 {
        self.values[index].load(Ordering::Acquire)
    }

    /// Reads every value, the last one first: if the writer counts a cause in an earlier place than its effect
    /// and counts it first, no reading shows the effect without the cause.
    pub fn read(&self) -> [u64; N] {
        let mut values = [0; N];
        for index in (0..N).rev() {
            values[index] = self.get(index);
        }
        values
    }
}
