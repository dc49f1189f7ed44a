//! Rate limits on a worker: every visitor's bytes and messages count against up to three budgets of each kind
//! (process, session, service). Streams are slowed down by not reading, never cut.

use crate::sync::lease::Lease;
use kariz_proto::control::{BudgetId, BudgetSet};
use monoio::time::sleep;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long a held-back stream rests before it looks again. The limiter leases more often than this.
pub(crate) const REST: Duration = Duration::from_millis(10);

/// Budgets of this worker by id. Bound: the limiter opens at most three of each kind for a service or session.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    by_id: RefCell<HashMap<BudgetId, Rc<Budget>>>,
}

/// One worker's part of one budget.
#[derive(Debug)]
struct Budget {
    lease: Arc<Lease>,
    tokens: Cell<u64>,
    closed: Cell<bool>,
}

/// What one visitor counts against. Cheap to clone, costs nothing where nothing is limited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limiter {
    budgets: Option<Rc<Bound>>,
}

#[derive(Debug, Default)]
struct Bound {
    bytes: Vec<Rc<Budget>>,
    messages: Vec<Rc<Budget>>,
}

impl Budgets {
    /// A budget exists from now on; it is empty until the limiter grants something.
    pub(crate) fn open(&self, id: BudgetId, lease: Arc<Lease>) {
        // One that is open already stays, so that closing it lets everybody go who counts against it.
        self.by_id.borrow_mut().entry(id).or_insert_with(|| {
            Rc::new(Budget {
                lease,
                tokens: Cell::new(0),
                closed: Cell::new(false),
            })
        });
    }

    /// The budget is gone; what it held back goes on unlimited.
    pub(crate) fn close(&self, id: BudgetId) {
        if let Some(budget) = self.by_id.borrow_mut().remove(&id) {
            budget.closed.set(true);
        }
    }

    /// The limiter for visitors that count against all of `sets`.
    pub(crate) fn limiter(&self, sets: &[&BudgetSet]) -> Limiter {
        let by_id = self.by_id.borrow();
        let mut bound = Bound::default();
        for (bytes, messages) in sets.iter().flat_map(|set| [set.process, set.session, set.service]) {
            bound.bytes.extend(bytes.and_then(|id| by_id.get(&id)).cloned());
            bound.messages.extend(messages.and_then(|id| by_id.get(&id)).cloned());
        }
        let limited = !(bound.bytes.is_empty() && bound.messages.is_empty());
        Limiter {
            budgets: limited.then(|| Rc::new(bound)),
        }
    }
}

impl Budget {
    fn available(&self) -> u64 {
        if self.closed.get() {
            return u64::MAX;
        }
        self.tokens.set(self.tokens.get().saturating_add(self.lease.take()));
        if self.tokens.get() == 0 {
            self.lease.starve();
        }
        self.tokens.get()
    }

    fn spend(&self, tokens: u64) {
        self.tokens.set(self.tokens.get().saturating_sub(tokens));
        self.lease.spent(tokens);
    }
}

impl Limiter {
    /// How many bytes one message may have now: 0 is none, `usize::MAX` is no limit.
    pub(crate) fn room(&self) -> usize {
        let Some(bound) = &self.budgets else { return usize::MAX };
        if bound.messages.iter().any(|budget| budget.available() == 0) {
            return 0;
        }
        let bytes = bound
            .bytes
            .iter()
            .map(|budget| budget.available())
            .min()
            .unwrap_or(u64::MAX);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Waits before it is worth looking at [`Limiter::room`] again. Boxed: few streams are ever held back, and the
    /// others are not to pay for a timer's memory.
    pub(crate) async fn rest(&self) {
        Box::pin(sleep(REST)).await;
    }

    /// Counts one message of `bytes` bytes.
    pub(crate) fn spend(&self, bytes: usize) {
        if let Some(bound) = &self.budgets {
            bound.bytes.iter().for_each(|budget| budget.spend(bytes as u64));
            bound.messages.iter().for_each(|budget| budget.spend(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(id: u32) -> BudgetSet {
        BudgetSet {
            service: (Some(BudgetId(id)), None),
            ..BudgetSet::default()
        }
    }

    #[test]
    fn the_tightest_budget_decides_and_every_one_is_charged() {
        let budgets = Budgets::default();
        let leases: Vec<_> = (0..2).map(|_| Arc::new(Lease::default())).collect();
        budgets.open(BudgetId(0), leases[0].clone());
        budgets.open(BudgetId(1), leases[1].clone());
        let limiter = budgets.limiter(&[&bytes_of(0), &bytes_of(1)]);
        assert_eq!(limiter.room(), 0);
        leases[0].grant(100);
        assert_eq!(limiter.room(), 0, "the other one is still empty");
        leases[1].grant(30);
        assert_eq!(limiter.room(), 30);
        limiter.spend(30);
        assert_eq!(limiter.room(), 0);
        assert_eq!(leases[0].demand(), (30, true));
        budgets.close(BudgetId(1));
        assert_eq!(limiter.room(), 70);
    }

    #[test]
    fn without_budgets_nothing_is_limited() {
        let limiter = Budgets::default().limiter(&[&BudgetSet::default()]);
        limiter.spend(1 << 40);
        assert_eq!(limiter.room(), usize::MAX);
    }

    #[test]
    fn messages_are_counted_apart_from_bytes() {
        let budgets = Budgets::default();
        let lease = Arc::new(Lease::default());
        budgets.open(BudgetId(7), lease.clone());
        let set = BudgetSet {
            process: (None, Some(BudgetId(7))),
            ..BudgetSet::default()
        };
        let limiter = budgets.limiter(&[&set]);
        lease.grant(2);
        assert_eq!(limiter.room(), usize::MAX);
        limiter.spend(1 << 30);
        assert_eq!(limiter.room(), usize::MAX);
        limiter.spend(1);
        assert_eq!(limiter.room(), 0);
    }
}
