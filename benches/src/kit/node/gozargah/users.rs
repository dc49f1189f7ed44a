//! The users of these measurements, as a panel has them and as the core's configuration has them.

use kariz_proto::panel::{Proxy, Shadowsocks, Trojan, User, Vless, Vmess};
use serde_json::{Value, json};

/// How many there are, each in every inbound.
pub(super) const USERS: u32 = 10_000;

/// The protocols of the inbounds, which are their tags, too.
pub(super) const PROTOCOLS: [&str; 4] = ["vmess", "vless", "trojan", "shadowsocks"];

/// Of all Shadowsocks users.
const METHOD: &str = "chacha20-ietf-poly1305";

/// A user, before or after he got new credentials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Someone {
    pub(super) number: u32,
    pub(super) is_new: bool,
}

impl Someone {
    /// All of them; those with a number below `new` have new credentials.
    pub(super) fn all(new: u32) -> impl Iterator<Item = Self> {
        (0..USERS).map(move |number| Self {
            number,
            is_new: number < new,
        })
    }

    pub(super) fn id(self) -> u128 {
        let [old, new] = [
            0x0f8f_ad5b_d9cb_469f_a165_0000_0000_0000,
            0x1f8f_ad5b_d9cb_469f_a165_0000_0000_0000,
        ];
        (if self.is_new { new } else { old }) + u128::from(self.number)
    }

    /// As a panel sends him.
    pub(super) fn message(self) -> User {
        let (id, password) = (self.id_text(), self.password());
        User {
            email: self.email(),
            proxies: Some(Proxy {
                vmess: Some(Vmess { id: id.clone() }),
                vless: Some(Vless {
                    id,
                    flow: String::new(),
                }),
                trojan: Some(Trojan {
                    password: password.clone(),
                }),
                shadowsocks: Some(Shadowsocks {
                    password,
                    method: METHOD.into(),
                }),
                ..Proxy::default()
            }),
            inbounds: PROTOCOLS.map(str::to_owned).into(),
        }
    }

    /// As the configuration of an inbound has him.
    pub(super) fn client(self, protocol: &str) -> Value {
        let email = self.email();
        match protocol {
            "trojan" => json!({ "email": email, "level": 0, "password": self.password() }),
            "shadowsocks" => json!({ "email": email, "level": 0, "password": self.password(), "method": METHOD }),
            _ => json!({ "email": email, "level": 0, "id": self.id_text() }),
        }
    }

    fn email(self) -> String {
        format!("{number}.user{number}", number = self.number)
    }

    fn id_text(self) -> String {
        let id = self.id();
        let part = |shift: u32, bits: u32| (id >> shift) & ((1 << bits) - 1);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }

    fn password(self) -> String {
        format!("{:032x}", !self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_credentials_are_others() {
        let [old, new] = [false, true].map(|is_new| Someone { number: 10, is_new });
        assert_eq!(old.id_text(), "0f8fad5b-d9cb-469f-a165-00000000000a");
        let (before, after) = (old.message(), new.message());
        assert_eq!(before.email, after.email);
        let (before, after) = (before.proxies.unwrap(), after.proxies.unwrap());
        assert!(before.vmess != after.vmess && before.trojan != after.trojan);
    }

    #[test]
    fn panel_and_core_mean_the_same() {
        let someone = Someone {
            number: 7,
            is_new: false,
        };
        let proxies = someone.message().proxies.unwrap();
        assert_eq!(someone.client("vless")["id"], proxies.vless.unwrap().id);
        assert_eq!(someone.client("trojan")["password"], proxies.trojan.unwrap().password);
        assert_eq!(Someone::all(10).filter(|someone| someone.is_new).count(), 10);
    }
}
