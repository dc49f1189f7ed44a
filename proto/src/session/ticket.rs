//! Resumption tickets.

use super::Random;
use std::fmt;
use std::time::{Duration, Instant};

/// How long a ticket is valid.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(3600);
/// Longest sealed ticket in bytes; a session whose services do not fit gets none.
pub const MAX_TICKET_BYTES: usize = 16 * 1024;
/// Most used tickets that are remembered; while the cache is full no ticket is accepted.
pub const MAX_USED_TICKETS: usize = 65536;

/// A client's ticket with its secret, for the next connection to the same server. Opaque; kept in memory only.
#[derive(Clone, PartialEq)]
pub struct ResumptionTicket {
    _private: (),
}

impl fmt::Debug for ResumptionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumptionTicket(..)")
    }
}

/// Seals and opens tickets under keys that live in this process only. One for the whole server, shared by its
/// sessions.
#[derive(Debug)]
pub struct TicketIssuer {
    _private: (),
}

impl TicketIssuer {
    /// Makes the first key. Keys rotate every [`TICKET_LIFETIME`] when tickets are sealed.
    pub fn new(now: Instant, random: &mut dyn Random) -> Self {
        let _ = (now, random);
        unimplemented!()
    }

    /// Used tickets that are remembered: at most [`MAX_USED_TICKETS`]. A gauge.
    pub fn used(&self) -> usize {
        unimplemented!()
    }
}
