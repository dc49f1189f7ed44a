//! Addresses: where to listen, where to dial, where to dial from.

use super::Scalar;
use super::inet_aton::inet_aton;
use kariz_proto::model::{HostPort, ListenAddr, PortRange};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use toml::de::DeValue;

/// Longest host name and longest label in it (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Where visitors arrive: one port or a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct PublicListen(pub(in super::super) ListenAddr);

impl Scalar for PublicListen {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(listen).map(Self).ok_or_else(|| {
            "expected an address of this machine with a port or a range, such as \"0.0.0.0:80\", \"[::]:80\", \":4040\" \
             or \"0.0.0.0:4000-4100\""
                .to_owned()
        })
    }
}

/// Where clients connect: one port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct CarrierListen(pub(in super::super) ListenAddr);

impl Scalar for CarrierListen {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(listen).filter(|listen| listen.ports.count() == 1).map(Self).ok_or_else(|| {
            "expected an address of this machine with one port, such as \"0.0.0.0:4040\", \"[::]:4040\" or \":4040\""
                .to_owned()
        })
    }
}

/// Where a visitor's connection goes: one port or a range. Without a host it is this machine.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Target(pub(in super::super) HostPort);

impl Scalar for Target {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let target = value.as_str().and_then(|text| {
            let (host, ports) = split(text)?;
            let host = if host.is_empty() {
                Ipv4Addr::LOCALHOST.to_string()
            } else {
                dialled_host(host)?
            };
            Some(HostPort {
                host,
                ports: range(ports)?,
            })
        });
        target.map(Self).ok_or_else(|| {
            "expected a host with a port or a range, such as \"127.0.0.1:8080\", \"[::1]:8080\", \"host.name:443\" or \
             \"127.0.0.1:4000-4100\""
                .to_owned()
        })
    }
}

/// A server that a client dials: a host and one port.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Remote(pub(in super::super) HostPort);

impl Scalar for Remote {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let remote = value.as_str().and_then(|text| {
            let (host, port) = split(text)?;
            Some(HostPort {
                host: dialled_host(host)?,
                ports: PortRange::single(self::port(port)?),
            })
        });
        remote.map(Self).ok_or_else(|| {
            "expected a host with a port, such as \"server.example.com:4040\", \"192.0.2.1:4040\" or \"[2001:db8::1]:4040\""
                .to_owned()
        })
    }
}

/// An address that carriers come from; without a port, or with port 0, the kernel chooses the port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct SourceAddr(pub(in super::super) SocketAddr);

impl Scalar for SourceAddr {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let source = value.as_str().and_then(|text| match split(text) {
            _ if bare_ip(text).is_some() => bare_ip(text).map(|ip| SocketAddr::new(ip, 0)),
            Some((host, port)) => Some(SocketAddr::new(bracketed_ip(host)?, port_or_zero(port)?)),
            None => None,
        });
        source.map(Self).ok_or_else(|| {
            "expected an address of this machine, such as \"192.0.2.1\", \"192.0.2.1:0\" or \"[2001:db8::1]:0\""
                .to_owned()
        })
    }
}

/// `edge_ip`: read and checked so that a file with a wrong one is refused today; only the ws and wss transports,
/// which come later, dial it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct EdgeAddr;

impl Scalar for EdgeAddr {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        let with_port =
            || split(text).is_some_and(|(host, port)| bracketed_ip(host).is_some() && self::port(port).is_some());
        // Other programs write an empty string for "none".
        if value.as_str() == Some("") || bare_ip(text).is_some() || bracketed_ip(text).is_some() || with_port() {
            return Ok(Self);
        }
        Err("expected an IP address, such as \"192.0.2.1\"".to_owned())
    }
}

fn listen(text: &str) -> Option<ListenAddr> {
    let (host, ports) = split(text)?;
    let ip = match host {
        "" => None,
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        // An IPv4 address in IPv6 clothes is bound as what it is.
        host => Some(bracketed_ip(host)?.to_canonical()),
    };
    Some(ListenAddr {
        ip,
        ports: range(ports)?,
    })
}

/// Splits at the colon before the port; the host keeps its brackets.
fn split(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':')
}

/// A host to dial: an address (IPv4 short forms are written out) or a name.
fn dialled_host(host: &str) -> Option<String> {
    match bracketed_ip(host) {
        Some(ip) => Some(ip.to_string()),
        None => is_name(host).then(|| host.to_owned()),
    }
}

fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone would be a mistyped address (RFC 1123, section 2.1).
    let last_is_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= MAX_HOST_BYTES && !last_is_number && name.split('.').all(label)
}

fn bracketed_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inet_aton(host).map(IpAddr::V4),
    }
}

fn bare_ip(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>()
        .map(IpAddr::V6)
        .ok()
        .or_else(|| inet_aton(text).map(IpAddr::V4))
}

fn range(text: &str) -> Option<PortRange> {
    match text.split_once('-') {
        Some((first, last)) => PortRange::new(port(first)?, port(last)?),
        None => port(text).map(PortRange::single),
    }
}

fn port(text: &str) -> Option<u16> {
    port_or_zero(text).filter(|port| *port != 0)
}

fn port_or_zero(text: &str) -> Option<u16> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
