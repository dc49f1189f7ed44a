//! The PROXY protocol header that tells a target who its visitor is (haproxy.org, `proxy-protocol.txt`, 2.1 and 2.2).

use crate::model::ProxyProtocol;
use ppp::{v1, v2};
use std::net::SocketAddr;

/// The header for a TCP visitor that arrived at `local`.
///
/// Addresses of different families cannot be told: then version 1 says `UNKNOWN` and version 2 `LOCAL`, which a target
/// takes for "nothing known".
pub fn header(version: ProxyProtocol, visitor: SocketAddr, local: SocketAddr) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => v1_header(visitor, local).into_bytes(),
        ProxyProtocol::V2 => v2_header(visitor, local),
    }
}

fn v1_header(visitor: SocketAddr, local: SocketAddr) -> String {
    let addresses = match (visitor, local) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            v1::Addresses::new_tcp4(*from.ip(), *to.ip(), from.port(), to.port())
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            v1::Addresses::new_tcp6(*from.ip(), *to.ip(), from.port(), to.port())
        }
        _ => v1::Addresses::Unknown,
    };
    addresses.to_string()
}

fn v2_header(visitor: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let command = if visitor.is_ipv4() == local.is_ipv4() {
        v2::Command::Proxy
    } else {
        v2::Command::Local
    };
    let builder =
        v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, (visitor, local)).build();
    // Building fails only when type-length-values exceed 64 KiB, and there are none.
    builder.expect("an address block always fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_a_line_of_text() {
        let header = header(
            ProxyProtocol::V1,
            "192.0.2.1:1234".parse().unwrap(),
            "192.0.2.2:80".parse().unwrap(),
        );
        assert_eq!(header, b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n");
        let header = super::header(
            ProxyProtocol::V1,
            "[::1]:1".parse().unwrap(),
            "[::2]:2".parse().unwrap(),
        );
        assert_eq!(header, b"PROXY TCP6 ::1 ::2 1 2\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let header = header(
            ProxyProtocol::V2,
            "192.0.2.1:1234".parse().unwrap(),
            "192.0.2.2:80".parse().unwrap(),
        );
        let expected = [
            b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
            &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0x04, 0xd2, 0, 80],
        ];
        assert_eq!(header, expected.concat());
    }

    #[test]
    fn mixed_families_are_not_told() {
        let (v4, v6) = ("192.0.2.1:1234".parse().unwrap(), "[::2]:80".parse().unwrap());
        assert_eq!(header(ProxyProtocol::V1, v4, v6), b"PROXY UNKNOWN\r\n");
        assert_eq!(header(ProxyProtocol::V2, v4, v6)[12], 0x20);
    }
}
