//! The control plane: kameo actors on one tokio runtime.
//!
//! It decides about sessions, services, budgets and names, and tells the workers through [`dataplane::DataPlane`].
//! Nothing here is awaited for a byte, a visitor or a data carrier. The session protocol itself is
//! [`kariz_proto::session`]; the actors give its machines bytes, a clock and randomness.
//!
//! # Actors
//!
//! | actor | does | restarted | when it dies |
//! |---|---|---|---|
//! | root | supervises | never | [`ControlPlane::failed`] resolves: the process exits with 70 and its supervisor starts it anew |
//! | limits | owns the budgets, leases slices of them to the workers | always | the table of budgets outlives it: its successor leases on |
//! | worker watch | counts and logs dead workers | always | nothing is lost |
//! | server role | supervises services and sessions, all for one | always | both are restarted |
//! | services | public services: ids, budgets, open listeners | always, with sessions | listeners stay open for `session_timeout`, in which the clients come back |
//! | sessions | registry of sessions, owner of the ownership rules | always, with services | every session is killed; the clients come back |
//! | session | one client, with or without a control carrier | never (linked) | that session ends, its listeners linger for `session_timeout`; its client comes back, the others do not notice |
//! | targets | the client's targets and their names | always | the successor tells the workers everything again |
//! | client | which servers are used, in which order, when to try again | always | every link is killed; its successor dials anew |
//! | link | one connection to one server | never (linked) | as a lost connection: the client dials again |
//! | relay | forwardings and their names | always | ids outlive it: the successor tells the workers everything again, visitors do not notice |
//! | gate | takes the data plane's messages, one bounded task for each handshake | always | handshakes under way are dropped; the channel outlives it |
//!
//! `kariz node` runs none of these; its own actors are in the table of [`node`].
//!
//! "Always" means up to five times within ten seconds; once more, and the supervisor dies too.
//!
//! # Who waits for whom
//!
//! Mailboxes are bounded, so a circle of actors that wait for room could stand still. There is none: an actor awaits
//! only actors to its right in `gate, handshake → session → sessions` and `session → services → limits`,
//! `link → client`. In the other direction messages are only tried: `sessions` and `client` kill a session or link
//! that has no room for what it has to know, and events of the data plane that nobody has room for are dropped,
//! counted and said again by whoever said them.

pub mod config;
pub mod dataplane;
pub mod node;

mod client;
mod driver;
mod gate;
mod limits;
#[cfg(test)]
mod mutation;
mod names;
mod plane;
mod public;
mod relay;
mod reload;
mod root;
mod server;
mod shared;
mod watch;
mod wire;

pub use plane::{ControlPlane, ControlSnapshot, ReloadReport, StartError};
