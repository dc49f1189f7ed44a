//! What the data plane tells the control plane.

use super::{Epoch, ServiceId, SessionId, Voucher, WorkerIndex};

/// Something that a worker or the data plane's host noticed. Events may be lost when the control plane does not
/// keep up (counted); whoever says one says it again while it still holds.
#[derive(Debug, Clone)]
pub enum Event {
    /// Server: a worker needs carriers ("dial me this many").
    Want {
        /// From which session.
        session: SessionId,
        /// Of which control carrier; stale wants are dropped.
        epoch: Epoch,
        /// For which service.
        service: ServiceId,
        /// One for each carrier.
        vouchers: Vec<Voucher>,
    },
    /// Client or relay: a target or remote could not be dialled, or has no address: resolve its name again.
    DialFailed {
        /// Which service.
        service: ServiceId,
    },
    /// A worker died and has a successor.
    WorkerReplaced {
        /// Which.
        worker: WorkerIndex,
        /// The panic's message, or the runtime's error.
        cause: String,
    },
    /// Every visitor of the process has ended after [`super::Command::Drain`].
    Drained,
}

/// Why a visitor was refused (reset before it reached its target).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefuseReason {
    /// No client serves the service.
    NoSession,
    /// No carrier came free in time.
    NoCarrier,
    /// The visitor reset its connection while it waited for a carrier.
    VisitorLeft,
    /// A bound on visitors was reached.
    VisitorLimit,
    /// The target refused the connection.
    TargetRefused,
    /// The target cannot be reached or its name cannot be resolved.
    TargetUnreachable,
    /// The target did not answer in time.
    TargetTimeout,
    /// The carrier was lost before the target answered.
    CarrierLost,
    /// The process is draining.
    Draining,
    /// A fault of ours.
    Internal,
}

impl RefuseReason {
    /// The word that logs and counters use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::NoCarrier => "no_carrier",
            Self::VisitorLeft => "visitor_left",
            Self::VisitorLimit => "visitor_limit",
            Self::TargetRefused => "target_refused",
            Self::TargetUnreachable => "target_unreachable",
            Self::TargetTimeout => "target_timeout",
            Self::CarrierLost => "carrier_lost",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}
