//! A running process's sockets as the kernel sees them: borrowed with `pidfd_getfd`, so that every option can be read.

use super::process::Kariz;
use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::Socket;
use std::net::SocketAddr;

/// A TCP socket of another process. Reading its options does not disturb it, but it stays open while this lives.
#[derive(Debug)]
pub struct Borrowed {
    /// The socket itself.
    pub socket: Socket,
    /// Its own address.
    pub local: SocketAddr,
    /// The peer's, unless it listens.
    pub peer: Option<SocketAddr>,
}

impl Borrowed {
    /// Whether it accepts connections.
    pub fn listens(&self) -> bool {
        self.socket.is_listener().unwrap_or(false)
    }
}

impl Kariz {
    /// All TCP sockets of the process.
    pub fn sockets(&self) -> Result<Vec<Borrowed>> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .context("a pid is positive")?;
        let process = pidfd_open(pid, PidfdFlags::empty()).context("opening a pidfd")?;
        let mut sockets = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/fd", self.pid()))? {
            let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may have been closed since the directory was read.
            let Ok(fd) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else {
                continue;
            };
            let socket = Socket::from(fd);
            let is_tcp = socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
            let local = socket.local_addr().ok().and_then(|address| address.as_socket());
            if let (true, Some(local)) = (is_tcp, local) {
                let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
                sockets.push(Borrowed { socket, local, peer });
            }
        }
        Ok(sockets)
    }

    /// Its connections to or from `address`.
    pub fn connections(&self, address: SocketAddr) -> Result<Vec<Borrowed>> {
        let mut sockets = self.sockets()?;
        sockets
            .retain(|s| s.peer.is_some() && (canonical(s.local) == address || s.peer.map(canonical) == Some(address)));
        Ok(sockets)
    }

    /// Its listeners at `address`.
    pub fn listeners(&self, address: SocketAddr) -> Result<Vec<Borrowed>> {
        let mut sockets = self.sockets()?;
        sockets.retain(|s| s.listens() && canonical(s.local) == address);
        Ok(sockets)
    }
}

/// An IPv4 address stays one on a dual-stack socket.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
