//! Listening sockets: one for each worker on the same address, opened by the host.

use super::options;
use kariz_proto::model::{ListenAddr, PortRange, SocketOptions};
use rustix::net::sockopt as opt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// How long a taken port is tried again at the start: the ring of a predecessor that was killed holds its listeners
/// for a moment after it is gone (seen: up to a second).
pub(crate) const START_PATIENCE: Duration = Duration::from_millis(1500);

/// Time between two tries.
const RETRY: Duration = Duration::from_millis(25);

/// Connections that the kernel queues for a worker; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 65535;

/// Opens `count` listeners on every port of `listen`: the outer list is by port offset, the inner by worker.
///
/// Each address is bound once without `SO_REUSEPORT` first, because with it the kernel would share the port with
/// another process of ours instead of telling that it is taken. Ports of `own` are in our hands already. A
/// port that is taken is tried again for `patience`.
///
/// # Errors
/// The port that failed and the kernel's answer.
pub(crate) fn open(
    listen: ListenAddr,
    socket: &SocketOptions,
    count: usize,
    own: Option<ListenAddr>,
    patience: Duration,
) -> Result<Vec<Vec<OwnedFd>>, (ListenAddr, io::Error)> {
    ports(listen)
        .map(|port| {
            let single = ListenAddr {
                ip: listen.ip,
                ports: PortRange::single(port),
            };
            let free = if own.is_some_and(|own| own.overlaps(single)) {
                Ok(())
            } else {
                probe_port(listen.ip, port, patience)
            };
            free.and_then(|()| (0..count).map(|_| bind(listen.ip, port, socket, true)).collect())
                .map_err(|error| (single, error))
        })
        .collect()
}

/// Checks that every port of `listen` can be bound, and leaves it free again. A taken one is tried for `patience`.
///
/// # Errors
/// The port that failed and the kernel's answer.
pub(crate) fn probe(listen: ListenAddr, patience: Duration) -> Result<(), (ListenAddr, io::Error)> {
    ports(listen).try_for_each(|port| {
        probe_port(listen.ip, port, patience).map_err(|error| {
            (
                ListenAddr {
                    ip: listen.ip,
                    ports: PortRange::single(port),
                },
                error,
            )
        })
    })
}

fn ports(listen: ListenAddr) -> impl Iterator<Item = u16> {
    (0..listen.ports.count()).filter_map(move |offset| listen.ports.at(u16::try_from(offset).ok()?))
}

fn probe_port(ip: Option<IpAddr>, port: u16, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match bind(ip, port, &SocketOptions::default(), false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(RETRY);
            }
            other => return other.map(drop),
        }
    }
}

/// Binds and listens. No address means IPv6 and IPv4 in one socket, IPv4 alone where there is no IPv6.
fn bind(ip: Option<IpAddr>, port: u16, socket: &SocketOptions, shared: bool) -> io::Result<OwnedFd> {
    let Some(ip) = ip else {
        let every = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        return match bind_to(every, socket, shared) {
            Err(error) if no_ipv6(&error) => {
                bind_to(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), socket, shared)
            }
            other => other,
        };
    };
    bind_to(SocketAddr::new(ip, port), socket, shared)
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind_to(addr: SocketAddr, socket: &SocketOptions, shared: bool) -> io::Result<OwnedFd> {
    let fd = options::tcp_socket(addr, socket)?;
    opt::set_socket_reuseaddr(&fd, true)?;
    opt::set_socket_reuseport(&fd, shared)?;
    if addr.is_ipv6() {
        // The unspecified address takes IPv4 visitors too, as in the programs that people come from.
        opt::set_ipv6_v6only(&fd, !addr.ip().is_unspecified())?;
    }
    rustix::net::bind(&fd, &addr)?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(fd)
}
