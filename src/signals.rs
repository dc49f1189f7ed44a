//! What a supervisor asks for by signal.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a running command listens to.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM or SIGINT: drain, then end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: log every counter.
    Counters,
}

impl Signals {
    /// From now on signals are kept for [`Signals::next`].
    ///
    /// # Errors
    /// What the kernel answers.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Counters,
        }
    }

    /// Waits for another SIGTERM or SIGINT; others are passed over.
    pub(crate) async fn second_end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
