//! The leases of every budget, by worker.

use crate::sync::lease::Lease;
use kariz_proto::control::{BudgetId, WorkerIndex};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Shared between the host, which opens and closes budgets, and the limiter, which grants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    by_budget: Arc<RwLock<HashMap<BudgetId, Vec<Arc<Lease>>>>>,
}

impl Leases {
    /// Opens a budget for `workers` workers, or finds it open.
    pub(crate) fn open(&self, budget: BudgetId, workers: usize) -> Vec<Arc<Lease>> {
        let mut map = self.by_budget.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(budget)
            .or_insert_with(|| (0..workers).map(|_| Arc::default()).collect())
            .clone()
    }

    pub(crate) fn close(&self, budget: BudgetId) {
        self.by_budget
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&budget);
    }

    pub(crate) fn get(&self, budget: BudgetId, worker: WorkerIndex) -> Option<Arc<Lease>> {
        let map = self.by_budget.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&budget)?.get(usize::from(worker.0)).cloned()
    }
}
