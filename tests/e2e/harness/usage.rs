//! What users moved, as panels ask for it.

use super::bridge::Bridge;
use super::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Bytes of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub uplink: u64,
    pub downlink: u64,
}

/// Bytes of users by their names.
pub type Usage = BTreeMap<String, Traffic>;

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.uplink += more.uplink;
        self.downlink += more.downlink;
    }
}

impl Traffic {
    /// An echo sends back what it gets.
    pub fn of_echo(bytes: u64) -> Self {
        Self {
            uplink: bytes,
            downlink: bytes,
        }
    }

    /// Whether neither number is less than that of `before`.
    pub fn is_not_less_than(self, before: Self) -> bool {
        self.uplink >= before.uplink && self.downlink >= before.downlink
    }
}

impl Bridge {
    /// What every user moved since it was last reset, and resets it if `reset`.
    pub async fn usage(&mut self, reset: bool) -> Result<Usage> {
        read(
            &self
                .ok(json!({ "do": "stats", "kind": "UsersStat", "name": "", "reset": reset }))
                .await?,
        )
    }

    /// The same of one user, who has moved nothing if the core does not know him.
    pub async fn usage_of(&mut self, email: &str, reset: bool) -> Result<Traffic> {
        let answer = self
            .ok(json!({ "do": "stats", "kind": "UserStat", "name": email, "reset": reset }))
            .await?;
        let usage = read(&answer)?;
        ensure!(
            usage.keys().all(|name| name == email),
            "somebody else is counted: {usage:?}"
        );
        Ok(usage.get(email).copied().unwrap_or_default())
    }
}

fn read(answer: &Value) -> Result<Usage> {
    let mut usage = Usage::new();
    for stat in answer["stats"].as_array().context("there are statistics")? {
        let name = stat["name"].as_str().context("a statistic has a name")?;
        let value: u64 = stat["value"].as_str().context("64 bits are text")?.parse()?;
        let of_user = usage.entry(name.to_owned()).or_default();
        match stat["type"].as_str() {
            Some("uplink") => of_user.uplink += value,
            Some("downlink") => of_user.downlink += value,
            _ => bail!("a direction was expected: {stat}"),
        }
    }
    Ok(usage)
}
