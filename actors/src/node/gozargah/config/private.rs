//! Networks that are no part of the internet, in place of their name: a core without lists of countries knows them, too
//! (`spec/node-panel.md`, 4.4).

use serde_json::{Map, Value};

/// What panels call them.
const NAME: &str = "geoip:private";

/// The networks (RFC 6890 and the registries that it began).
const NETWORKS: [&str; 21] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Writes them out in the rules of `routing`, where they are a target or a source.
pub(super) fn expand(config: &mut Map<String, Value>) {
    let rules = config.get_mut("routing").and_then(|routing| routing.get_mut("rules"));
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        for key in ["ip", "source"] {
            if let Some(list) = rule.get_mut(key).and_then(Value::as_array_mut) {
                expand_list(list);
            }
        }
    }
}

fn expand_list(list: &mut Vec<Value>) {
    let place = list.iter().position(|entry| *entry == NAME);
    list.retain(|entry| *entry != NAME);
    if let Some(place) = place {
        list.splice(place..place, NETWORKS.map(Value::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn private_networks_are_written_out_in_their_place() {
        let rules = json!([{ "ip": ["1.1.1.1", NAME, "geoip:cn"], "source": [NAME, NAME] }, { "domain": [NAME] }, 5]);
        let mut config = Map::from_iter([("routing".to_owned(), json!({ "rules": rules }))]);
        expand(&mut config);
        let rules = &config["routing"]["rules"];
        let ip = rules[0]["ip"].as_array().unwrap();
        assert_eq!(
            (ip.len(), &ip[0], &ip[1]),
            (2 + NETWORKS.len(), &json!("1.1.1.1"), &json!(NETWORKS[0]))
        );
        assert_eq!(ip.last(), Some(&json!("geoip:cn")));
        assert_eq!(rules[0]["source"], json!(NETWORKS));
        assert_eq!(rules[1], json!({ "domain": [NAME] }));
    }
}
