//! Wire formats, state machines and the vocabulary that the two planes share.
//!
//! Everything here is sans-IO: time, bytes and randomness are arguments, results are values. There is no
//! runtime, no socket, no clock and no `unsafe`, so that every protocol can be simulated with a seed.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | validated specifications (server, client, relay, limits) and what changed between two of them |
//! | [`control`] | the commands, events and snapshots that cross between control plane and data plane |
//! | [`smux`] | the smux v1/v2 multiplexing protocol: frames, streams, windows, scheduler |
//! | [`session`] | Kariz' own session protocol: handshake, messages, carriers, tickets (`proto/SESSION.md`) |
//! | [`panel`] | the messages between Gozargah and PasarGuard panels and a node |
//! | [`xray`] | the messages of xray-core's API that a node needs |
//! | [`proxy_protocol`] | the header that tells a target who its visitor is |
//! | [`bucket`] | the token bucket behind every rate limit |
#![forbid(unsafe_code)]

pub mod bucket;
pub mod control;
pub mod model;
pub mod panel;
pub mod proxy_protocol;
pub mod session;
pub mod smux;
pub mod xray;
