//! The data plane driven as its owner drives it, over loopback, on io_uring and on epoll.

// Clippy only knows `#[test]` functions as tests, not their helpers.
#![allow(clippy::unwrap_used)]

mod peers;
mod plane;
mod tunnel;

mod bulk;
mod drain;
mod faults;
mod lanes;
mod relay;
mod reload;
mod remotes;
mod strangers;
mod waiting;
