//! Socket options that the configuration may set.

use std::time::Duration;

/// Options for one kind of socket (carriers, or visitors and targets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// `SO_RCVBUF` in bytes; `None` leaves it to the kernel. Set before connect or listen.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes; `None` leaves it to the kernel. Set before connect or listen.
    pub send_buffer: Option<u32>,
    /// `TCP_MAXSEG` in bytes; `None` leaves it to the kernel. Set before connect or listen.
    pub mss: Option<u16>,
    /// TCP keep-alive idle time and interval; `None` switches keep-alive off.
    pub keep_alive: Option<Duration>,
    /// `TCP_NODELAY`.
    pub no_delay: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            receive_buffer: None,
            send_buffer: None,
            mss: None,
            keep_alive: Some(Duration::from_secs(20)),
            no_delay: true,
        }
    }
}

impl SocketOptions {
    /// Whether what has to be known before listen is the same, so that an open listener can stay.
    pub fn has_same_buffers(&self, other: &Self) -> bool {
        (self.receive_buffer, self.send_buffer, self.mss) == (other.receive_buffer, other.send_buffer, other.mss)
    }
}
