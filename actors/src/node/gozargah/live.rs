//! What everybody may know of the backend at any time, without asking its actor.

use super::core_api::CoreApi;
use crate::node::state::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether there is a backend, for everybody. Clones share it; it outlives the actor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    current: Arc<watch::Sender<Current>>,
    /// When a panel was last answered as it wished.
    answered: Arc<watch::Sender<Option<Instant>>>,
    /// Of the panel that started the backend (G0).
    session: Arc<watch::Sender<Option<Session>>>,
    /// The port of the core's metrics, if it measures latencies.
    metrics: Arc<watch::Sender<Option<u16>>>,
}

/// Whether there is a backend, and the API of its core.
#[derive(Debug, Clone, Default)]
pub(super) enum Current {
    /// No panel has started one.
    #[default]
    None,
    /// Its core is not there at the moment.
    Down,
    /// It runs, since then.
    Up(Arc<CoreApi>, Instant),
}

impl Live {
    pub(super) fn get(&self) -> Current {
        self.current.borrow().clone()
    }

    /// The session of the panel that started the backend, if it has one.
    pub(super) fn session(&self) -> Option<Session> {
        *self.session.borrow()
    }

    /// For the backend's actor alone.
    pub(super) fn set_session(&self, session: Option<Session>) {
        self.session.send_replace(session);
    }

    /// The port of the core's metrics, if it measures latencies.
    pub(super) fn metrics(&self) -> Option<u16> {
        *self.metrics.borrow()
    }

    /// For the backend's actor alone.
    pub(super) fn set_metrics(&self, port: Option<u16>) {
        self.metrics.send_replace(port);
    }

    /// There is no backend any more, nor a session.
    pub(super) fn end(&self) {
        self.set_session(None);
        self.set(Current::None);
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
            Current::Up(_, since) => Some(since.elapsed()),
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

    /// Resolves when the backend that there is now has ended, or its session. Never, if there is none.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let (was_there, session) = (self.is_there(), self.session());
        let (mut current, mut sessions) = (self.current.subscribe(), self.session.subscribe());
        // The senders live as long as the node.
        async move {
            if !was_there {
                return std::future::pending().await;
            }
            tokio::select! {
                _ = current.wait_for(|current| matches!(current, Current::None)) => {}
                _ = sessions.wait_for(|now| *now != session) => {}
            }
        }
    }

    pub(super) fn set(&self, current: Current) {
        self.current.send_replace(current);
    }
}
