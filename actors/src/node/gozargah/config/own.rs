//! What the node puts into a panel's configuration, and what it takes out.

use super::{API, API_INBOUND, BadConfig, OBSERVATORIES};
use crate::node::gozargah::log_files::LogPaths;
use serde_json::{Map, Value, json};

/// The object of this name, made if there is none.
fn object<'a>(parent: &'a mut Map<String, Value>, name: &'static str) -> Result<&'a mut Map<String, Value>, BadConfig> {
    let value = parent.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or(BadConfig::Map(name))
}

/// The API with its rule before all others. Rules of the panel to an API of that name go, all others stay.
pub(super) fn add_api(rest: &mut Map<String, Value>) -> Result<(), BadConfig> {
    let services = ["HandlerService", "StatsService", "LoggerService"];
    rest.insert("api".into(), json!({ "services": services, "tag": API }));
    let routing = object(rest, "routing")?;
    let rules = routing.entry("rules").or_insert_with(|| json!([]));
    if rules.is_null() {
        *rules = json!([]);
    }
    let rules = rules.as_array_mut().ok_or(BadConfig::List("routing.rules"))?;
    rules.retain(|rule| rule["outboundTag"] != API);
    let rule = json!({ "type": "field", "inboundTag": [API_INBOUND], "source": ["127.0.0.1"], "outboundTag": API });
    rules.insert(0, rule);
    Ok(())
}

/// Tag of the rule of [`guard_names`].
const NAME_GUARD: &str = "PG_NODE_MALFORMED_DOMAIN_GUARD";

/// Names that are too long: all together, in one label, and in letters that have more than a byte.
const LONG_NAMES: [&str; 3] = [
    "regexp:(?s)^.{254}",
    "regexp:[^.]{64}",
    r"regexp:(?s).{32}[^\x00-\x7f]|[^\x00-\x7f].{32}",
];

/// What a host is that there is not (RFC 1035, 4.1.1: name error).
const NO_SUCH_NAME: &str = "#3";

/// A name that is too long ends the core of the user who asks for it, and of all others: up to 26.3.27 it panics when it makes a
/// question of more than 255 bytes for its DNS (RFC 1035, 2.3.4). So its DNS, where the panel has it use one, knows of such names
/// that there are none; and if the panel has an outbound that leads nowhere, a rule behind the API's sends them there before that.
pub(super) fn guard_names(rest: &mut Map<String, Value>) {
    if let Some(Value::Object(dns)) = rest.get_mut("dns")
        && let Ok(hosts) = object(dns, "hosts")
    {
        hosts.extend(LONG_NAMES.map(|name| (name.to_owned(), NO_SUCH_NAME.into())));
    }
    let outbounds = rest.get("outbounds").and_then(Value::as_array);
    let nowhere = outbounds
        .into_iter()
        .flatten()
        .filter(|outbound| is_protocol(outbound, "blackhole"))
        .find_map(|outbound| outbound["tag"].as_str().filter(|tag| !tag.is_empty()));
    let Some(nowhere) = nowhere.map(ToOwned::to_owned) else {
        return;
    };
    let rules = rest.get_mut("routing").and_then(|routing| routing.get_mut("rules"));
    let Some(rules) = rules.and_then(Value::as_array_mut) else {
        return;
    };
    rules.retain(|rule| rule["ruleTag"] != NAME_GUARD);
    let rule = json!({ "type": "field", "ruleTag": NAME_GUARD, "domain": LONG_NAMES, "outboundTag": nowhere });
    rules.insert(1.min(rules.len()), rule);
}

/// Whether an outbound is of this protocol, which the core takes in any case.
fn is_protocol(outbound: &Value, protocol: &str) -> bool {
    let is = outbound["protocol"].as_str();
    is.is_some_and(|is| is.eq_ignore_ascii_case(protocol))
}

/// What is counted: every user, and every outbound.
pub(super) fn add_counters(rest: &mut Map<String, Value>) -> Result<(), BadConfig> {
    object(rest, "stats")?;
    let policy = object(rest, "policy")?;
    let level = object(object(policy, "levels")?, "0")?;
    for counter in ["statsUserUplink", "statsUserDownlink"] {
        level.insert(counter.into(), true.into());
    }
    let system = object(policy, "system")?;
    for counter in ["statsOutboundUplink", "statsOutboundDownlink"] {
        system.insert(counter.into(), true.into());
    }
    Ok(())
}

/// Outbounds that reach nothing are not watched: they would be dead for ever.
pub(super) fn watch_outbounds(rest: &mut Map<String, Value>) {
    let outbounds = rest.get("outbounds").and_then(Value::as_array);
    let idle: Vec<String> = outbounds
        .into_iter()
        .flatten()
        .filter(|outbound| {
            ["blackhole", "dns", "loopback"]
                .iter()
                .any(|idle| is_protocol(outbound, idle))
        })
        .filter_map(|outbound| outbound["tag"].as_str().map(ToOwned::to_owned))
        .collect();
    for observatory in OBSERVATORIES {
        let selector = rest.get_mut(observatory).and_then(|it| it.get_mut("subjectSelector"));
        if let Some(selector) = selector.and_then(Value::as_array_mut) {
            selector.retain(|tag| !idle.iter().any(|idle| tag == idle));
        }
    }
}

/// At the levels `none` and `error` the core would not say that it has started. Its lines come to the node, which writes them to
/// the files that the panel named. The core takes `loglevel` in any case.
pub(super) fn take_log(rest: &mut Map<String, Value>) -> Result<LogPaths, BadConfig> {
    let log = object(rest, "log")?;
    let [access, error] = ["access", "error"].map(|file| {
        let key = log.keys().find(|key| key.eq_ignore_ascii_case(file)).cloned();
        key.and_then(|key| log.shift_remove(&key))
    });
    let level = log.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case("loglevel"));
    match level {
        Some((_, level)) if *level == "none" || *level == "error" => *level = "warning".into(),
        Some(_) => {}
        None => {
            log.insert("loglevel".into(), "info".into());
        }
    }
    let path = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(ToOwned::to_owned);
    Ok(LogPaths::new(path(&access).as_deref(), path(&error).as_deref()))
}
