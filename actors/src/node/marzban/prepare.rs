//! From the text that a panel sends to what the core reads.

use super::ascii;
use super::read_json::{self, Unreadable};
use super::transform::{self, Additions};
use crate::node::core::{Fingerprint, Prepared, sockets};
use crate::node::settings::Settings;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Why there is nothing for the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The text is no JSON: the body of a 422.
    NoJson(String),
    /// It is JSON to Python, but not to the core: the detail of a 503.
    NotForTheCore(String),
    /// It is JSON, but no configuration: a 500, as in the original.
    Misshapen(String),
}

/// Reads a configuration and makes of it what the core gets (`spec/node-marzban.md`, 1.6).
///
/// # Errors
/// See [`Unusable`].
pub(super) fn prepare(config: &str, settings: &Settings, panel: IpAddr) -> Result<Prepared, Unusable> {
    let value = read_json::read(config).map_err(|unreadable| match &unreadable {
        Unreadable::Complaint(complaint) => {
            let text = format!("Failed to decode config: {complaint}");
            Unusable::NoJson(json!({ "detail": { "config": text } }).to_string())
        }
        Unreadable::NotForTheCore => Unusable::NotForTheCore(format!("Failed to start: {unreadable}")),
        Unreadable::TooDeep => Unusable::Misshapen(unreadable.to_string()),
    })?;
    let additions = Additions {
        api_host: &settings.api_host,
        api_port: settings.api_port,
        certificate: &settings.files.certificate,
        key: &settings.files.key,
        inbounds: &settings.inbounds,
        panel,
    };
    let mut config =
        transform::transform(value, &additions).map_err(|misshapen| Unusable::Misshapen(misshapen.to_string()))?;
    let json = transform::raise_log_level(&mut config).map(|()| ascii::to_ascii(&config));
    let fingerprint = match &json {
        Ok(json) if settings.soft_takeover => Some(Fingerprint::of(json)),
        _ => None,
    };
    let inbounds = config.get("inbounds").and_then(Value::as_array);
    Ok(Prepared {
        json,
        fingerprint,
        sockets: sockets::of(inbounds.into_iter().flatten()),
    })
}
