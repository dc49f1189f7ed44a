//! Moving a visitor's bytes between two sockets: the direct lane and the relay (`design/architecture.md`, "The way
//! of a byte").

mod pump;
mod relay;

pub(crate) use pump::Fault;
pub(crate) use relay::{Before, End, deliver_rest, linger, relay};
