//! The commands of the kit, and what they share.

pub(crate) mod compare;
pub(crate) mod distance;
pub(crate) mod node;
pub(crate) mod publish;
pub(crate) mod soak;

mod children;
mod contestant;
mod kariz;
mod machine;
mod pair;
mod peers;
mod programs;
mod report;
