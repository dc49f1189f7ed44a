//! `[runtime]`: the process itself.

use std::time::Duration;

/// What `[runtime]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeSpec {
    /// Number of workers; `None` is one per core. 1 to 256.
    pub workers: Option<u16>,
    /// Whether each worker is pinned to a core.
    pub pin: bool,
    /// What the workers wait with.
    pub io: IoDriver,
    /// Form of the log.
    pub log_format: LogFormat,
    /// `log_level` of the section that runs (the most talkative one, if there are several).
    pub log_level: LogLevel,
    /// How long visitors may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Most visitors at a time in the whole process; `None` is what the descriptor limit allows.
    pub max_visitors: Option<u32>,
    /// Most unauthenticated connections at a time in the whole process.
    pub max_handshakes: u32,
    /// How long a connection may take to authenticate.
    pub handshake_timeout: Duration,
}

impl Default for RuntimeSpec {
    fn default() -> Self {
        Self {
            workers: None,
            pin: true,
            io: IoDriver::Auto,
            log_format: LogFormat::Auto,
            log_level: LogLevel::Info,
            drain_timeout: Duration::from_secs(30),
            max_visitors: None,
            max_handshakes: 1024,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// What the workers wait with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IoDriver {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or no start.
    Uring,
    /// epoll.
    Epoll,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal and elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Least severe level that is logged. `panic` and `fatal` of other programs mean [`LogLevel::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}
