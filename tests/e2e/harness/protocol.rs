//! The protocols by which users connect: inbounds as a panel sends them, users as it gives them, and outbounds of a core in
//! the users' role.

use super::SocketAddr;
use super::https::fixture;
use super::scene::Scene;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A protocol with its ciphers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Vmess,
    /// In clear: its users have no flow, whatever the panel says.
    Vless,
    /// With an encryption of its own, and a flow.
    VlessVision,
    Trojan,
    /// With ChaCha20.
    Shadowsocks,
    /// Of 2022, with keys of 16 bytes.
    Shadowsocks2022Short,
    /// Of 2022, with keys of 32 bytes.
    Shadowsocks2022Long,
    /// Over QUIC.
    Hysteria,
}

/// An inbound of the node's core.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub protocol: Protocol,
    pub address: SocketAddr,
}

/// A user as his panel has him.
#[derive(Debug, Clone)]
pub struct Member {
    /// His name.
    pub email: String,
    /// For VMess and VLESS; an empty one stands for a user without any credentials.
    pub id: String,
    /// For Trojan, Shadowsocks and Hysteria.
    pub password: String,
    /// What Shadowsocks 2022 makes of the password (`spec/node-panel.md`, 3.3).
    pub key: String,
    /// The inbounds that let him in.
    pub protocols: Vec<Protocol>,
}

/// A password that is no key, and the keys that are made of it: the first 16 and all 32 bytes of its SHA-256.
const PASSWORD: &str = "a password of the tests";
const PASSWORD_KEYS: [&str; 2] = [
    "l2K8M6RHYwIXfpZdUev1Yw==",
    "l2K8M6RHYwIXfpZdUev1Y+GVfKUMEBnEBzc6Dfr+WXk=",
];

/// Passwords that are keys already.
const KEYS: [&str; 2] = [
    "ZGVmZ2hpamtsbW5vcHFycw==",
    "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=",
];

/// What a server of VLESS decrypts with, and what its users encrypt with (`xray vlessenc`).
const DECRYPTION: &str = "mlkem768x25519plus.native.600s.UM0VeURoWsBcElNy29vIXnaPJBMMfKz7Dsg2Gi7VrVs";
const ENCRYPTION: &str = "mlkem768x25519plus.native.0rtt.TtowY6lQBHXUv0EW6fN3Q_VudrETVV_DYFafxPhF6z0";

/// The flow that panels give their users.
const FLOW: &str = "xtls-rprx-vision";

/// The certificate of a server over QUIC.
const CERTIFICATE: [&str; 2] = ["node-v3-p256.pem", "node-p256.key"];

/// The server's own keys.
const SERVER_KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODw==",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

impl Protocol {
    /// Name and tag of its inbound.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Vmess => "VMess TCP",
            Self::Vless => "VLESS TCP",
            Self::VlessVision => "VLESS Vision",
            Self::Trojan => "Trojan TCP",
            Self::Shadowsocks => "Shadowsocks TCP",
            Self::Shadowsocks2022Short => "Shadowsocks 2022 short",
            Self::Shadowsocks2022Long => "Shadowsocks 2022 long",
            Self::Hysteria => "Hysteria",
        }
    }

    /// The server's key, of the protocols that have one.
    fn server_key(self) -> &'static str {
        SERVER_KEYS[self.key_index()]
    }

    fn key_index(self) -> usize {
        usize::from(self == Self::Shadowsocks2022Long)
    }

    fn method(self) -> &'static str {
        match self {
            Self::Shadowsocks2022Short => "2022-blake3-aes-128-gcm",
            Self::Shadowsocks2022Long => "2022-blake3-aes-256-gcm",
            _ => "chacha20-ietf-poly1305",
        }
    }
}

impl Server {
    /// One at a free address of `scene`.
    pub fn new(scene: &Scene, protocol: Protocol) -> Self {
        let address = scene.address();
        Self { protocol, address }
    }

    /// The inbound as a panel sends it: without users.
    pub fn inbound(self) -> Value {
        let Self { protocol, address } = self;
        let (name, settings) = match protocol {
            Protocol::Vmess => ("vmess", json!({})),
            Protocol::Vless => ("vless", json!({ "decryption": "none" })),
            Protocol::VlessVision => ("vless", json!({ "decryption": DECRYPTION })),
            Protocol::Trojan => ("trojan", json!({})),
            Protocol::Shadowsocks => ("shadowsocks", json!({ "network": "tcp" })),
            Protocol::Shadowsocks2022Short | Protocol::Shadowsocks2022Long => (
                "shadowsocks",
                json!({ "method": protocol.method(), "password": protocol.server_key(), "network": "tcp" }),
            ),
            Protocol::Hysteria => ("hysteria", json!({ "version": 2 })),
        };
        let mut inbound = json!({
            "tag": protocol.tag(), "listen": address.ip(), "port": address.port(), "protocol": name, "settings": settings,
        });
        if protocol == Protocol::Hysteria {
            let [certificate, key] = CERTIFICATE.map(fixture);
            let tls = json!({ "certificates": [{ "certificateFile": certificate, "keyFile": key }] });
            inbound["streamSettings"] = over_quic(tls, json!({ "version": 2 }));
        }
        inbound
    }

    /// How `member` gets there.
    pub fn outbound(self, member: &Member) -> Value {
        let Self { protocol, address } = self;
        let Member { id, password, key, .. } = member;
        let (ip, port) = (address.ip(), address.port());
        let user = |user: Value| json!({ "vnext": [{ "address": ip, "port": port, "users": [user] }] });
        let (name, settings) = match protocol {
            Protocol::Vmess => ("vmess", user(json!({ "id": id, "security": "auto" }))),
            Protocol::Vless => ("vless", user(json!({ "id": id, "encryption": "none" }))),
            Protocol::VlessVision => (
                "vless",
                user(json!({ "id": id, "encryption": ENCRYPTION, "flow": FLOW })),
            ),
            Protocol::Trojan => (
                "trojan",
                json!({ "servers": [{ "address": ip, "port": port, "password": password }] }),
            ),
            Protocol::Shadowsocks | Protocol::Shadowsocks2022Short | Protocol::Shadowsocks2022Long => {
                let password = match protocol {
                    Protocol::Shadowsocks => password.clone(),
                    _ => format!("{}:{key}", protocol.server_key()),
                };
                let server = json!({ "address": ip, "port": port, "method": protocol.method(), "password": password });
                ("shadowsocks", json!({ "servers": [server] }))
            }
            Protocol::Hysteria => ("hysteria", json!({ "version": 2, "address": ip, "port": port })),
        };
        let mut outbound = json!({ "protocol": name, "settings": settings });
        if protocol == Protocol::Hysteria {
            let tls = json!({ "pinnedPeerCertSha256": pin() });
            outbound["streamSettings"] = over_quic(tls, json!({ "version": 2, "auth": password }));
        }
        outbound
    }
}

/// How Hysteria is carried.
fn over_quic(mut tls: Value, hysteria: Value) -> Value {
    tls["alpn"] = json!(["h3"]);
    json!({ "network": "hysteria", "security": "tls", "tlsSettings": tls, "hysteriaSettings": hysteria })
}

/// By what the users' core knows [`CERTIFICATE`].
fn pin() -> String {
    let certificate = CertificateDer::from_pem_file(fixture(CERTIFICATE[0])).expect("the fixture is a certificate");
    Sha256::digest(certificate)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Member {
    /// User number `number`, whom the inbounds of `protocols` let in.
    pub fn new(number: u64, protocols: &[Protocol]) -> Self {
        Self {
            email: format!("{number}.member"),
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            password: format!("password of {number}"),
            key: String::new(),
            protocols: protocols.to_vec(),
        }
    }

    /// Takes a password of which `protocol` makes a key.
    pub fn with_password(mut self, protocol: Protocol) -> Self {
        (self.password, self.key) = (PASSWORD.into(), PASSWORD_KEYS[protocol.key_index()].into());
        self
    }

    /// Takes a password that is a key of `protocol` already.
    pub fn with_key(mut self, protocol: Protocol) -> Self {
        let key = KEYS[protocol.key_index()];
        (self.password, self.key) = (key.into(), key.into());
        self
    }

    /// How a panel (`tests/python/bridge.py`) is told of him.
    pub fn told(&self) -> Value {
        let inbounds: Vec<_> = self.protocols.iter().map(|protocol| protocol.tag()).collect();
        json!({
            "email": self.email, "id": self.id, "password": self.password, "method": Protocol::Shadowsocks.method(),
            "flow": FLOW, "hysteria": self.password, "inbounds": inbounds,
        })
    }

    /// The same when he is to be let in nowhere any more.
    pub fn told_removed(&self) -> Value {
        let mut told = self.told();
        told["inbounds"] = json!([]);
        told
    }
}
