//! The environment that a node is started with: that of marzban-node, or that of the Go node.

use super::pair::Pair;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

/// The key that panels show to nodes of the kit.
pub(super) const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// Variables with their values.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// What a node of the Go node's kind is to speak. Kariz speaks both on one port, whatever it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rest,
    Grpc,
}

/// What every node is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Environment<'a> {
    /// Where panels connect.
    pub(super) address: SocketAddr,
    pub(super) core: &'a Path,
    /// For files of the core, and those that the node makes.
    pub(super) folder: &'a Path,
    pub(super) pair: &'a Pair,
}

impl Environment<'_> {
    /// For panels that show the certificate of `panel`; the core's API is at `api`.
    pub(super) fn marzban(&self, api: SocketAddr, panel: &Pair) -> Variables {
        let mut variables = self.common();
        variables.extend([
            ("SERVICE_HOST", self.address.ip().to_string().into()),
            ("XRAY_API_HOST", api.ip().to_string().into()),
            ("XRAY_API_PORT", api.port().to_string().into()),
            ("SSL_CLIENT_CERT_FILE", panel.certificate.clone().into()),
            ("SERVICE_PROTOCOL", "rest".into()),
            ("DEBUG", "false".into()),
            ("INBOUNDS", "".into()),
        ]);
        variables
    }

    /// For panels that have [`KEY`] (`spec/node-panel.md`, 3.4).
    pub(super) fn keyed(&self, protocol: Protocol) -> Variables {
        let protocol = match protocol {
            Protocol::Rest => "rest",
            Protocol::Grpc => "grpc",
        };
        let mut variables = self.common();
        variables.extend([
            ("NODE_HOST", self.address.ip().to_string().into()),
            ("API_KEY", KEY.into()),
            ("SERVICE_PROTOCOL", protocol.into()),
            ("GENERATED_CONFIG_PATH", self.folder.into()),
        ]);
        variables
    }

    fn common(&self) -> Variables {
        vec![
            ("SERVICE_PORT", self.address.port().to_string().into()),
            ("XRAY_EXECUTABLE_PATH", self.core.into()),
            ("XRAY_ASSETS_PATH", self.folder.into()),
            ("SSL_CERT_FILE", self.pair.certificate.clone().into()),
            ("SSL_KEY_FILE", self.pair.key.clone().into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn only_one_of_the_two_ways_in_is_named() {
        let pair = Pair {
            certificate: PathBuf::from("a.pem"),
            key: PathBuf::from("a.key"),
        };
        let environment = Environment {
            address: "127.0.0.1:1".parse().unwrap(),
            core: Path::new("xray"),
            folder: Path::new("."),
            pair: &pair,
        };
        let has = |variables: &Variables, name| variables.iter().any(|(known, _)| *known == name);
        let marzban = environment.marzban("127.0.0.1:2".parse().unwrap(), &pair);
        let keyed = environment.keyed(Protocol::Grpc);
        for (variables, certificate, key) in [(&marzban, true, false), (&keyed, false, true)] {
            assert!(has(variables, "SERVICE_PORT") && has(variables, "SSL_KEY_FILE"));
            assert_eq!(has(variables, "SSL_CLIENT_CERT_FILE"), certificate);
            assert_eq!(has(variables, "API_KEY"), key);
        }
    }
}
