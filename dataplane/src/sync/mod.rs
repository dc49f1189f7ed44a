//! The only things that threads share. `loom-tests` takes these files by path, with loom's types in the shim.

pub mod counters;
pub mod lease;
pub mod mailbox;

/// What the primitives are made of; `loom-tests` has a module of the same name with loom's types.
pub mod shim {
    pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub use std::sync::{Mutex, MutexGuard};
}
