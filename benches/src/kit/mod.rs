//! The commands of the kit, and what they share.

pub(crate) mod distance;
pub(crate) mod memory;
pub(crate) mod soak;
pub(crate) mod tunnel;

mod children;
mod kariz;
mod pair;
mod report;
