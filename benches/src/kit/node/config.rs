//! A configuration as a panel sends it: its own API inbound first, then inbounds with users.

use serde_json::{Value, json};
use std::net::SocketAddr;

/// Users of the big configuration, each in every inbound.
pub(crate) const USERS_OF_A_TEST: u32 = 10_000;

/// What a panel wants its node to run.
#[derive(Debug)]
pub(crate) struct PanelConfig<'a> {
    /// Users in every inbound.
    pub(crate) users: u32,
    /// Where the inbounds listen. They open one after the other.
    pub(crate) inbounds: &'a [SocketAddr],
}

impl PanelConfig<'_> {
    /// The text that goes into a request.
    pub(crate) fn text(&self) -> String {
        let clients: Vec<Value> = (0..self.users).map(client).collect();
        let stale = json!({
            "tag": "API_INBOUND", "listen": "127.0.0.1", "port": 8080, "protocol": "dokodemo-door",
            "settings": { "address": "127.0.0.1" },
        });
        let inbound = |(index, address): (usize, &SocketAddr)| {
            json!({
                "tag": format!("VLESS {index}"), "listen": address.ip(), "port": address.port(), "protocol": "vless",
                "settings": { "clients": clients, "decryption": "none" },
                "streamSettings": { "network": "tcp", "security": "none" },
            })
        };
        let inbounds: Vec<Value> = std::iter::once(stale)
            .chain(self.inbounds.iter().enumerate().map(inbound))
            .collect();
        json!({
            "log": { "loglevel": "warning" },
            "api": { "services": ["HandlerService", "StatsService", "LoggerService"], "tag": "API" },
            "inbounds": inbounds,
            "outbounds": [{ "tag": "DIRECT", "protocol": "freedom" }],
            "policy": { "levels": { "0": { "statsUserUplink": true, "statsUserDownlink": true } } },
            "routing": { "rules": [{ "type": "field", "inboundTag": ["API_INBOUND"], "outboundTag": "API" }] },
        })
        .to_string()
    }
}

fn client(number: u32) -> Value {
    json!({ "id": format!("0f8fad5b-d9cb-469f-a165-{number:012}"), "email": format!("{number}.user{number}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_inbound_has_every_user() {
        let inbounds = ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let config = PanelConfig {
            users: 3,
            inbounds: &inbounds,
        };
        let value: Value = serde_json::from_str(&config.text()).unwrap();
        let all = value["inbounds"].as_array().unwrap();
        assert_eq!(all.len(), 3, "the stale one of the panel, and two");
        assert_eq!(all[2]["settings"]["clients"][2]["email"], "2.user2");
        assert_eq!((all[1]["port"].as_u64(), all[2]["port"].as_u64()), (Some(1), Some(2)));
    }
}
