//! Which generation of panels is spoken with, and what that changes (`spec/node-panel.md`, 4.3).

use crate::node::settings::{self, Access, Settings};

/// Longest message that nodes took before PasarGuard's 0.5.2.
const EARLY_MESSAGE_BYTES: usize = 4 << 20;

/// Longest message in either direction.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A generation of panels. Those in between have no rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// Sessions over mutual TLS; otherwise as G1.
    G0,
    /// An API key, and a method for each kind of statistics.
    G1,
    /// PasarGuard's node 0.5.2.
    G3,
}

impl Generation {
    /// The one that panels are answered as.
    pub(super) fn of(settings: &Settings) -> Self {
        match (settings.access, settings.generation) {
            (Access::Certificate, _) => Self::G0,
            (Access::Key(_), settings::Generation::G1) => Self::G1,
            (Access::Key(_), settings::Generation::G3) => Self::G3,
        }
    }

    /// Whether it is one of the first ones: they stop what does not run, and see logs and the machine without a backend; their
    /// faults have fewer codes, and every call of theirs puts the keep-alive time off, whether it goes well or not.
    pub(super) fn is_early(self) -> bool {
        self != Self::G3
    }

    /// Longest message over gRPC.
    pub(super) fn message_bytes(self) -> usize {
        match self.is_early() {
            true => EARLY_MESSAGE_BYTES,
            false => MAX_MESSAGE_BYTES,
        }
    }
}
