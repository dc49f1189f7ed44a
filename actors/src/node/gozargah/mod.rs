//! The node as Gozargah and PasarGuard panels see it: gRPC, and protobuf over REST (`spec/node-panel.md`).
//!
//! ```text
//!     door: HTTP/1.1 or HTTP/2 by their first bytes; the API key or the session
//!      |                    |
//!     grpc                 rest
//!      |                    |
//!      +------- api --------+---- reads ----> Live: the core's API, as long as there is a core
//!                |                   +------> Ledger: counters of which no panel has heard
//!                |  asks
//!            backend (actor) --- tells ---> core::supervisor (actor)
//! ```
//!
//! The backend's actor has the panel's configuration and users, brings both to the core, and replaces a core that died or hangs
//! (`health`). Statistics and logs do not go through it.

mod account;
mod answer;
mod api;
mod auth;
mod backend;
mod changes;
mod charged;
mod config;
mod core_api;
mod door;
mod fault;
mod fuzz;
mod generated;
mod generation;
mod grpc;
mod health;
mod inbound;
mod latency;
mod ledger;
mod live;
mod log_files;
mod logs;
mod machine;
mod rest;
mod rpc;
mod stats;
mod users;

pub(crate) use backend::Backend;
pub use fuzz::fuzz_node_message;

pub(crate) use door::{Connection, Door};
pub(crate) use ledger::Ledger;
pub(crate) use live::Live;
