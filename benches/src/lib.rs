//! The load tools of Kariz' benchmark kit, as a library for the demo and the end-to-end tests: std threads and epoll,
//! nothing of Kariz itself. Without the feature `runtimes` there is no async runtime in it; the program needs that feature
//! for some of its contenders, `nodes` for its panel, and `pictures` for what it publishes.
//!
//! - [`pattern`]: data that knows its position; every receiver compares what came with what belongs there.
//! - [`request`]: the first bytes of a connection tell the target what to do on it.
//! - [`target`]: the target (echo, sink, source, reset), one thread for any number of connections, with counters.
//! - [`visitor`]: blocking transfers and pings over a connected `TcpStream`, checked to the last byte.
//! - [`load`]: bulk streams, short visits and pings by the clock, from one thread each.
//! - [`stats`]: medians, paired ratios, quantiles.
//! - [`contender`]: the relays of this kit: the limits, and what runtimes cost.
//! - [`pacing`]: a sender that is no faster than it is told.
//! - [`path`]: two network namespaces with a delay between them, which can be cut.
//! - [`process`]: CPU time, memory, descriptors, threads and children of a process.
//! - [`poller`]: epoll, safely.
//!
//! A test through a tunnel needs three lines:
//!
//! ```
//! use kariz_bench::{target::Target, visitor};
//! let target = Target::start("127.0.0.1:0".parse()?)?;
//! let public = target.address(); // with a tunnel between: the service's public address
//! let stream = std::net::TcpStream::connect(public)?;
//! visitor::upload(&stream, 42, 64 * 1024 + 1)?; // sends, half-closes, compares the target's receipt
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod contender;
pub mod load;
pub mod pacing;
pub mod path;
pub mod pattern;
pub mod poller;
pub mod process;
pub mod request;
pub mod stats;
pub mod target;
pub mod visitor;
