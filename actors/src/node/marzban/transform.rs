//! What the node makes of a panel's configuration before the core gets it (`spec/node-marzban.md`, 1.6).
//!
//! Everything that is not named here stays as it is: unknown keys, their order, and numbers.

use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::path::Path;

/// Tag of the inbound that carries the core's API.
const API_INBOUND: &str = "API_INBOUND";

/// Tag of the API itself: where rules send what comes in there.
const API: &str = "API";

/// What the node adds to every configuration, and what it takes out.
#[derive(Debug, Clone)]
pub(super) struct Additions<'a> {
    /// `XRAY_API_HOST`.
    pub(super) api_host: &'a str,
    /// `XRAY_API_PORT`.
    pub(super) api_port: u16,
    /// The node's own pair, which the API uses, too. A path that is no Unicode is named as well as JSON can.
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
    /// `INBOUNDS`: tags of the inbounds that stay; empty: all.
    pub(super) inbounds: &'a [String],
    /// The panel: besides this machine only it may use the API.
    pub(super) panel: IpAddr,
}

/// A configuration that is JSON, but not of a shape that can be one. The original answers 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misshapen {
    #[error("the configuration is not an object")]
    Configuration,
    #[error("`inbounds` is not a list")]
    Inbounds,
    #[error("an inbound is not an object")]
    Inbound,
    #[error("`routing` is not an object")]
    Routing,
    #[error("`routing.rules` is not a list")]
    Rules,
}

/// The configuration that the core gets.
///
/// Unlike the original it removes every stale inbound and rule, keeps what a `routing` without rules says, and takes
/// an `api` or a rule that is not an object for one that says nothing.
///
/// # Errors
///
/// See [`Misshapen`].
pub(super) fn transform(configuration: Value, with: &Additions<'_>) -> Result<Map<String, Value>, Misshapen> {
    let mut all = top(configuration)?;
    let api = json!({ "services": ["HandlerService", "StatsService", "LoggerService"], "tag": API });
    let old_api = all.insert("api".into(), api);
    all.insert("stats".into(), json!({}));

    let inbounds = list(&mut all, "inbounds").ok_or(Misshapen::Inbounds)?;
    if !inbounds.iter().all(Value::is_object) {
        return Err(Misshapen::Inbound);
    }
    inbounds.retain(|inbound| !is_api(inbound) && is_wanted(inbound, with.inbounds));
    inbounds.insert(0, api_inbound(with));

    let routing = all.entry("routing").or_insert_with(|| json!({}));
    let rules = list(routing.as_object_mut().ok_or(Misshapen::Routing)?, "rules").ok_or(Misshapen::Rules)?;
    if let Some(tag) = old_api
        .as_ref()
        .and_then(|api| api.get("tag"))
        .filter(|tag| is_true(tag))
    {
        rules.retain(|rule| rule.get("outboundTag") != Some(tag));
    }
    rules.insert(0, api_rule(with));
    Ok(all)
}

/// Raises a log level that would hide the line by which the core says that it is ready.
///
/// Only the spelling `logLevel` is looked at, as in the original.
///
/// # Errors
///
/// What is wrong with `log`, in Python's words. The original finds it out after it stopped the core that ran before.
pub(super) fn raise_log_level(configuration: &mut Map<String, Value>) -> Result<(), String> {
    let Some(log) = configuration.get_mut("log") else {
        return Ok(());
    };
    let python_type = match log {
        Value::Object(log) => {
            if let Some(level) = log
                .get_mut("logLevel")
                .filter(|level| *level == "none" || *level == "error")
            {
                *level = "warning".into();
            }
            return Ok(());
        }
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
    };
    Err(format!("'{python_type}' object has no attribute 'get'"))
}

/// An object, or what Python makes one of: a list of pairs, each of a name and a value.
///
/// Python would also take strings of two characters and objects of two keys for pairs, and names that are no strings.
/// No panel sends that.
fn top(configuration: Value) -> Result<Map<String, Value>, Misshapen> {
    let pair = |pair: Value| match pair {
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::String(name), value]) => Ok((name, value)),
            _ => Err(Misshapen::Configuration),
        },
        _ => Err(Misshapen::Configuration),
    };
    match configuration {
        Value::Object(all) => Ok(all),
        Value::Array(pairs) => pairs.into_iter().map(pair).collect(),
        _ => Err(Misshapen::Configuration),
    }
}

/// The list of this name, made if there is none.
fn list<'a>(object: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Vec<Value>> {
    object.entry(name).or_insert_with(|| json!([])).as_array_mut()
}

fn is_api(inbound: &Value) -> bool {
    inbound["protocol"] == "dokodemo-door" && inbound["tag"] == API_INBOUND
}

fn is_wanted(inbound: &Value, tags: &[String]) -> bool {
    tags.is_empty()
        || inbound["tag"]
            .as_str()
            .is_some_and(|tag| tags.iter().any(|wanted| wanted == tag))
}

/// What Python takes for true: everything but nothing, zero and what is empty.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn api_inbound(with: &Additions<'_>) -> Value {
    json!({
        "listen": with.api_host,
        "port": with.api_port,
        "protocol": "dokodemo-door",
        "settings": { "address": "127.0.0.1" },
        "streamSettings": {
            "security": "tls",
            "tlsSettings": {
                "certificates": [{
                    "certificateFile": with.certificate.to_string_lossy(),
                    "keyFile": with.key.to_string_lossy(),
                }],
            },
        },
        "tag": API_INBOUND,
    })
}

fn api_rule(with: &Additions<'_>) -> Value {
    json!({
        "inboundTag": [API_INBOUND],
        // The core compares addresses: one in IPv6 clothes would match nothing.
        "source": ["127.0.0.1", with.panel.to_canonical().to_string()],
        "outboundTag": API,
        "type": "field",
    })
}
