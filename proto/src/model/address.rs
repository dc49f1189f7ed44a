//! Addresses as configurations name them: ports may be ranges, hosts may be names.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An inclusive range of ports; a single port is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The range from `first` to `last`, both included; `None` if it would be empty.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The range of one port.
    pub fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// First port of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// How many ports the range has: 1 to 65536.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// The port at `offset` from the first; the only port of a range of one whatever the offset.
    ///
    /// `None` if the offset is outside a longer range.
    pub fn at(self, offset: u16) -> Option<u16> {
        if self.first == self.last {
            return Some(self.first);
        }
        self.first.checked_add(offset).filter(|port| *port <= self.last)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Where to listen: one address with one or more ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddr {
    /// The address; `None` is every address, IPv6 and IPv4 (`":4040"`), IPv4 alone where there is no IPv6.
    pub ip: Option<IpAddr>,
    /// The ports.
    pub ports: PortRange,
}

impl ListenAddr {
    /// Whether two addresses cannot both be listened on.
    pub fn overlaps(self, other: Self) -> bool {
        let ports = self.ports.first <= other.ports.last && other.ports.first <= self.ports.last;
        // The unspecified IPv6 address takes IPv4 visitors too.
        let every = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let every_v4 = |a: IpAddr, b: IpAddr| a.is_ipv4() && b.is_ipv4() && (a.is_unspecified() || b.is_unspecified());
        let hosts = every(self.ip)
            || every(other.ip)
            || self.ip == other.ip
            || self.ip.zip(other.ip).is_some_and(|(a, b)| every_v4(a, b));
        ports && hosts
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            None => write!(f, ":{}", self.ports),
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.ports),
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.ports),
        }
    }
}

/// Where to dial: a host name or address, and one or more ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Host name, or the text form of an address (IPv6 without brackets).
    pub host: String,
    /// The ports; more than one only for the target of a service whose public address is a range.
    pub ports: PortRange,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.ports)
        } else {
            write!(f, "{}:{}", self.host, self.ports)
        }
    }
}
