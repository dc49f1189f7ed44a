//! The commands of the kit, and what they share.

pub(crate) mod children;
pub(crate) mod kariz;
pub(crate) mod report;
pub(crate) mod tunnel;
