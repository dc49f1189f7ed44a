//! The data plane: workers that move bytes, one pinned thread with one io_uring each, and their host.
//!
//! | module | what it is |
//! |---|---|
//! | `handle` | the data plane as its owner sees it: commands in, events and counters out |
//! | `host` | the thread that opens listeners, hands commands on, and replaces a dead worker |
//! | `worker` | a worker's thread, its mail, and how tasks start and take turns |
//! | `sync` | the only things that threads share: mailbox, counters, lease (each has a loom model) |
//! | `net` | sockets: made, waited for, accepted, connected, ended, watched |
//! | `pool` | buffers and pipes that connections borrow |
//! | `flow` | moving bytes between two sockets: copy first, splice when it turns out to be bulk |
//! | `mux` | moving bytes between sockets and the streams of a mux carrier |
//! | `service` | public services: listeners, accepting, admitting |
//! | `server`, `client`, `relay` | what happens to visitors in each role |
//! | `tally` | bounds that hold over all workers |
//! | `limit` | rate limits on a worker |

mod client;
mod flow;
mod handle;
mod host;
mod limit;
mod mux;
mod net;
mod pool;
mod preamble;
mod relay;
mod server;
mod service;
mod signal;
pub mod sync;
mod tally;
mod worker;

pub use handle::{ControlArrival, DataPlane, LeaseDemand, Sink};
#[doc(hidden)]
pub use worker::PanicPoint;
