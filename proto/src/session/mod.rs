//! The session protocol between client and server, version 1 (`proto/SESSION.md`).
//!
//! Sans-IO: time, bytes and randomness are arguments; transmits, events and timeouts come out.
//!
//! | module | what it is |
//! |---|---|
//! | [`carrier`] | first bytes of a connection, and Open and Ready: all that the data plane needs |
//! | [`ClientSession`], [`ServerSession`] | the two ends of a control carrier |
//! | [`Ownership`] | which session of a server serves which service |
//! | [`VoucherTable`] | the vouchers that a worker has given out |
//! | [`Backoff`] | how long a client waits before it tries again |
//! | [`Sources`] | how often one address may fail to authenticate |
//! | [`TicketIssuer`], [`ResumptionTicket`] | resumption without a full handshake |

mod backoff;
mod base;
pub mod carrier;
mod client;
mod close;
mod config;
mod error;
mod event;
mod features;
#[doc(hidden)]
pub mod fuzz;
mod link;
mod liveness;
mod message;
mod noise;
mod ownership;
mod proof;
mod random;
mod server;
mod service;
mod sources;
mod ticket;
mod violation;
mod voucher;

pub use backoff::{Backoff, EARLY_CAP, EARLY_PHASE, HEALTHY_AFTER};
pub use client::ClientSession;
pub use close::{CloseCause, CloseReason, Closed};
pub use config::{
    ClientConfig, MAX_HELLO_BYTES, MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_SECOND, MAX_REGISTER_REQUESTS, MAX_TEXT_BYTES,
    MAX_TRANSMIT_BYTES, MAX_VOUCHERS_PER_WANT, MISSED_HEARTBEATS, ServerConfig,
};
pub use error::SessionError;
pub use event::{AuthRequest, ClientEstablished, ClientEvent, Decision, ServerEstablished, ServerEvent};
pub use features::Features;
pub use ownership::{Claim, HOLDER_ANSWER, MAX_WAITERS, Outcome, Ownership, Verdict};
pub use random::Random;
pub use server::ServerSession;
pub use service::{
    Grant, KnownService, KnownServices, ProvenService, Refusal, ServiceKind, ServiceOffer, ServiceOutcome,
    ServiceStatus,
};
pub use sources::{MAX_SOURCES, Sources};
pub use ticket::{MAX_TICKET_BYTES, MAX_USED_TICKETS, ResumptionTicket, TICKET_LIFETIME, TicketIssuer};
pub use violation::Violation;
pub use voucher::VoucherTable;

/// The messages as prost generates them from `schema/session.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/kariz.session.v1.rs"));
}

#[cfg(test)]
mod tests;
