//! The core that lives, as its supervisor knows it.

use super::life::{End, Life};
use super::{Fingerprint, Outcome, OutcomeSender, Owner, Prepared, answer};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Most requests that wait for the outcome of one start; what comes on top is answered like one that came too late.
pub(super) const MAX_WAITING: usize = 64;

/// The core that lives, or is about to end.
pub(super) struct Current {
    pub(super) owner: Owner,
    pub(super) life: Life,
    /// Who waits for it to become ready, and until when.
    pub(super) waiting: Vec<OutcomeSender>,
    pub(super) deadline: Instant,
    /// It was started by a restart.
    pub(super) by_restart: bool,
    /// It was told to end.
    pub(super) stopping: bool,
    /// What it runs, if it may change hands.
    pub(super) fingerprint: Option<Fingerprint>,
    /// The panel that started it is not in control any more. Until then the next one may start it as it is.
    pub(super) offered_until: Option<Instant>,
}

/// What happens to the core by itself.
pub(super) enum Event {
    /// It said so, or has lived long enough.
    Ready,
    Ended(End),
    /// Nobody took what was offered.
    NotWanted,
}

impl Current {
    /// The next thing that happens to the core. Loses nothing when it is dropped.
    pub(super) async fn event(current: &mut Option<Current>) -> Event {
        let Some(Current {
            life,
            waiting,
            deadline,
            offered_until,
            stopping,
            ..
        }) = current
        else {
            return std::future::pending().await;
        };
        let Life { task, ready, .. } = life;
        // One that was told to end is not ready any more, whatever it says: who waits hears how it ended.
        let someone_waits = !waiting.is_empty() && !*stopping;
        let offered_until = async {
            match offered_until {
                Some(instant) => sleep_until(*instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = task => Event::Ended(ended.unwrap_or(End::Lost)),
            () = ready.notified(), if someone_waits => Event::Ready,
            () = sleep_until(*deadline), if someone_waits => Event::Ready,
            () = offered_until => Event::NotWanted,
        }
    }

    /// Whether somebody waits for the outcome of a restart: another one changes nothing until then.
    pub(super) fn is_restarting(&self) -> bool {
        self.by_restart && !self.waiting.is_empty()
    }

    /// Whether another panel may take it over: it is ready, and it is known what it runs.
    pub(super) fn may_change_hands(&self) -> bool {
        !self.stopping && self.waiting.is_empty() && self.fingerprint.is_some()
    }

    pub(super) fn runs(&self, config: &Prepared) -> bool {
        self.fingerprint.is_some() && self.fingerprint == config.fingerprint
    }

    pub(super) fn join(&mut self, more: Vec<OutcomeSender>) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.extend(more);
        } else {
            answer(more, Outcome::AlreadyStarted);
        }
    }

    pub(super) fn stop(&mut self, grace: Duration) {
        self.stopping = true;
        self.offered_until = None;
        self.life.stop(grace);
    }
}
