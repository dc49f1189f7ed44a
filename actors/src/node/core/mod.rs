//! The core: a process that one actor owns, and that never outlives the node (`spec/xray.md`, Process).

mod current;
mod life;
mod lines;
pub(crate) mod sockets;
mod spawn;
mod supervisor;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use spawn::Spawner;
pub(crate) use supervisor::{Launch, Mode, Offer, Quit, Stop, Supervisor};
pub(crate) use version::find_version;

use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tokio::sync::oneshot;

/// A configuration that is ready for the core.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// JSON in ASCII; or what kept it from being made although the request was fine, in the original's words: it is found
    /// out only where the original does, after the old core has stopped.
    pub(crate) json: Result<Vec<u8>, String>,
    /// Of that JSON; only where cores may change hands (`KARIZ_SOFT_TAKEOVER`).
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Unix sockets that it listens on, which a core that was killed may have left.
    pub(crate) sockets: Vec<PathBuf>,
}

/// SHA-256 of a configuration: two that have the same are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(json: &[u8]) -> Self {
        Self(Sha256::digest(json).into())
    }
}

/// What a panel is told whose start another one made void.
pub(crate) const TAKEN_OVER: &str = "The core was taken over by another panel";

/// Whose panel a core runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A Marzban panel's.
    Marzban,
    /// A Gozargah or PasarGuard panel's.
    Gozargah,
}

/// How a start went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The core is ready, or has lived for as long as one waits for that.
    Running,
    /// A core runs already, or is being started.
    AlreadyStarted,
    /// A panel of another kind has the core, or is about to.
    TakenOver,
    /// It has exited, with the last line that it wrote, or it could not be started at all.
    Failed(String),
}

/// Where the outcome goes. Whoever waits may have gone.
pub(crate) type OutcomeSender = oneshot::Sender<Outcome>;

fn answer(waiting: impl IntoIterator<Item = OutcomeSender>, outcome: Outcome) {
    for sender in waiting {
        // Whoever asked may have gone.
        let _ = sender.send(outcome.clone());
    }
}
