//! The data plane's sources, over loom's types.

#[path = "../../dataplane/src/sync/counters.rs"]
pub mod counters;
#[path = "../../dataplane/src/sync/lease.rs"]
pub mod lease;
#[path = "../../dataplane/src/sync/mailbox.rs"]
pub mod mailbox;

/// What the primitives are made of in a model.
pub mod shim {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub use loom::sync::{Mutex, MutexGuard};
}
