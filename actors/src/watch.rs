//! Watches over the workers.

use crate::limits::{LeaseLost, Limits};
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::control::WorkerIndex;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counts and logs workers that died; the data plane's host has replaced them already.
pub(crate) struct WorkerWatch {
    shared: Arc<Shared>,
    limits: ActorRef<Limits>,
}

/// A worker died and has a successor.
pub(crate) struct Replaced {
    pub(crate) worker: WorkerIndex,
    pub(crate) cause: String,
}

impl Actor for WorkerWatch {
    type Args = (Arc<Shared>, ActorRef<Limits>);
    type Error = Infallible;

    async fn on_start((shared, limits): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { shared, limits })
    }
}

impl Message<Replaced> for WorkerWatch {
    type Reply = ();

    async fn handle(&mut self, Replaced { worker, cause }: Replaced, _: &mut Context<Self, ()>) {
        let total = self.shared.gauges.workers_replaced.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(
            worker = worker.0,
            reason = cause,
            total,
            "a worker died and was replaced"
        );
        // What was leased to it is lost with it; a limiter that thinks otherwise would starve the successor.
        if self.limits.tell(LeaseLost(worker)).await.is_err() {
            tracing::warn!(worker = worker.0, "the limiter is gone");
        }
    }
}
