//! What happens by itself: keep-alive, the end of a dead peer, the release of held-back streams.

use super::{Dead, Mux, StreamId};
use std::time::{Duration, Instant};

/// The carrier's timers.
#[derive(Debug)]
pub(super) struct Liveness {
    /// `None`: so far away that the clock cannot express it.
    pub(super) keep_alive_at: Option<Instant>,
    pub(super) keep_alive_due: bool,
    pub(super) heard_at: Instant,
    /// Reading was paused, so that silence since `heard_at` says nothing about the peer.
    pub(super) was_paused: bool,
}

impl Liveness {
    pub(super) fn new(keep_alive: Duration, now: Instant) -> Self {
        let keep_alive_at = now.checked_add(keep_alive);
        Self {
            keep_alive_at,
            keep_alive_due: false,
            heard_at: now,
            was_paused: false,
        }
    }
}

/// A stream of a foreign opener towards which nothing may be sent yet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Instant,
    pub(super) id: StreamId,
    /// The stream is gone; its end is told when the time has come.
    pub(super) aborted: bool,
}

impl Mux {
    /// When [`Mux::handle_timeout`] is to be called next; earlier calls do no harm. `None` if the configured times are
    /// beyond the clock's range.
    pub fn next_timeout(&self) -> Option<Instant> {
        let dead_at = self.liveness.heard_at.checked_add(self.config.dead_after);
        let released_at = self.held.front().map(|held| held.until);
        [dead_at, self.liveness.keep_alive_at, released_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due at `now`: queues NOP, releases held-back streams.
    ///
    /// # Errors
    ///
    /// [`Dead`] if no byte was received for [`super::Config::dead_after`] although the driver was free to read: the
    /// carrier has to be closed and its streams reset.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Dead> {
        self.advance(now);
        if self.liveness.keep_alive_at.is_some_and(|at| at <= now) {
            self.liveness.keep_alive_due = true;
            self.liveness.keep_alive_at = now.checked_add(self.config.keep_alive);
        }
        while self.held.front().is_some_and(|held| held.until <= now) {
            let Some(held) = self.held.pop_front() else { break };
            if held.aborted {
                self.aborted_held -= 1;
                self.resets.push_back((held.id, 0));
            } else {
                self.release(held.id);
            }
        }
        let silence = now.saturating_duration_since(self.liveness.heard_at);
        if silence < self.config.dead_after {
            return Ok(());
        }
        if self.receive_paused() || self.liveness.was_paused {
            self.liveness.was_paused = false;
            self.liveness.heard_at = now;
            return Ok(());
        }
        Err(Dead { silence })
    }
}
