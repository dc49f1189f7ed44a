//! The configuration that a panel sends apart from its users, and the same with them, as a node makes it.

use super::users::{PROTOCOLS, Someone};
use crate::kit::node::loopback;
use anyhow::Result;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A port to which the core lets nobody through: whoever asks for it is counted, and let go.
pub(super) const CLOSED_PORT: u16 = 9;

/// Where a core listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Config {
    /// One for each of [`PROTOCOLS`].
    inbounds: [SocketAddr; 4],
}

impl Config {
    /// On addresses that nobody uses.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            inbounds: [loopback()?, loopback()?, loopback()?, loopback()?],
        })
    }

    /// Where VLESS is.
    pub(super) fn vless(&self) -> SocketAddr {
        self.inbounds[1]
    }

    /// What a panel sends.
    pub(super) fn of_panel(&self) -> String {
        self.with(None, |_| json!([])).to_string()
    }

    /// What a node makes of it: all users in every inbound, and the core's API at `api`.
    pub(super) fn of_core(&self, api: SocketAddr) -> String {
        let door = json!({
            "tag": "API_INBOUND", "listen": api.ip(), "port": api.port(), "protocol": "dokodemo-door",
            "settings": { "address": "127.0.0.1" },
        });
        let clients = |protocol: &str| Someone::all(0).map(|someone| someone.client(protocol)).collect();
        self.with(Some(door), clients).to_string()
    }

    fn with(&self, api: Option<Value>, clients: impl Fn(&str) -> Value) -> Value {
        let inbound = |(protocol, address): (&str, SocketAddr)| {
            let mut settings = json!({ "clients": clients(protocol) });
            match protocol {
                "vless" => settings["decryption"] = "none".into(),
                "shadowsocks" => settings["network"] = "tcp".into(),
                _ => {}
            }
            json!({
                "tag": protocol, "listen": address.ip(), "port": address.port(), "protocol": protocol,
                "settings": settings, "streamSettings": { "network": "tcp", "security": "none" },
            })
        };
        let of_users = PROTOCOLS.into_iter().zip(self.inbounds).map(inbound);
        let api_rule = json!({ "type": "field", "inboundTag": ["API_INBOUND"], "outboundTag": "API" });
        let closed = json!({ "type": "field", "port": CLOSED_PORT.to_string(), "outboundTag": "BLOCK" });
        let rules: Vec<Value> = api.iter().map(|_| api_rule.clone()).chain([closed]).collect();
        json!({
            "log": { "loglevel": "warning" },
            "api": { "services": ["HandlerService", "StatsService", "LoggerService"], "tag": "API" },
            "stats": {},
            "policy": {
                "levels": { "0": { "statsUserUplink": true, "statsUserDownlink": true } },
                "system": { "statsOutboundUplink": true, "statsOutboundDownlink": true },
            },
            "routing": { "rules": rules },
            "inbounds": api.into_iter().chain(of_users).collect::<Vec<_>>(),
            "outbounds": [
                { "tag": "DIRECT", "protocol": "freedom" },
                { "tag": "BLOCK", "protocol": "blackhole" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::users::USERS;
    use super::*;

    #[test]
    fn panel_and_core_differ_by_users_and_api() {
        let config = Config::new().unwrap();
        let read = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
        let panel = read(config.of_panel());
        let core = read(config.of_core("127.0.0.1:1".parse().unwrap()));
        let inbounds = |value: &Value| value["inbounds"].as_array().unwrap().len();
        assert_eq!((inbounds(&panel), inbounds(&core)), (4, 5));
        assert_eq!(panel["inbounds"][3]["settings"]["clients"], json!([]));
        let clients = core["inbounds"][4]["settings"]["clients"].as_array().unwrap();
        assert_eq!(clients.len(), USERS as usize);
        assert_eq!(panel["outbounds"], core["outbounds"]);
    }
}
