//! What the node has to know of an inbound to put users into it (`spec/node-panel.md`, 3.3).

use serde_json::Value;

/// An inbound of the panel's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inbound {
    pub(super) tag: String,
    pub(super) kind: Kind,
}

/// Its protocol, with what that needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Vmess,
    Vless(Flow),
    Trojan,
    Shadowsocks,
    /// `method` begins with `2022-blake3`; its keys have this many bytes.
    Shadowsocks2022 {
        key_bytes: usize,
    },
    /// With a cipher of 2022 that has no users: whoever knows the inbound's own key gets in, and nobody else.
    Shadowsocks2022WithoutUsers,
    Hysteria,
    /// One that has no users of panels.
    Other,
}

/// Which flow the users of a VLESS inbound have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flow {
    /// The inbound says it for all (`settings.flow`).
    Fixed(String),
    /// The panel says it for each user.
    OfUser,
    /// None: over this transport a user with a flow could not connect.
    Impossible,
}

impl Flow {
    /// The flow of a user for whom the panel says `flow`.
    pub(super) fn of_user(&self, flow: &str) -> String {
        match self {
            Self::Fixed(flow) => flow.clone(),
            Self::OfUser => flow.to_owned(),
            Self::Impossible => String::new(),
        }
    }

    /// Flows splice through what is inside of the encryption: that of TLS or REALITY, or of VLESS itself, right on TCP or KCP.
    fn read(inbound: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_ascii_lowercase();
        if let Some(flow) = inbound["settings"]["flow"].as_str().filter(|flow| !flow.is_empty()) {
            return Self::Fixed(flow.to_owned());
        }
        let stream = &inbound["streamSettings"];
        let is_plain = matches!(&*text(&stream["network"]), "" | "tcp" | "raw" | "kcp" | "mkcp");
        let is_encrypted = matches!(&*text(&stream["security"]), "tls" | "reality")
            || !matches!(&*text(&inbound["settings"]["decryption"]), "" | "none");
        match is_plain && is_encrypted {
            true => Self::OfUser,
            false => Self::Impossible,
        }
    }
}

impl Inbound {
    /// `None` if it has no tag: nobody could name it.
    pub(super) fn read(inbound: &Value) -> Option<Self> {
        let method = inbound["settings"]["method"].as_str().unwrap_or_default();
        let protocol = inbound["protocol"].as_str().unwrap_or_default().to_ascii_lowercase();
        let kind = match &*protocol {
            "vmess" => Kind::Vmess,
            "vless" => Kind::Vless(Flow::read(inbound)),
            "trojan" => Kind::Trojan,
            "shadowsocks" if method.starts_with("2022-blake3") => match method.ends_with("gcm") {
                true => Kind::Shadowsocks2022 {
                    key_bytes: if method.ends_with("aes-128-gcm") { 16 } else { 32 },
                },
                false => Kind::Shadowsocks2022WithoutUsers,
            },
            "shadowsocks" => Kind::Shadowsocks,
            "hysteria" => Kind::Hysteria,
            _ => Kind::Other,
        };
        Some(Self {
            tag: inbound["tag"].as_str()?.to_owned(),
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(mut inbound: Value) -> Flow {
        inbound["tag"] = "in".into();
        inbound["protocol"] = "vless".into();
        match Inbound::read(&inbound).map(|inbound| inbound.kind) {
            Some(Kind::Vless(flow)) => flow,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flow_needs_encryption_right_on_the_transport() {
        let stream =
            |network: &str, security: &str| json!({ "streamSettings": { "network": network, "security": security } });
        for network in ["tcp", "raw", "kcp", "TCP"] {
            assert_eq!(flow(stream(network, "tls")), Flow::OfUser);
            assert_eq!(flow(stream(network, "reality")), Flow::OfUser);
            assert_eq!(flow(stream(network, "none")), Flow::Impossible);
        }
        for network in ["ws", "grpc", "xhttp", "httpupgrade"] {
            assert_eq!(flow(stream(network, "tls")), Flow::Impossible);
        }
        assert_eq!(flow(json!({})), Flow::Impossible);
        assert_eq!(flow(json!({ "streamSettings": { "security": "tls" } })), Flow::OfUser);
        assert_eq!(flow(json!({ "settings": { "decryption": "none" } })), Flow::Impossible);
        assert_eq!(
            flow(json!({ "settings": { "decryption": "mlkem768x25519plus.native.600s.key" } })),
            Flow::OfUser
        );
    }

    #[test]
    fn an_inbound_may_set_one_flow_for_all() {
        let fixed = flow(json!({ "settings": { "flow": "xtls-rprx-vision" }, "streamSettings": { "network": "ws" } }));
        assert_eq!(fixed.of_user(""), "xtls-rprx-vision");
        assert_eq!(flow(json!({ "settings": { "flow": "" } })), Flow::Impossible);
    }

    #[test]
    fn the_protocol_decides_and_an_inbound_needs_a_tag() {
        let kind = |inbound: Value| Inbound::read(&inbound).map(|inbound| inbound.kind);
        let shadowsocks =
            |method: &str| json!({ "tag": "in", "protocol": "shadowsocks", "settings": { "method": method } });
        assert_eq!(kind(shadowsocks("aes-256-gcm")), Some(Kind::Shadowsocks));
        assert_eq!(
            kind(shadowsocks("2022-blake3-aes-128-gcm")),
            Some(Kind::Shadowsocks2022 { key_bytes: 16 })
        );
        assert_eq!(
            kind(shadowsocks("2022-blake3-aes-256-gcm")),
            Some(Kind::Shadowsocks2022 { key_bytes: 32 })
        );
        assert_eq!(
            kind(shadowsocks("2022-blake3-chacha20-poly1305")),
            Some(Kind::Shadowsocks2022WithoutUsers)
        );
        assert_eq!(kind(json!({ "tag": "in", "protocol": "VMess" })), Some(Kind::Vmess));
        assert_eq!(kind(json!({ "tag": "in", "protocol": "socks" })), Some(Kind::Other));
        assert_eq!(kind(json!({ "tag": "in" })), Some(Kind::Other));
        assert_eq!(kind(json!({ "protocol": "vmess" })), None);
        assert_eq!(kind(json!(null)), None);
    }
}
