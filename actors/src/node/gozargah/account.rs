//! What a user has at an inbound: a client in the core's configuration, and an account for the core's API
//! (`spec/node-panel.md`, 3.3; `spec/xray.md`, API).

use super::inbound::{Inbound, Kind};
use data_encoding::BASE64;
use kariz_proto::panel::Proxy;
use kariz_proto::xray::common::serial::TypedMessage;
use kariz_proto::xray::proxy::shadowsocks::CipherType;
use kariz_proto::xray::proxy::{hysteria, shadowsocks, shadowsocks_2022, trojan, vless, vmess};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A user's credentials at an inbound, in the form that the core takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    Vmess { id: Uuid },
    Vless { id: Uuid, flow: String },
    Trojan { password: String },
    Shadowsocks { password: String, cipher: CipherType },
    Shadowsocks2022 { key: String },
    Hysteria { auth: String },
}

/// Why a user has no account at an inbound although the panel gave credentials for it. With some of these in its configuration the
/// core does not start, and all users are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadCredential {
    #[error("the id is no UUID")]
    Id,
    #[error("no cipher has the name of its method")]
    Cipher,
    #[error("there is no such flow")]
    Flow,
}

impl Account {
    /// By what the core knows whoever has it, among those of the same inbound.
    pub(super) fn credential(&self) -> &[u8] {
        match self {
            Self::Vmess { id } | Self::Vless { id, .. } => id.as_bytes(),
            Self::Trojan { password } | Self::Shadowsocks { password, .. } => password.as_bytes(),
            Self::Shadowsocks2022 { key } => key.as_bytes(),
            Self::Hysteria { auth } => auth.as_bytes(),
        }
    }

    /// The account at `inbound`; `None` if the panel gave no credentials for its protocol, which newer panels write as
    /// empty ones.
    ///
    /// # Errors
    /// See [`BadCredential`]. It concerns this protocol alone.
    pub(super) fn at(inbound: &Inbound, proxies: &Proxy) -> Result<Option<Self>, BadCredential> {
        Ok(Some(match &inbound.kind {
            Kind::Vmess => match given(&proxies.vmess, |vmess| &vmess.id) {
                Some((_, id)) => Self::Vmess { id: uuid(id)? },
                None => return Ok(None),
            },
            Kind::Vless(flow) => match given(&proxies.vless, |vless| &vless.id) {
                Some((vless, id)) => Self::Vless {
                    id: uuid(id)?,
                    flow: known(flow.of_user(&vless.flow))?,
                },
                None => return Ok(None),
            },
            Kind::Trojan => match given(&proxies.trojan, |trojan| &trojan.password) {
                Some((_, password)) => Self::Trojan {
                    password: password.clone(),
                },
                None => return Ok(None),
            },
            Kind::Shadowsocks => match given(&proxies.shadowsocks, |shadowsocks| &shadowsocks.password) {
                Some((shadowsocks, password)) => Self::Shadowsocks {
                    password: password.clone(),
                    cipher: cipher(&shadowsocks.method).ok_or(BadCredential::Cipher)?,
                },
                None => return Ok(None),
            },
            Kind::Shadowsocks2022 { key_bytes } => {
                match given(&proxies.shadowsocks, |shadowsocks| &shadowsocks.password) {
                    Some((_, password)) => Self::Shadowsocks2022 {
                        key: key(password, *key_bytes),
                    },
                    None => return Ok(None),
                }
            }
            Kind::Hysteria => match given(&proxies.hysteria, |hysteria| &hysteria.auth) {
                Some((_, auth)) => Self::Hysteria { auth: auth.clone() },
                None => return Ok(None),
            },
            Kind::Shadowsocks2022WithoutUsers | Kind::Other => return Ok(None),
        }))
    }

    /// The entry among the clients of the inbound.
    pub(super) fn client(&self, email: &str) -> Value {
        match self {
            Self::Vmess { id } => json!({ "email": email, "level": 0, "id": id.to_string() }),
            Self::Vless { id, flow } => json!({ "email": email, "level": 0, "id": id.to_string(), "flow": flow }),
            Self::Trojan { password } | Self::Shadowsocks2022 { key: password } => {
                json!({ "email": email, "level": 0, "password": password })
            }
            Self::Shadowsocks { password, cipher } => {
                json!({ "email": email, "level": 0, "password": password, "method": method(*cipher) })
            }
            Self::Hysteria { auth } => json!({ "email": email, "level": 0, "auth": auth }),
        }
    }

    /// The same for the API.
    pub(super) fn message(&self) -> TypedMessage {
        match self {
            Self::Vmess { id } => TypedMessage::of(&vmess::Account { id: id.to_string() }),
            Self::Vless { id, flow } => TypedMessage::of(&vless::Account {
                id: id.to_string(),
                flow: flow.clone(),
                encryption: String::new(),
            }),
            Self::Trojan { password } => TypedMessage::of(&trojan::Account {
                password: password.clone(),
            }),
            Self::Shadowsocks { password, cipher } => TypedMessage::of(&shadowsocks::Account {
                password: password.clone(),
                cipher_type: (*cipher).into(),
                iv_check: false,
            }),
            Self::Shadowsocks2022 { key } => TypedMessage::of(&shadowsocks_2022::Account { key: key.clone() }),
            Self::Hysteria { auth } => TypedMessage::of(&hysteria::account::Account { auth: auth.clone() }),
        }
    }
}

/// A message that is there, and its credential if that is not empty.
fn given<'a, M>(message: &'a Option<M>, credential: impl Fn(&'a M) -> &'a String) -> Option<(&'a M, &'a String)> {
    let message = message.as_ref()?;
    let credential = credential(message);
    (!credential.is_empty()).then_some((message, credential))
}

fn uuid(text: &str) -> Result<Uuid, BadCredential> {
    Uuid::parse_str(text).map_err(|_| BadCredential::Id)
}

/// The flow if the core has it (`infra/conf/vless.go` of 26.3.27).
fn known(flow: String) -> Result<String, BadCredential> {
    match &*flow {
        "" | "xtls-rprx-vision" => Ok(flow),
        _ => Err(BadCredential::Flow),
    }
}

/// What panels call the ciphers. The Go node takes any other word for `none`, which the core takes from nobody.
fn cipher(method: &str) -> Option<CipherType> {
    Some(match method {
        "aes-128-gcm" => CipherType::Aes128Gcm,
        "aes-256-gcm" => CipherType::Aes256Gcm,
        "chacha20-poly1305" | "chacha20-ietf-poly1305" => CipherType::Chacha20Poly1305,
        "xchacha20-poly1305" | "xchacha20-ietf-poly1305" => CipherType::Xchacha20Poly1305,
        _ => return None,
    })
}

fn method(cipher: CipherType) -> &'static str {
    match cipher {
        CipherType::Aes128Gcm => "aes-128-gcm",
        CipherType::Aes256Gcm => "aes-256-gcm",
        CipherType::Chacha20Poly1305 => "chacha20-poly1305",
        CipherType::Xchacha20Poly1305 => "xchacha20-poly1305",
        // No account has it.
        CipherType::None | CipherType::Unknown => "none",
    }
}

/// The password if it is a key of that length already, else one made of it.
fn key(password: &str, bytes: usize) -> String {
    match BASE64.decode(password.as_bytes()) {
        Ok(key) if key.len() == bytes => password.to_owned(),
        _ => BASE64.encode(&Sha256::digest(password)[..bytes]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::panel::{Hysteria, Shadowsocks, Trojan, Vless, Vmess};

    const ID: &str = "0F8FAD5B-d9cb-469f-a165-70867728950e";

    fn inbound(json: Value) -> Inbound {
        Inbound::read(&json).expect("it is an inbound")
    }

    fn proxies() -> Proxy {
        Proxy {
            vmess: Some(Vmess { id: ID.into() }),
            vless: Some(Vless {
                id: ID.into(),
                flow: "xtls-rprx-vision".into(),
            }),
            trojan: Some(Trojan {
                password: "secret".into(),
            }),
            shadowsocks: Some(Shadowsocks {
                password: "secret".into(),
                method: "chacha20-ietf-poly1305".into(),
            }),
            hysteria: Some(Hysteria { auth: "word".into() }),
            ..Proxy::default()
        }
    }

    #[test]
    fn every_protocol_has_its_client_and_its_account() {
        let id = ID.to_lowercase();
        let tls = json!({ "network": "raw", "security": "tls" });
        for (settings, client, name) in [
            (
                json!({ "protocol": "vmess" }),
                json!({ "id": id.to_string() }),
                "xray.proxy.vmess.Account",
            ),
            (
                json!({ "protocol": "vless", "streamSettings": tls }),
                json!({ "id": id, "flow": "xtls-rprx-vision" }),
                "xray.proxy.vless.Account",
            ),
            (
                json!({ "protocol": "trojan" }),
                json!({ "password": "secret" }),
                "xray.proxy.trojan.Account",
            ),
            (
                json!({ "protocol": "shadowsocks" }),
                json!({ "password": "secret", "method": "chacha20-poly1305" }),
                "xray.proxy.shadowsocks.Account",
            ),
            (
                json!({ "protocol": "hysteria" }),
                json!({ "auth": "word" }),
                "xray.proxy.hysteria.account.Account",
            ),
        ] {
            let mut inbound_json = settings.clone();
            inbound_json["tag"] = "in".into();
            let account = Account::at(&inbound(inbound_json), &proxies())
                .unwrap()
                .expect("there are credentials");
            let mut expected = json!({ "email": "8.bob", "level": 0 });
            expected
                .as_object_mut()
                .unwrap()
                .extend(client.as_object().unwrap().clone());
            assert_eq!(account.client("8.bob"), expected);
            assert_eq!(account.message().r#type, name);
        }
    }

    #[test]
    fn credentials_that_are_missing_or_bad_concern_their_protocol_alone() {
        let [vmess, trojan] = ["vmess", "trojan"].map(|protocol| inbound(json!({ "tag": "in", "protocol": protocol })));
        let mut proxies = proxies();
        proxies.vmess = Some(Vmess { id: "no uuid".into() });
        assert_eq!(Account::at(&vmess, &proxies), Err(BadCredential::Id));
        assert!(Account::at(&trojan, &proxies).unwrap().is_some());
        // Newer panels set every message, even if there is nothing in it.
        proxies.vmess = Some(Vmess::default());
        assert_eq!(Account::at(&vmess, &proxies), Ok(None));
        proxies.vmess = None;
        assert_eq!(Account::at(&vmess, &proxies), Ok(None));
    }

    #[test]
    fn keys_of_shadowsocks_2022_are_kept_or_made() {
        let of = |method: &str, password: &str| {
            let json = json!({ "tag": "in", "protocol": "shadowsocks", "settings": { "method": method } });
            let mut proxies = proxies();
            proxies.shadowsocks = Some(Shadowsocks {
                password: password.into(),
                method: String::new(),
            });
            match Account::at(&inbound(json), &proxies).unwrap() {
                Some(Account::Shadowsocks2022 { key }) => key,
                other => panic!("{other:?}"),
            }
        };
        const AES_128: &str = "2022-blake3-aes-128-gcm";
        const AES_256: &str = "2022-blake3-aes-256-gcm";
        let of_16 = "AAECAwQFBgcICQoLDA0ODw==";
        assert_eq!(of(AES_128, of_16), of_16);
        // A key of another length is a password like any other.
        assert_eq!(of(AES_256, of_16), "MzuvnqDkNq3E46Aseo86eEnCXD6X/d3qzkHr7ct9fqg=");
        assert_eq!(of(AES_128, "secret"), "K7gNU3sdo+OL0wNhqoVWhg==");
        assert_eq!(of(AES_256, "secret"), "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=");
    }

    #[test]
    fn what_the_core_takes_from_nobody_is_refused() {
        let shadowsocks = inbound(json!({ "tag": "in", "protocol": "shadowsocks" }));
        let vless = |flow: &str, network: &str| {
            let stream = json!({ "network": network, "security": "tls" });
            let inbound = inbound(json!({ "tag": "in", "protocol": "vless", "streamSettings": stream }));
            let mut proxies = proxies();
            proxies.vless.as_mut().unwrap().flow = flow.into();
            Account::at(&inbound, &proxies)
        };
        for method in ["none", "rc4", ""] {
            let mut proxies = proxies();
            proxies.shadowsocks.as_mut().unwrap().method = method.into();
            assert_eq!(
                Account::at(&shadowsocks, &proxies),
                Err(BadCredential::Cipher),
                "{method}"
            );
        }
        assert_eq!(vless("xtls-rprx-vision-udp443", "tcp"), Err(BadCredential::Flow));
        assert!(vless("xtls-rprx-vision", "tcp").is_ok());
        assert!(
            vless("xtls-rprx-direct", "ws").is_ok(),
            "over this transport there is none"
        );
    }

    #[test]
    fn shadowsocks_2022_with_chacha_has_no_users() {
        let settings = json!({ "method": "2022-blake3-chacha20-poly1305" });
        let inbound = inbound(json!({ "tag": "in", "protocol": "shadowsocks", "settings": settings }));
        assert_eq!(Account::at(&inbound, &proxies()), Ok(None));
    }
}
