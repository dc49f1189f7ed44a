//! smux v1 and v2 (`spec/smux.md`): many streams on one byte stream.
//!
//! [`Mux`] is sans-IO and owns no payload. Received payloads are slices of the driver's read buffer; payloads to send
//! are read by the driver from the source socket straight behind a frame header. What the Mux keeps is a few words
//! for each stream, at most 15 bytes of a frame that was cut, and the small first bytes of streams ([`Mux::queue_first`]).
//!
//! One turn of a driver:
//!
//! 1. The carrier is readable and not [`Mux::receive_paused`]: read into a scratch buffer, [`Mux::receive`]; write the
//!    slices to their sockets (keep what a slow one does not take) and say so with [`Mux::consumed`].
//! 2. The carrier is writable and [`Mux::has_pending`]: put [`Mux::write_control`] into the out buffer, then while
//!    there is room take turns from [`Mux::next_data`], each answered by [`Mux::pulled`], [`Mux::set_ready`]`(id, false)`
//!    or [`Mux::finish`]. Send everything at once.
//! 3. At [`Mux::next_timeout`]: [`Mux::handle_timeout`].
//!
//! | file | concept |
//! |---|---|
//! | `mux` | the multiplexer: opening, ending and counting streams |
//! | `receive` | bytes from the carrier: parsing and the rules for each frame |
//! | `send` | bytes for the carrier: control frames and turns for data |
//! | `stream` | what is kept for one stream |
//! | `window` | receive windows: how much each stream may have in flight |
//! | `schedule` | whose turn it is to send |
//! | `ids`, `queue` | which stream ids were used, and queues of them |
//! | `liveness` | keep-alive, dead peers, held-back streams |
//! | `frame`, `parser` | the wire format |
//! | `fuzz` | the body of the fuzz target |

mod config;
mod error;
mod frame;
mod fuzz;
mod ids;
mod liveness;
mod mux;
mod parser;
mod queue;
mod receive;
mod schedule;
mod send;
mod stream;
mod window;

#[cfg(test)]
mod tests;

pub use config::{Config, Role};
pub use error::{Dead, OpenError, QueueError, Violation};
pub use frame::{HEADER_BYTES, MAX_PAYLOAD_BYTES};
pub use fuzz::fuzz_smux;
pub use mux::{Counters, MAX_PENDING_RESETS, Mux, RESET_REFUSED, StreamId, Streams};
pub use receive::Incoming;
pub use send::{MAX_FIRST_BYTES, MIN_CONTROL_ROOM, MIN_PULL_BYTES, Pull};
pub use window::{FOREIGN_INITIAL_WINDOW, INITIAL_WINDOW, MAX_WINDOW, OPENING_WINDOW};
