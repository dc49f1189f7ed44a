//! An eventfd: how other threads, and tasks of the worker itself, wake a worker through its ring.

use crate::sync::mailbox::Bell;
use monoio::net::TcpStream;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::OwnedFd;

/// A bell that any thread may ring.
#[derive(Debug)]
pub(crate) struct EventBell(OwnedFd);

impl EventBell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// The worker's side. To be called on the worker.
    pub(crate) fn ear(&self) -> io::Result<Ear> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?;
        // monoio only ever polls the descriptor; that it says "TCP" does not matter to a poll.
        Ok(Ear {
            fd: self.0.try_clone()?,
            waiter: TcpStream::from_std(std::net::TcpStream::from(fd))?,
        })
    }
}

impl Bell for EventBell {
    fn ring(&self) {
        // The only possible failure is a full counter, and then the bell is ringing already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Where a worker hears its bell.
pub(crate) struct Ear {
    fd: OwnedFd,
    waiter: TcpStream,
}

impl Ear {
    /// Waits for the bell and silences it.
    pub(crate) async fn heard(&self) -> io::Result<()> {
        self.waiter.readable(false).await?;
        let mut count = [0; 8];
        // Somebody else cannot have silenced it; EAGAIN would only mean that it rang in vain.
        let _ = rustix::io::read(&self.fd, &mut count);
        Ok(())
    }
}
