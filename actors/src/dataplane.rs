//! What the control plane needs of a data plane. `src` implements it over the workers' handle; tests implement
//! it in memory.

use bytes::Bytes;
use kariz_proto::control::{BudgetId, Command, CommandError, Event, WorkerIndex, WorkerSnapshot};
use kariz_proto::model::SocketOptions;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The byte stream of a control carrier, whatever it is made of.
pub trait ControlStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ControlStream for T {}

/// The workers, seen from the control plane.
pub trait DataPlane: Send + Sync + 'static {
    /// Carries out a command; returns when every worker that it concerns has it in its mailbox.
    fn submit(&self, command: Command) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Client: connects a control carrier.
    fn dial_control(&self, dial: ControlDial) -> BoxFuture<'_, io::Result<Box<dyn ControlStream>>>;

    /// Number of workers; their indices are 0 to one less.
    fn workers(&self) -> u16;

    /// The counters of every worker.
    fn snapshots(&self) -> Vec<WorkerSnapshot>;

    /// Gives a worker tokens of an open budget. Unused tokens of a lease stay with the worker, up to what it
    /// was granted last.
    fn grant(&self, budget: BudgetId, worker: WorkerIndex, tokens: u64);

    /// Tokens of a budget that each worker used, and whether its streams wait for more, since the last call.
    fn demand(&self, budget: BudgetId) -> Vec<Demand>;
}

/// One worker's use of a budget since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Which worker.
    pub worker: WorkerIndex,
    /// Tokens used.
    pub used: u64,
    /// Whether streams are held back.
    pub waiting: bool,
}

/// How to reach a server with a control carrier.
#[derive(Debug, Clone)]
pub struct ControlDial {
    /// The server.
    pub remote: SocketAddr,
    /// Source address; `None` leaves it to the kernel.
    pub local: Option<SocketAddr>,
    /// Options of the socket.
    pub socket: SocketOptions,
    /// Limit for connecting.
    pub timeout: Duration,
    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
}

/// What comes from the data plane without being asked for.
pub enum Arrival {
    /// Something that a worker noticed.
    Event(Event),
    /// Server: a connection whose first message says that it is a control carrier.
    Control(ControlCarrier),
}

/// A connection that wants to become a session's control carrier. Not authenticated yet.
pub struct ControlCarrier {
    /// The connection.
    pub stream: Box<dyn ControlStream>,
    /// What was read from it already: begins with the first message.
    pub first: Bytes,
    /// The client's address.
    pub peer: SocketAddr,
}

/// A data plane that does what it is told at once, and has nothing to say.
#[cfg(test)]
pub(crate) struct Idle;

#[cfg(test)]
impl DataPlane for Idle {
    fn submit(&self, _: Command) -> BoxFuture<'_, Result<(), CommandError>> {
        Box::pin(async { Ok(()) })
    }

    fn dial_control(&self, _: ControlDial) -> BoxFuture<'_, io::Result<Box<dyn ControlStream>>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn workers(&self) -> u16 {
        1
    }

    fn snapshots(&self) -> Vec<WorkerSnapshot> {
        Vec::new()
    }

    fn grant(&self, _: BudgetId, _: WorkerIndex, _: u64) {}

    fn demand(&self, _: BudgetId) -> Vec<Demand> {
        Vec::new()
    }
}
