//! The core's configuration: the panel's, with the API and the users put in (`spec/node-panel.md`, 3.3 and 4.4).
//!
//! Everything that is not named here stays as the panel wrote it: unknown keys, their order, and numbers.

mod filled;
mod own;
mod private;

use super::inbound::{Inbound, Kind};
use super::log_files::LogPaths;
use super::users::Users;
use crate::node::core::sockets;
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::path::PathBuf;

/// Tag of the inbound that carries the core's API.
const API_INBOUND: &str = "API_INBOUND";

/// Tag of the API itself.
const API: &str = "API";

/// Tag of the core's metrics.
const METRICS: &str = "metric";

/// The parts of a configuration by which a core measures latencies.
const OBSERVATORIES: [&str; 2] = ["observatory", "burstObservatory"];

/// A panel's configuration, ready for users.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CoreConfig {
    /// All of it but the inbounds.
    rest: Map<String, Value>,
    /// The panel's inbounds; for those that take users, what they are.
    inbounds: Vec<(Value, Option<Inbound>)>,
    log_paths: LogPaths,
}

/// Ports of this machine for the core's own use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) api: u16,
    /// Used only by a core that measures latencies.
    pub(super) metrics: u16,
}

impl Ports {
    /// Whether a core did not start because somebody has taken one of them.
    pub(super) fn are_taken(self, reason: &str) -> bool {
        let taken = |port: u16| reason.contains(&format!(":{port}: bind: address already in use"));
        taken(self.api) || taken(self.metrics)
    }
}

/// Why a text is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadConfig {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("the configuration is not an object")]
    Top,
    #[error("`{0}` is not a list")]
    List(&'static str),
    #[error("`{0}` is not an object")]
    Map(&'static str),
}

impl CoreConfig {
    /// Reads what a panel sends. Inbounds whose tag is in `excluded` stay as they are and get no users.
    ///
    /// # Errors
    /// See [`BadConfig`].
    pub(super) fn read(text: &str, excluded: &[String]) -> Result<Self, BadConfig> {
        let Value::Object(mut rest) = serde_json::from_str(text)? else {
            return Err(BadConfig::Top);
        };
        let inbounds = match rest.remove("inbounds") {
            Some(Value::Array(inbounds)) => inbounds,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(BadConfig::List("inbounds")),
        };
        for tag in excluded {
            if !inbounds.iter().any(|inbound| inbound["tag"] == **tag) {
                tracing::warn!("the panel excludes the inbound {tag}, which its configuration does not have");
            }
        }
        let known = |inbound: Value| {
            let read = Inbound::read(&inbound).filter(|read| read.kind != Kind::Other && !excluded.contains(&read.tag));
            if let Some(Inbound {
                tag,
                kind: Kind::Shadowsocks2022WithoutUsers,
            }) = &read
            {
                tracing::warn!(
                    "the core lets the inbound {tag} have no users, only a key of its own: nobody is added there"
                );
            }
            (inbound, read)
        };
        let inbounds = inbounds
            .into_iter()
            .filter(|inbound| inbound["tag"] != API_INBOUND)
            .map(known)
            .collect();
        own::add_api(&mut rest)?;
        own::guard_names(&mut rest);
        own::add_counters(&mut rest)?;
        private::expand(&mut rest);
        own::watch_outbounds(&mut rest);
        let log_paths = own::take_log(&mut rest)?;
        Ok(Self {
            rest,
            inbounds,
            log_paths,
        })
    }

    /// The inbounds that take users.
    pub(super) fn inbounds(&self) -> impl Iterator<Item = &Inbound> {
        self.inbounds.iter().filter_map(|(_, inbound)| inbound.as_ref())
    }

    /// Whether the core measures latencies.
    pub(super) fn measures(&self) -> bool {
        OBSERVATORIES.iter().any(|name| self.rest.contains_key(*name))
    }

    /// The files that the panel wants the core's lines in.
    pub(super) fn log_paths(&self) -> &LogPaths {
        &self.log_paths
    }

    /// Unix sockets that the core listens on.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        sockets::of(self.inbounds.iter().map(|(inbound, _)| inbound))
    }

    /// What the core gets: its API and metrics at `ports`, and `users` in the inbounds that take them.
    pub(super) fn json(&self, users: &Users, ports: Ports) -> Vec<u8> {
        filled::json(self, users, ports)
    }

    /// Writes the same for people, with a line for each value.
    ///
    /// # Errors
    /// Those of `to`.
    pub(super) fn pretty(&self, users: &Users, ports: Ports, to: &mut dyn Write) -> io::Result<()> {
        filled::pretty(self, users, ports, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::panel::{Proxy, Trojan, User};
    use serde_json::json;

    const PORTS: Ports = Ports {
        api: 12_345,
        metrics: 12_346,
    };

    fn users() -> Users {
        let user = |email: &str, inbounds: &[&str]| User {
            email: email.into(),
            proxies: Some(Proxy {
                trojan: Some(Trojan {
                    password: "secret".into(),
                }),
                ..Proxy::default()
            }),
            inbounds: inbounds.iter().map(ToString::to_string).collect(),
        };
        Users::new([user("1.ann", &["a", "b"]), user("2.bob", &["b"])])
    }

    fn made_of(text: &str, excluded: &[&str]) -> Value {
        let excluded: Vec<_> = excluded.iter().map(ToString::to_string).collect();
        let config = CoreConfig::read(text, &excluded).unwrap();
        serde_json::from_slice(&config.json(&users(), PORTS)).unwrap()
    }

    fn emails(inbound: &Value) -> Vec<&str> {
        let clients = inbound["settings"]["clients"].as_array().expect("there are clients");
        clients.iter().map(|client| client["email"].as_str().unwrap()).collect()
    }

    #[test]
    fn users_take_the_place_of_clients_and_everything_else_stays() {
        let text = r#"{
            "unknown": {"z": 1.50, "a": 12345678901234567890123},
            "inbounds": [
                {"tag": "API_INBOUND", "protocol": "trojan"},
                {"tag": "a", "port": 1, "protocol": "trojan", "settings": {"clients": [{"password": "old"}], "more": [1]}, "sniffing": {}},
                {"tag": "b", "port": 2, "protocol": "trojan"},
                {"tag": "door", "protocol": "dokodemo-door", "settings": {"address": "1.1.1.1"}},
                {"tag": "c", "protocol": "trojan", "settings": {"clients": [{"password": "static"}]}}
            ],
            "outbounds": [{"protocol": "freedom"}]
        }"#;
        let made = made_of(text, &["c"]);
        let inbounds = made["inbounds"].as_array().unwrap();
        assert_eq!(inbounds.len(), 5);
        assert_eq!(
            inbounds[0],
            filled::api_inbound(PORTS.api),
            "the API comes first, and no other of its name is left"
        );
        assert_eq!(emails(&inbounds[1]), ["1.ann"]);
        assert_eq!(
            (&inbounds[1]["settings"]["more"], &inbounds[1]["sniffing"]),
            (&json!([1]), &json!({}))
        );
        assert_eq!(emails(&inbounds[2]), ["1.ann", "2.bob"]);
        assert_eq!(
            inbounds[3]["settings"],
            json!({ "address": "1.1.1.1" }),
            "a door has no users"
        );
        assert_eq!(
            inbounds[4]["settings"]["clients"],
            json!([{ "password": "static" }]),
            "it is excluded"
        );
        assert_eq!(made["unknown"].to_string(), r#"{"z":1.50,"a":12345678901234567890123}"#);
    }

    #[test]
    fn an_inbound_without_users_has_no_clients_rather_than_old_ones() {
        let made = made_of(
            r#"{"inbounds": [{"tag": "x", "protocol": "vless", "settings": {"clients": [1]}}]}"#,
            &[],
        );
        assert_eq!(made["inbounds"][1]["settings"]["clients"], json!([]));
    }

    #[test]
    fn shadowsocks_2022_without_users_is_not_open_to_whoever_has_its_key() {
        let inbound = |method: &str| {
            let settings = format!(r#"{{"method": "2022-blake3-{method}", "password": "x"}}"#);
            let text =
                format!(r#"{{"inbounds": [{{"tag": "x", "protocol": "shadowsocks", "settings": {settings}}}]}}"#);
            made_of(&text, &[])["inbounds"][1]["settings"]["clients"].clone()
        };
        for (method, bytes) in [("aes-128-gcm", 16), ("aes-256-gcm", 32)] {
            let (one, other) = (inbound(method), inbound(method));
            let key = one[0]["password"].as_str().unwrap();
            assert_eq!(data_encoding::BASE64.decode(key.as_bytes()).unwrap().len(), bytes);
            assert_ne!(one, other, "it is random");
        }
        assert_eq!(inbound("chacha20-poly1305"), json!([]));
    }

    #[test]
    fn the_panels_routing_rules_stay() {
        let text = r#"{"api": {"tag": "other"}, "routing": {"domainStrategy": "AsIs", "rules": [
            {"outboundTag": "API", "inboundTag": ["x"]}, {"outboundTag": "direct", "ip": ["geoip:cn"]}]}}"#;
        let made = made_of(text, &[]);
        let rules = made["routing"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0]["inboundTag"], json!([API_INBOUND]));
        assert_eq!(rules[1], json!({ "outboundTag": "direct", "ip": ["geoip:cn"] }));
        assert_eq!(made["routing"]["domainStrategy"], "AsIs");
        assert_eq!(made["api"]["tag"], API);
    }

    #[test]
    fn names_that_cores_fall_over_lead_nowhere() {
        let made = |outbounds: &str| {
            let rules =
                r#"[{"ruleTag": "PG_NODE_MALFORMED_DOMAIN_GUARD", "outboundTag": "x"}, {"outboundTag": "direct"}]"#;
            let made = made_of(
                &format!(r#"{{"outbounds": {outbounds}, "routing": {{"rules": {rules}}}}}"#),
                &[],
            );
            made["routing"]["rules"].as_array().unwrap().clone()
        };
        let rules =
            made(r#"[{"protocol": "freedom"}, {"protocol": "blackhole"}, {"tag": "B", "protocol": "Blackhole"}]"#);
        assert_eq!(
            (&rules[0]["outboundTag"], &rules[2]["outboundTag"]),
            (&json!(API), &json!("direct"))
        );
        assert_eq!(
            (&rules[1]["outboundTag"], rules.len()),
            (&json!("B"), 3),
            "there is one guard, behind the API"
        );
        let rules = made(r#"[{"protocol": "freedom"}]"#);
        assert_eq!(
            rules[1]["outboundTag"], "x",
            "what the panel has stays where there is nothing to lead to"
        );
    }

    #[test]
    fn the_cores_dns_knows_of_long_names_that_there_are_none() {
        let hosts = |dns: &str| made_of(&format!(r#"{{"dns": {dns}}}"#), &[])["dns"]["hosts"].clone();
        let made = hosts(r#"{"servers": ["1.1.1.1"], "hosts": {"a.example": "192.0.2.1"}}"#);
        assert_eq!(made["a.example"], "192.0.2.1");
        assert_eq!(made["regexp:(?s)^.{254}"], "#3");
        assert_eq!(hosts("{}").as_object().map(Map::len), Some(3));
        assert_eq!(made_of("{}", &[])["dns"], Value::Null, "the machine's DNS is asked");
        assert_eq!(made_of(r#"{"dns": 1}"#, &[])["dns"], 1);
    }

    #[test]
    fn users_and_outbounds_are_counted_and_the_rest_of_the_policy_stays() {
        let text = r#"{"policy": {"levels": {"0": {"statsUserOnline": true, "handshake": 4}, "1": {}},
            "system": {"statsInboundUplink": true}}, "stats": null}"#;
        let made = made_of(text, &[]);
        let level = &made["policy"]["levels"]["0"];
        assert_eq!(
            level,
            &json!({ "statsUserOnline": true, "handshake": 4, "statsUserUplink": true, "statsUserDownlink": true })
        );
        assert_eq!(
            made["policy"]["system"],
            json!({ "statsInboundUplink": true, "statsOutboundUplink": true, "statsOutboundDownlink": true })
        );
        assert_eq!(made["stats"], json!({}));
    }

    #[test]
    fn the_core_says_that_it_starts_and_says_it_to_the_node() {
        for (log, expected) in [
            ("{}", r#"{"loglevel":"info"}"#),
            (
                r#"{"loglevel":"none","access":"/x","dnsLog":true}"#,
                r#"{"loglevel":"warning","dnsLog":true}"#,
            ),
            (r#"{"logLevel":"error","Error":"/x"}"#, r#"{"logLevel":"warning"}"#),
            (r#"{"loglevel":"debug"}"#, r#"{"loglevel":"debug"}"#),
        ] {
            let made = made_of(&format!(r#"{{"log": {log}}}"#), &[]);
            assert_eq!(made["log"], serde_json::from_str::<Value>(expected).unwrap());
        }
        assert_eq!(made_of("{}", &[])["log"], json!({ "loglevel": "info" }));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (text, words) in [
            ("{", "EOF while parsing"),
            ("[]", "the configuration is not an object"),
            (r#"{"inbounds": 1}"#, "`inbounds` is not a list"),
            (r#"{"routing": {"rules": {}}}"#, "`routing.rules` is not a list"),
            (r#"{"policy": []}"#, "`policy` is not an object"),
            (r#"{"policy": {"levels": {"0": 1}}}"#, "`0` is not an object"),
        ] {
            let error = CoreConfig::read(text, &[]).unwrap_err().to_string();
            assert!(error.starts_with(words), "{text}: {error}");
        }
    }

    #[test]
    fn files_of_the_log_are_the_nodes_business() {
        let config = CoreConfig::read(r#"{"log": {"Access": "/a.log", "error": "none"}}"#, &[]).unwrap();
        assert_eq!(*config.log_paths(), LogPaths::new(Some("/a.log"), None));
        assert_eq!(
            made_of(r#"{"log": {"access": 1}}"#, &[])["log"],
            json!({ "loglevel": "info" })
        );
    }

    #[test]
    fn a_core_with_an_observatory_tells_its_metrics() {
        assert_eq!(made_of("{}", &[])["metrics"], Value::Null);
        assert_eq!(
            made_of(r#"{"metrics": {"tag": "mine"}}"#, &[])["metrics"],
            json!({ "tag": "mine" }),
            "the panel's own, without an observatory"
        );
        let text = r#"{"observatory": {"subjectSelector": ["out", "hole", "o"], "probeInterval": "10s"}, "metrics": {"tag": "mine"},
            "outbounds": [{"tag": "out", "protocol": "freedom"}, {"tag": "hole", "protocol": "blackhole"}]}"#;
        let made = made_of(text, &[]);
        assert_eq!(made["metrics"], json!({ "tag": "metric", "listen": "127.0.0.1:12346" }));
        assert_eq!(made["observatory"]["subjectSelector"], json!(["out", "o"]));
        assert!(CoreConfig::read(text, &[]).unwrap().measures());
    }

    #[test]
    fn people_can_read_it() {
        let text = r#"{"x":{"c":[]},"a":1.50,"inbounds":[{"tag":"b","protocol":"trojan"}]}"#;
        let config = CoreConfig::read(text, &[]).unwrap();
        let mut pretty = Vec::new();
        config.pretty(&users(), PORTS, &mut pretty).unwrap();
        let (pretty, plain) = (String::from_utf8(pretty).unwrap(), config.json(&users(), PORTS));
        assert!(
            pretty.contains("\n    \"x\": {\n        \"c\": []\n    },\n    \"a\": 1.50,\n"),
            "{pretty}"
        );
        assert!(pretty.starts_with("{\n") && pretty.ends_with("\n}\n"), "{pretty}");
        let [pretty, plain] = [pretty.as_bytes(), &plain].map(|json| serde_json::from_slice::<Value>(json).unwrap());
        assert_eq!(pretty, plain);
    }
}
