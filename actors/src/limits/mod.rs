//! The limiter: owns every budget and leases slices of it to the workers.

mod lease;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::{BudgetTable, Scope};

use crate::driver::now;
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::control::{BudgetId, Command, WorkerIndex};
use kariz_proto::model::Limits as LimitSpec;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often slices are leased while there are budgets. A stream that is held back goes on within about this.
pub(crate) const LEASE_INTERVAL: Duration = Duration::from_millis(20);

/// The budgets of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Reply)]
pub(crate) struct Budgets {
    pub(crate) bytes: Option<BudgetId>,
    pub(crate) messages: Option<BudgetId>,
}

impl Budgets {
    /// As the data plane's commands want them.
    pub(crate) fn pair(self) -> (Option<BudgetId>, Option<BudgetId>) {
        (self.bytes, self.messages)
    }
}

/// The limiter. The table of budgets is shared, so that a successor goes on leasing what is open.
pub(crate) struct Limits {
    shared: Arc<Shared>,
    tick: Interval,
}

/// Makes the budgets of a scope what the limits say; unlimited closes them. Answered with their ids once every worker
/// knows them.
pub(crate) struct SetBudgets {
    pub(crate) scope: Scope,
    pub(crate) limits: LimitSpec,
}

/// A worker died with what was leased to it.
pub(crate) struct LeaseLost(pub(crate) WorkerIndex);

impl Actor for Limits {
    type Args = Arc<Shared>;
    type Error = Infallible;

    async fn on_start(shared: Arc<Shared>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut tick = interval(LEASE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { shared, tick })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let idle = self.shared.budgets.lock().is_empty();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                _ = self.tick.tick(), if !idle => self.lease(),
            }
        }
    }
}

impl Limits {
    fn lease(&self) {
        let data_plane = &self.shared.data_plane;
        let now = now();
        let mut budgets = self.shared.budgets.lock();
        for (budget, lease) in budgets.leases() {
            for (worker, tokens) in lease.divide(&data_plane.demand(budget), now) {
                data_plane.grant(budget, worker, tokens);
            }
        }
    }

    async fn set(&self, scope: Scope, limits: &LimitSpec) -> Budgets {
        let shared = &self.shared;
        let workers = shared.data_plane.workers();
        let (ids, change) = shared
            .budgets
            .lock()
            .set(scope, limits, workers, now(), || shared.ids.budget());
        for budget in change.opened {
            shared.tell(Command::OpenBudget { budget }).await;
        }
        for budget in change.closed {
            shared.tell(Command::CloseBudget { budget }).await;
        }
        ids
    }
}

impl Message<SetBudgets> for Limits {
    type Reply = Budgets;

    async fn handle(&mut self, message: SetBudgets, _: &mut Context<Self, Self::Reply>) -> Budgets {
        self.set(message.scope, &message.limits).await
    }
}

impl Message<LeaseLost> for Limits {
    type Reply = ();

    async fn handle(&mut self, LeaseLost(worker): LeaseLost, _: &mut Context<Self, ()>) {
        for (_, lease) in self.shared.budgets.lock().leases() {
            lease.worker_replaced(worker);
        }
    }
}
