//! Names for things that both planes talk about.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A worker of this process: its place in the list of workers, 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerIndex(pub u16);

/// A service in one role of this process (server, client or relay). Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// A session at a server; random, chosen by the server, known to both ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How often the control carrier of a session was (re)established: the server counts from 1.
///
/// Carriers belong to an epoch; those of an older one bear their visitors to the end and get no new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// A client's session with one server, seen from the client's process. Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// A client process: random, stable while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub [u8; 16]);

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A budget of bytes or messages that the limiter leases to the workers. Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetId(pub u32);

/// The key under which carriers of one epoch authenticate. Wiped on drop, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CarrierKey(pub [u8; 32]);

impl fmt::Debug for CarrierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CarrierKey(..)")
    }
}

/// The right to bring one carrier to the worker that asked for it (`spec/session.md`, Security).
///
/// Single use; lives in that worker's table until a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Voucher {
    /// The server's worker that asked.
    pub worker: WorkerIndex,
    /// 128 random bits.
    pub random: [u8; 16],
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Voucher(worker {})", self.worker.0)
    }
}
