//! Control planes of servers, clients and relays against data planes in memory, on a clock that only moves when
//! nobody has anything to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bounds;
mod drain;
mod fake;
mod faults;
mod limits;
mod net;
mod ownership;
mod reload;
mod session;
mod specs;
mod start;
mod strategy;
