//! Validated specifications: what the configuration means once every doubt about it is gone.
//!
//! Only `actors::config` makes these from files; a value of one of these types can be relied on. Bounds that
//! matter to a worker are part of the type's documentation.

mod address;
mod client;
mod diff;
mod limits;
mod relay;
mod runtime;
mod secret;
mod server;
mod socket;
mod transport;

pub use address::{HostPort, ListenAddr, PortRange};
pub use client::{ClientService, ClientSpec, Strategy};
pub use diff::{Diff, diff};
pub use limits::{Limits, Rate};
pub use relay::{RelayService, RelaySpec};
pub use runtime::{IoDriver, LogFormat, LogLevel, RuntimeSpec};
pub use secret::Token;
pub use server::{ProxyProtocol, ServerService, ServerSpec};
pub use socket::SocketOptions;
pub use transport::{Carrier, Lane, MuxParams, MuxVersion, Transport};

/// The name of a service as the operator wrote it: the key under which both ends know it.
///
/// 1 to 64 bytes (checked where the configuration or a message is parsed). Cheap to clone.
pub type ServiceName = std::sync::Arc<str>;

/// Longest service name in bytes.
pub const MAX_SERVICE_NAME_BYTES: usize = 64;

/// Most services in one section, and most that one client may register.
pub const MAX_SERVICES: usize = 1024;

/// Everything that one configuration file asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spec {
    /// `[server]`, if the file has it.
    pub server: Option<ServerSpec>,
    /// `[client]`, if the file has it.
    pub client: Option<ClientSpec>,
    /// `[relay]`, if the file has it.
    pub relay: Option<RelaySpec>,
    /// `[limits]`: budgets of the whole process.
    pub limits: Limits,
    /// `[runtime]`.
    pub runtime: RuntimeSpec,
}
