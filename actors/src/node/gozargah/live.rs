//! What everybody may know of the backend at any time, without asking its actor.

use super::core_api::CoreApi;
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

    pub(super) fn set(&self, current: Current) {
        self.current.send_replace(current);
    }
}
