//! What crosses between the control plane and the data plane, as plain data.
//!
//! The actors say [`Command`]s, the workers answer with [`Event`]s and publish [`WorkerSnapshot`]s. Neither plane
//! names the other; both speak this.

mod command;
mod event;
mod ids;
mod snapshot;

pub use command::{
    BudgetSet, Command, CommandError, LinkSpec, PublicService, RelayRemote, ServedService, SessionSpec, TargetSpec,
};
pub use event::{Event, RefuseReason};
pub use ids::{BudgetId, CarrierKey, Epoch, InstanceId, LinkId, ServiceId, SessionId, Voucher, WorkerIndex};
pub use snapshot::{Counter, WorkerSnapshot};
