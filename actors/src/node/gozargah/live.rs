//! What everybody may know of the backend at any time, without asking its actor.

use super::core_api::CoreApi;
use super::ledger::Ledger;
use crate::node::state::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long the counters of a core that is to end may take.
const READ_OUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether there is a backend, for everybody. Clones share it; it outlives the actor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    current: Arc<watch::Sender<Current>>,
    start: Arc<watch::Sender<Start>>,
    /// When a panel was last answered as it wished.
    answered: Arc<watch::Sender<Option<Instant>>>,
}

/// Whether there is a backend, and its core.
#[derive(Debug, Clone, Default)]
pub(super) enum Current {
    /// No panel has started one.
    #[default]
    None,
    /// Its core is not there at the moment.
    Down,
    /// It runs.
    Up(Core),
}

/// A core that runs.
#[derive(Debug, Clone)]
pub(super) struct Core {
    pub(super) api: Arc<CoreApi>,
    /// Since when.
    pub(super) since: Instant,
    /// The port of its metrics, if it measures latencies.
    pub(super) metrics: Option<u16>,
}

/// The start of the backend that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Start {
    number: u64,
    /// Of the panel that started it (G0).
    session: Option<Session>,
}

impl Live {
    pub(super) fn get(&self) -> Current {
        self.current.borrow().clone()
    }

    /// The session of the panel that started the backend, if it has one.
    pub(super) fn session(&self) -> Option<Session> {
        self.start.borrow().session
    }

    /// A panel has started a backend. For the backend's actor alone.
    pub(super) fn begin(&self, session: Option<Session>) {
        self.start.send_modify(|start| {
            start.number += 1;
            start.session = session;
        });
    }

    /// There is no backend any more, nor a session. For the backend's actor alone.
    pub(super) fn end(&self) {
        self.start.send_modify(|start| start.session = None);
        self.set(Current::None);
    }

    /// The core that runs is about to end: from here on nobody asks it any more, and what it has counted goes into `ledger`. For
    /// whoever has it ended.
    pub(crate) async fn read_out(&self, ledger: &Ledger) {
        let Current::Up(core) = self.get() else { return };
        let panel = ledger.panel();
        self.set(Current::Down);
        match timeout(READ_OUT_TIMEOUT, core.api.counters(String::new(), true)).await {
            Ok(Ok(counters)) => ledger.add(counters, panel),
            Ok(Err(status)) => tracing::warn!("the core's counters are lost: {}", status.message()),
            Err(_) => tracing::warn!("the core's counters are lost: no answer within {READ_OUT_TIMEOUT:?}"),
        }
    }

    /// Notes that a panel was answered as it wished.
    pub(super) fn touch(&self) {
        self.answered.send_replace(Some(Instant::now()));
    }

    /// When that was, the last time.
    pub(super) fn touched(&self) -> Option<Instant> {
        *self.answered.borrow()
    }

    /// Since when its core runs; `None` if it does not.
    pub(super) fn uptime(&self) -> Option<Duration> {
        match &*self.current.borrow() {
            Current::Up(core) => Some(core.since.elapsed()),
            Current::None | Current::Down => None,
        }
    }

    /// Whether there is a backend.
    pub(super) fn is_there(&self) -> bool {
        !matches!(*self.current.borrow(), Current::None)
    }

    /// Resolves when there is a backend.
    pub(super) async fn exists(&self) {
        let mut current = self.current.subscribe();
        // The sender is this very value's.
        let _ = current.wait_for(|current| !matches!(current, Current::None)).await;
    }

    /// Resolves when the backend that there is now has ended, or was started anew. Never, if there is none.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let (was_there, start) = (self.is_there(), *self.start.borrow());
        let (mut current, mut starts) = (self.current.subscribe(), self.start.subscribe());
        // The senders live as long as the node.
        async move {
            if !was_there {
                return std::future::pending().await;
            }
            tokio::select! {
                _ = current.wait_for(|current| matches!(current, Current::None)) => {}
                _ = starts.wait_for(|now| *now != start) => {}
            }
        }
    }

    pub(super) fn set(&self, current: Current) {
        self.current.send_replace(current);
    }
}
