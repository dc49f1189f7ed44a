//! Which budgets exist.

use super::Budgets;
use super::lease::Lease;
use kariz_proto::control::{BudgetId, ServiceId, SessionId};
use kariz_proto::model::{Limits, Rate};
use std::collections::HashMap;
use std::time::Instant;

/// Whose budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// `[limits]`.
    Process,
    /// `[server.limits]`, for each session.
    Session(SessionId),
    /// The limits of a service.
    Service(ServiceId),
}

/// The open budgets, by scope: bytes and messages. At most two for each service and session, and two for the
/// process.
#[derive(Default)]
pub(crate) struct BudgetTable {
    scopes: HashMap<Scope, [Option<BudgetId>; 2]>,
    leases: HashMap<BudgetId, Lease>,
}

/// What the data plane has to be told after a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) opened: Vec<BudgetId>,
    pub(crate) closed: Vec<BudgetId>,
}

impl BudgetTable {
    /// Makes the budgets of a scope what `limits` says: opens, changes or closes. A budget whose rate changes keeps
    /// its id. Returns the scope's budgets for bytes and messages.
    pub(crate) fn set(
        &mut self,
        scope: Scope,
        limits: &Limits,
        workers: u16,
        now: Instant,
        mut next_id: impl FnMut() -> BudgetId,
    ) -> (Budgets, Change) {
        let mut change = Change::default();
        let mut ids = self.scopes.remove(&scope).unwrap_or_default();
        for (id, rate) in ids.iter_mut().zip([limits.bytes, limits.messages]) {
            match (*id, rate) {
                (Some(open), Some(rate)) => {
                    if let Some(lease) = self.leases.get_mut(&open) {
                        lease.set_rate(rate, now);
                    }
                }
                (None, Some(rate)) => *id = Some(self.open(rate, workers, now, &mut next_id, &mut change)),
                (Some(open), None) => {
                    self.leases.remove(&open);
                    change.closed.push(open);
                    *id = None;
                }
                (None, None) => {}
            }
        }
        if ids != [None, None] {
            self.scopes.insert(scope, ids);
        }
        (
            Budgets {
                bytes: ids[0],
                messages: ids[1],
            },
            change,
        )
    }

    fn open(
        &mut self,
        rate: Rate,
        workers: u16,
        now: Instant,
        next_id: &mut impl FnMut() -> BudgetId,
        change: &mut Change,
    ) -> BudgetId {
        let id = next_id();
        self.leases.insert(id, Lease::new(rate, workers, now));
        change.opened.push(id);
        id
    }

    /// The budgets of a scope for bytes and messages, as they are.
    pub(crate) fn get(&self, scope: Scope) -> Budgets {
        self.scopes.get(&scope).map_or(Budgets::default(), |ids| Budgets {
            bytes: ids[0],
            messages: ids[1],
        })
    }

    /// Whether there is nothing to lease.
    pub(crate) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Every open budget with its lease.
    pub(crate) fn leases(&mut self) -> impl Iterator<Item = (BudgetId, &mut Lease)> {
        self.leases.iter_mut().map(|(id, lease)| (*id, lease))
    }
}
