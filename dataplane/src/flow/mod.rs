//! Moving a visitor's bytes between two sockets: the direct lane and the relay (`design/architecture.md`, "The way
//! of a byte").

mod pump;
mod relay;
mod said;

pub(crate) use pump::Fault;
pub(crate) use relay::{Opening, deliver_rest, linger, relay};
pub(crate) use said::{MAX_SAID_BYTES, Said};
