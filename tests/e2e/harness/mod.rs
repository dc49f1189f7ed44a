//! What the end-to-end tests are written with: real processes, real sockets, byte-exact patterns, deadlines.
//!
//! A test is an `async fn(Scene) -> anyhow::Result<()>`. The [`Scene`] gives it loopback addresses of its own, a
//! directory and a [`Variant`] (lane and driver); everything it starts ends with it.

pub mod bridge;
pub mod calls;
pub mod config;
pub mod doors;
pub mod exchange;
pub mod fake_core;
pub mod https;
pub mod logs;
pub mod netns;
pub mod node;
pub mod panel;
pub mod pattern;
pub mod process;
pub mod protocol;
pub mod provision;
pub mod scene;
pub mod sockets;
pub mod stats;
pub mod tap;
pub mod target;
pub mod trial;
pub mod tunnel;
pub mod usage;
pub mod visitor;
pub mod wait;
pub mod xray;

pub use config::Config;
pub use exchange::{Exchange, Plan, Seen};
pub use pattern::Pattern;
pub use process::{Kariz, Signal};
pub use scene::{Lane, Scene};
pub use target::Target;
pub use trial::Suite;
pub use tunnel::Tunnel;
pub use wait::{eventually, within};

/// What the tests return.
pub use anyhow::{Context, Result, bail, ensure};
pub use std::net::{IpAddr, SocketAddr};
pub use std::time::{Duration, Instant};

/// Deadlines of the protocol are asserted with twice their value: "back within 15 s" is this.
pub const BACK: Duration = Duration::from_secs(30);

/// Something that takes no time by itself, on a machine that is busy with many other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// Seconds as a [`Duration`], because tests are full of them.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Milliseconds as a [`Duration`].
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
