//! How one budget is divided among workers.

use crate::dataplane::Demand;
use kariz_proto::bucket::TokenBucket;
use kariz_proto::control::WorkerIndex;
use kariz_proto::model::Rate;
use std::time::Instant;

/// The part of a budget's burst that lies ready with workers whose streams do not wait, so that their first bytes
/// need not wait for a grant: one in this many, divided among all workers.
const READY_PART: u64 = 4;

/// A budget and what of it is out with the workers.
pub(crate) struct Lease {
    bucket: TokenBucket,
    burst: u64,
    /// Tokens granted and not yet used, by worker.
    out: Vec<u64>,
}

impl Lease {
    /// A full budget, nothing granted.
    pub(crate) fn new(rate: Rate, workers: u16, now: Instant) -> Self {
        Self {
            bucket: TokenBucket::full(rate, now),
            burst: rate.burst,
            out: vec![0; usize::from(workers)],
        }
    }

    /// Changes the rate from `now` on; what was saved up is kept as far as it fits.
    pub(crate) fn set_rate(&mut self, rate: Rate, now: Instant) {
        let kept = self.bucket.available(now);
        self.bucket = TokenBucket::full(rate, now);
        self.bucket.take_up_to(rate.burst.saturating_sub(kept), now);
        self.burst = rate.burst;
    }

    /// A worker died: what it held is gone.
    pub(crate) fn worker_replaced(&mut self, worker: WorkerIndex) {
        if let Some(out) = self.out.get_mut(usize::from(worker.0)) {
            *out = 0;
        }
    }

    /// What to grant now. Workers whose streams wait share what is there equally; the others are kept at a small
    /// reserve. Together never more than the bucket holds.
    pub(crate) fn divide(&mut self, demands: &[Demand], now: Instant) -> Vec<(WorkerIndex, u64)> {
        for demand in demands {
            if let Some(out) = self.out.get_mut(usize::from(demand.worker.0)) {
                *out = out.saturating_sub(demand.used);
            }
        }
        let mut available = self.bucket.available(now);
        let reserve = (self.burst / READY_PART / self.out.len().max(1) as u64).max(1);
        let mut waiting: Vec<usize> = demands
            .iter()
            .filter(|demand| demand.waiting)
            .map(|demand| usize::from(demand.worker.0))
            .filter(|worker| *worker < self.out.len())
            .collect();
        // Whoever holds most comes first, so that what it does not need falls to those after it.
        waiting.sort_by_key(|worker| std::cmp::Reverse(self.out[*worker]));
        let mut grants = Vec::new();
        for (index, &worker) in waiting.iter().enumerate() {
            let share = available / (waiting.len() - index) as u64;
            let tokens = share.saturating_sub(self.out[worker]);
            available -= tokens;
            grants.push((worker, tokens));
        }
        for worker in 0..self.out.len() {
            if !waiting.contains(&worker) {
                let tokens = reserve.saturating_sub(self.out[worker]).min(available);
                available -= tokens;
                grants.push((worker, tokens));
            }
        }
        grants.retain(|(_, tokens)| *tokens > 0);
        self.bucket
            .take_up_to(grants.iter().map(|(_, tokens)| tokens).sum(), now);
        for (worker, tokens) in &grants {
            self.out[*worker] += tokens;
        }
        grants
            .into_iter()
            .map(|(worker, tokens)| (WorkerIndex(worker as u16), tokens))
            .collect()
    }
}
