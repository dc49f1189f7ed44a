//! A configuration with its users, as the core reads it. They are written one after the other, never all of them held in another
//! form.

use super::{API_INBOUND, CoreConfig, METRICS, Ports};
use crate::driver::random;
use crate::node::gozargah::account::Account;
use crate::node::gozargah::inbound::{Inbound, Kind};
use crate::node::gozargah::users::Users;
use data_encoding::BASE64;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The name of a user who does not exist.
const NOBODY: &str = "kariz: nobody";

/// The JSON of `config` with `users` in the inbounds that take them, and what the node needs at `ports`.
pub(super) fn json(config: &CoreConfig, users: &Users, ports: Ports) -> Vec<u8> {
    let filled = Filled { config, users, ports };
    serde_json::to_vec(&filled).expect("keys are strings and memory takes every byte")
}

/// Writes the same for people, with a line for each value.
///
/// # Errors
/// Those of `to`.
pub(super) fn pretty(config: &CoreConfig, users: &Users, ports: Ports, to: &mut dyn Write) -> io::Result<()> {
    let indented = PrettyFormatter::with_indent(b"    ");
    let filled = Filled { config, users, ports };
    filled.serialize(&mut serde_json::Serializer::with_formatter(&mut *to, indented))?;
    to.write_all(b"\n")
}

/// The inbound that carries the core's API.
pub(super) fn api_inbound(port: u16) -> Value {
    json!({
        "listen": "127.0.0.1",
        "port": port,
        "protocol": "dokodemo-door",
        "settings": { "address": "127.0.0.1" },
        "tag": API_INBOUND,
    })
}

struct Filled<'a> {
    config: &'a CoreConfig,
    users: &'a Users,
    ports: Ports,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let measures = self.config.measures();
        for (key, value) in self
            .config
            .rest
            .iter()
            .filter(|(key, _)| !measures || *key != "metrics")
        {
            map.serialize_entry(key, value)?;
        }
        if measures {
            let listen = format!("127.0.0.1:{}", self.ports.metrics);
            map.serialize_entry("metrics", &json!({ "tag": METRICS, "listen": listen }))?;
        }
        map.serialize_entry("inbounds", &FilledInbounds(self))?;
        map.end()
    }
}

struct FilledInbounds<'a>(&'a Filled<'a>);

impl Serialize for FilledInbounds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Filled { config, users, ports } = self.0;
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&api_inbound(ports.api))?;
        for (json, inbound) in &config.inbounds {
            match (json, inbound) {
                (Value::Object(json), Some(inbound)) => {
                    list.serialize_element(&FilledInbound { json, inbound, users })?;
                }
                _ => list.serialize_element(json)?,
            }
        }
        list.end()
    }
}

struct FilledInbound<'a> {
    json: &'a Map<String, Value>,
    inbound: &'a Inbound,
    users: &'a Users,
}

impl Serialize for FilledInbound<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.json.iter().filter(|(key, _)| *key != "settings") {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("settings", &FilledSettings(self))?;
        map.end()
    }
}

struct FilledSettings<'a>(&'a FilledInbound<'a>);

impl Serialize for FilledSettings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let settings = self.0.json.get("settings").and_then(Value::as_object);
        for (key, value) in settings.into_iter().flatten().filter(|(key, _)| *key != "clients") {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("clients", &Clients(self.0))?;
        map.end()
    }
}

struct Clients<'a>(&'a FilledInbound<'a>);

impl Serialize for Clients<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FilledInbound { inbound, users, .. } = self.0;
        let mut clients = users
            .at(inbound)
            .map(|(email, account)| account.client(email))
            .peekable();
        let nobody = match clients.peek() {
            Some(_) => None,
            None => nobody(inbound),
        };
        serializer.collect_seq(clients.chain(nobody))
    }
}

/// Somebody whose key nobody has, for an inbound that would otherwise let in whoever knows the inbound's own key: Shadowsocks 2022
/// without users is open to that, and takes no users later.
fn nobody(inbound: &Inbound) -> Option<Value> {
    let Kind::Shadowsocks2022 { key_bytes } = inbound.kind else {
        return None;
    };
    let mut key = vec![0; key_bytes];
    random(&mut key);
    let key = BASE64.encode(&key);
    Some(Account::Shadowsocks2022 { key }.client(NOBODY))
}
