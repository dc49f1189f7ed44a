//! What the control plane tells the data plane.

use super::{BudgetId, CarrierKey, Epoch, LinkId, ServiceId, SessionId, Voucher};
use crate::model::{
    HostPort, Lane, ListenAddr, MuxParams, PortRange, ProxyProtocol, ServiceName, SocketOptions, Strategy,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One instruction. The data plane's host applies it and hands it to every worker that it concerns; a successor
/// of a dead worker is told everything that still holds.
#[derive(Debug, Clone)]
pub enum Command {
    /// Server or relay: check that a public address can be listened on, and leave it closed. Said at start for each
    /// service: here a predecessor's address is waited for, and a tunnelled service opens only when a session serves it.
    ProbeListen {
        /// Where.
        listen: ListenAddr,
    },
    /// Server: accept carriers on these addresses. Said once for each address.
    ListenCarriers {
        /// Where.
        listen: ListenAddr,
        /// Options of the sockets.
        socket: SocketOptions,
        /// `TCP_USER_TIMEOUT` of control carriers: how long what was sent may stay unacknowledged.
        control_timeout: Duration,
    },
    /// Server: open the public listeners of a service, or change what holds for its next visitors.
    OpenService(Arc<PublicService>),
    /// Server or relay: close the public listeners of a service. Its visitors live on. Nothing happens if they are
    /// not open.
    CloseService {
        /// Which.
        service: ServiceId,
    },
    /// Server: a session has a (new) control carrier. Replaces what was said of an older epoch: carriers of that
    /// epoch that are idle are closed, the others bear their visitors to the end. Said again with the same epoch when
    /// its services or bounds have changed.
    SessionUp(Arc<SessionSpec>),
    /// Server: the control carrier is lost or going away: close idle carriers, open nothing new, let visitors wait.
    SessionLost {
        /// Which.
        session: SessionId,
        /// Ignored unless it is the current one.
        epoch: Epoch,
    },
    /// Server: the session is over. Carriers with visitors live on.
    SessionDown {
        /// Which.
        session: SessionId,
    },

    /// Client: a session with a server was (re)established. Replaces what was said of an older epoch. Said again with
    /// the same epoch when its services have changed.
    LinkUp(Arc<LinkSpec>),
    /// Client: the server wants carriers.
    Dial {
        /// For which session.
        link: LinkId,
        /// For which service.
        service: ServiceId,
        /// One carrier for each.
        vouchers: Vec<Voucher>,
    },
    /// Client: the session's control carrier is lost or going away: close idle carriers, open nothing new.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// Client: where the visitors of a service go (new service, new specification, or names resolved again).
    Target(Arc<TargetSpec>),
    /// Client: the service is gone; its visitors live on.
    TargetGone {
        /// Which.
        service: ServiceId,
    },

    /// Relay: open a forwarding, or change what holds for its next visitors (new remotes, names resolved again).
    OpenRelay(Arc<super::PublicService>, Arc<RelayRemote>),

    /// Limiter: from now on this budget exists and has to be leased; until the first grant it is empty.
    OpenBudget {
        /// Which.
        budget: BudgetId,
    },
    /// Limiter: the budget is gone, what it held back goes on unlimited.
    CloseBudget {
        /// Which.
        budget: BudgetId,
    },

    /// Stop accepting (listeners accept until their queue is empty, then close); visitors may go on until the
    /// deadline, then they are reset.
    Drain {
        /// From now.
        deadline: Duration,
    },
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}: {error}")]
    Listen {
        /// The address, with the port that failed.
        listen: ListenAddr,
        /// The kernel's answer.
        error: std::io::Error,
    },
    /// The data plane has stopped.
    #[error("the data plane has stopped")]
    Stopped,
}

/// A service as the public side (server or relay) has to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicService {
    /// Process-local id.
    pub service: ServiceId,
    /// For logs, and on the wire.
    pub name: ServiceName,
    /// Where visitors arrive.
    pub listen: ListenAddr,
    /// Options of visitors' sockets (relay: of both sockets).
    pub socket: SocketOptions,
    /// 0 (most urgent) to 3.
    pub priority: u8,
    /// Header to put before a visitor's bytes.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Most visitors of the service at a time.
    pub max_visitors: Option<u32>,
    /// Budgets of the service and of the process.
    pub budgets: BudgetSet,
}

/// A session as a server's workers have to know it.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// Which.
    pub session: SessionId,
    /// Of which control carrier.
    pub epoch: Epoch,
    /// Authenticates carriers.
    pub carrier_key: CarrierKey,
    /// How visitors cross.
    pub lane: Lane,
    /// Both ends are Kariz and know smux RST, exact half-close and early UPD.
    pub kariz_mux: bool,
    /// Most carriers of the session, over all workers.
    pub max_carriers: u32,
    /// Most visitors of the session at a time.
    pub max_visitors: Option<u32>,
    /// Budgets of the session.
    pub budgets: BudgetSet,
    /// What it serves. A service that an older session served is taken over.
    pub services: Vec<ServedService>,
}

/// A service that a session serves.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedService {
    /// Process-local id of the public service.
    pub service: ServiceId,
    /// Idle carriers to keep ready, over all workers (the client's `connection_pool`).
    pub pool: u32,
    /// smux parameters as agreed with the client (lower version of both).
    pub mux: MuxParams,
}

/// A session as a client's workers have to know it.
#[derive(Debug, Clone)]
pub struct LinkSpec {
    /// Which.
    pub link: LinkId,
    /// The server's name for it.
    pub session: SessionId,
    /// Of which control carrier.
    pub epoch: Epoch,
    /// Authenticates carriers.
    pub carrier_key: CarrierKey,
    /// How visitors cross.
    pub lane: Lane,
    /// Both ends are Kariz and know smux RST, exact half-close and early UPD.
    pub kariz_mux: bool,
    /// The server's address that the control carrier reached.
    pub remote: SocketAddr,
    /// Source addresses of carriers, used in turn; empty leaves it to the kernel.
    pub local_addrs: Vec<SocketAddr>,
    /// Options of carrier sockets.
    pub socket: SocketOptions,
    /// Limit for dialling a carrier.
    pub dial_timeout: Duration,
    /// Most carriers of the session, over all workers.
    pub max_carriers: u32,
    /// The proven services: id, and smux parameters as agreed with the server.
    pub services: Vec<(ServiceId, MuxParams)>,
}

/// Where a client's visitors go.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// Process-local id.
    pub service: ServiceId,
    /// Name of the service, as it comes in an Open.
    pub name: ServiceName,
    /// The addresses that the name stands for now, best first; empty if it cannot be resolved.
    pub addresses: Vec<std::net::IpAddr>,
    /// Ports; a visitor at offset n of the public range goes to port n of these.
    pub ports: PortRange,
    /// Options of the target's socket.
    pub socket: SocketOptions,
    /// Limit for dialling.
    pub dial_timeout: Duration,
    /// Budgets of the service and of the process.
    pub budgets: BudgetSet,
}

/// Where a relay's visitors go.
#[derive(Debug, Clone, PartialEq)]
pub struct RelayRemote {
    /// The remotes in order of preference, each with the addresses that its name stands for now.
    pub remotes: Vec<(HostPort, Vec<std::net::IpAddr>)>,
    /// How several remotes are used.
    pub strategy: Strategy,
    /// Limit for dialling.
    pub dial_timeout: Duration,
}

/// Every budget that one visitor's bytes and messages count against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetSet {
    /// Of the process: bytes, messages.
    pub process: (Option<BudgetId>, Option<BudgetId>),
    /// Of the session: bytes, messages.
    pub session: (Option<BudgetId>, Option<BudgetId>),
    /// Of the service: bytes, messages.
    pub service: (Option<BudgetId>, Option<BudgetId>),
}
