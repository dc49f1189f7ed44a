//! Reaching a server.

use crate::dataplane::{ControlDial, ControlStream};
use crate::shared::Shared;
use kariz_proto::model::{ClientSpec, HostPort};
use kariz_proto::session::MISSED_HEARTBEATS;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The next address is tried beside the last one after this (RFC 8305, section 5).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection to a server and the address that it reached.
pub(crate) type Reached = (Box<dyn ControlStream>, SocketAddr);

/// Connects to the first address of the server that answers. All are tried, each a moment after the one before or as
/// soon as that has failed.
pub(crate) async fn reach(
    shared: Arc<Shared>,
    spec: Arc<ClientSpec>,
    remote: HostPort,
    turn: Arc<AtomicUsize>,
) -> io::Result<Reached> {
    let addresses = shared.resolver.resolve(&remote.host).await;
    let mut error = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", remote.host));
    let mut addresses = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut next = Some(Instant::now());
    loop {
        tokio::select! {
            biased;
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(reached)) => return Ok(reached),
                Ok(Err(failed)) => {
                    error = failed;
                    next = next.map(|_| Instant::now());
                }
                Err(_) => error = io::Error::other("the attempt panicked"),
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => match addresses.next() {
                None => next = None,
                Some(ip) => {
                    next = Some(Instant::now() + ATTEMPT_DELAY);
                    match control_dial(&spec, SocketAddr::new(ip, remote.ports.first()), &turn) {
                        Err(failed) => {
                            error = failed;
                            next = Some(Instant::now());
                        }
                        Ok(dial) => {
                            let shared = shared.clone();
                            attempts.spawn(async move {
                                let remote = dial.remote;
                                shared.data_plane.dial_control(dial).await.map(|stream| (stream, remote))
                            });
                        }
                    }
                }
            },
            else => return Err(error),
        }
    }
}

fn control_dial(spec: &ClientSpec, remote: SocketAddr, turn: &AtomicUsize) -> io::Result<ControlDial> {
    Ok(ControlDial {
        remote,
        local: source(&spec.local_addrs, remote.ip(), turn)?,
        socket: spec.carrier_socket,
        timeout: spec.dial_timeout,
        user_timeout: spec.heartbeat * MISSED_HEARTBEATS,
    })
}

/// The source address whose turn it is among those of the remote's family.
fn source(local: &[SocketAddr], remote: IpAddr, turn: &AtomicUsize) -> io::Result<Option<SocketAddr>> {
    if local.is_empty() {
        return Ok(None);
    }
    let fitting: Vec<_> = local
        .iter()
        .filter(|local| local.is_ipv4() == remote.is_ipv4())
        .collect();
    if fitting.is_empty() {
        let text = format!("no source address of the family of {remote}");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    let turn = turn.fetch_add(1, Ordering::Relaxed);
    Ok(Some(*fitting[turn % fitting.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_of_the_right_family_take_turns() {
        let local: Vec<SocketAddr> = ["127.0.0.2:0", "[::1]:0", "127.0.0.3:0"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let turn = AtomicUsize::new(0);
        let next = |remote: &str| {
            source(&local, remote.parse().unwrap(), &turn)
                .unwrap()
                .unwrap()
                .to_string()
        };
        assert_eq!(next("127.0.0.1"), "127.0.0.2:0");
        assert_eq!(next("127.0.0.1"), "127.0.0.3:0");
        assert_eq!(next("::1"), "[::1]:0");
        assert!(source(&local[..1], "::1".parse().unwrap(), &turn).is_err());
        assert_eq!(source(&[], "::1".parse().unwrap(), &turn).unwrap(), None);
    }
}
