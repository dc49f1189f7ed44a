//! What a node with a running core says when it is asked for it.

use super::{BYTES, Stage, until};
use crate::harness::bridge::{Bridge, Library};
use crate::harness::protocol::Protocol;
use crate::harness::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The same as at the start, from the node and from the library's memory, which holds the node for healthy.
pub(super) async fn versions(panel: &mut Bridge, started: &Value) -> Result<()> {
    /// The number of the library's constant.
    const HEALTHY: u64 = 2;
    let info = panel.ok(json!({ "do": "info" })).await?;
    let known = panel.ok(json!({ "do": "known" })).await?;
    ensure!(
        started["started"] == true && info["started"] == true,
        "{started} {info}"
    );
    for version in ["node_version", "core_version"] {
        let told = &started[version];
        ensure!(told.as_str().is_some_and(|told| !told.is_empty()), "{started}");
        ensure!(
            info[version] == *told && known[version] == *told,
            "{started} {info} {known}"
        );
    }
    // Too many users whom the node did not take, and the library asks for a reset.
    ensure!(
        known["get_health"] == HEALTHY && known["requires_hard_reset"] != true,
        "{known}"
    );
    Ok(())
}

/// The line of the user's connection.
pub(super) async fn log(panel: &mut Bridge, echo: SocketAddr, email: &str) -> Result<()> {
    panel.ok(json!({ "do": "follow" })).await?;
    let accepted = format!("accepted tcp:{echo} ");
    let lines = panel.ok(json!({ "do": "lines", "until": accepted })).await?;
    let lines = lines.as_array().context("lines are a list")?;
    let found = lines
        .iter()
        .filter_map(Value::as_str)
        .any(|line| line.contains(&accepted) && line.ends_with(email));
    ensure!(found, "{lines:?}");
    Ok(())
}

/// Memory and cores, and a core that works.
pub(super) async fn machine(panel: &mut Bridge) -> Result<()> {
    let seen = |machine: &Value| {
        let figures = ["mem_total", "mem_used", "cpu_cores"].map(|figure| machine[figure].as_str());
        figures.iter().all(|figure| figure.is_some_and(|figure| figure != "0"))
    };
    until(panel, json!({ "do": "system" }), seen).await?;
    let backend = panel.ok(json!({ "do": "backend" })).await?;
    ensure!(
        backend["num_goroutine"].as_u64() > Some(0) && backend["live_objects"] != "0",
        "{backend}"
    );
    Ok(())
}

/// The user has a connection, from `source` alone.
pub(super) async fn online(panel: &mut Bridge, email: &str, source: IpAddr) -> Result<()> {
    let has_one = |answer: &Value| answer["name"] == email && figure(&answer["value"]) >= Some(1);
    until(panel, json!({ "do": "online", "email": email }), has_one).await?;
    let answer = panel.ok(json!({ "do": "online_ips", "email": email })).await?;
    let ips = answer["ips"].as_object().context("there are addresses")?;
    let since = ips.get(&source.to_string()).and_then(figure);
    ensure!(answer["name"] == email && ips.len() == 1 && since > Some(0), "{answer}");
    let (code, text) = panel.refused(json!({ "do": "online_ips", "email": "nobody" })).await?;
    ensure!(text.contains("user>>>nobody>>>online not found."), "{code} {text}");
    Ok(())
}

/// What the user moved: at his own name, at those of his inbound and outbound, and in the lists of all of each kind.
pub(super) async fn statistics(stage: &mut Stage, library: Library, email: &str) -> Result<()> {
    let [used, idle] = [Protocol::Vless, Protocol::Trojan].map(Protocol::tag);
    let ask =
        |kind: &str, name: &str, reset: bool| json!({ "do": "stats", "kind": kind, "name": name, "reset": reset });
    // The name of each that has the traffic, and of others that are in the list.
    for (kind, name, others) in [
        ("Outbound", "DIRECT", None),
        ("Outbounds", "DIRECT", Some("HOLE")),
        ("Inbound", used, None),
        ("Inbounds", used, Some(idle)),
        ("UserStat", email, None),
        ("UsersStat", email, None),
    ] {
        let layout = Layout::of(library, kind);
        // What the kernel hands on at an inbound, the core does not count there: maybe none of it.
        let least = if kind.starts_with("Inbound") { 0 } else { BYTES };
        let counted = |answer: &Value| {
            layout
                .both(answer, name)
                .is_some_and(|[up, down]| up >= BYTES && down >= least)
        };
        let alone = matches!(kind, "Outbound" | "Inbound" | "UserStat");
        let asked = if alone { name } else { "" };
        let answer = until(&mut stage.panel, ask(kind, asked, false), counted).await?;
        let names = names(&answer);
        ensure!(!alone || names == BTreeSet::from([name]), "{kind} of {name}: {answer}");
        ensure!(others.is_none_or(|other| names.contains(other)), "{kind}: {answer}");
    }
    for (kind, name) in [("Outbound", "DIRECT"), ("Inbound", used)] {
        let layout = Layout::of(library, kind);
        stage.panel.ok(ask(kind, name, true)).await?;
        let again = stage.panel.ok(ask(kind, name, false)).await?;
        // What the observatory asks goes on to be counted.
        let left = layout.both(&again, name);
        ensure!(
            left.is_some_and(|ways| ways.iter().all(|left| *left < BYTES / 2)),
            "{kind} was not reset: {again}"
        );
    }
    Ok(())
}

/// How the observatory finds the outbound that leads somewhere, and it alone.
pub(super) async fn latencies(panel: &mut Bridge) -> Result<()> {
    let ask = |name: &str| json!({ "do": "latencies", "name": name });
    let alive = |answer: &Value| {
        let all = answer["latencies"].as_array().map(Vec::as_slice);
        matches!(all, Some([one]) if one["name"] == "DIRECT" && one["alive"] == true && one["last_seen_time"] != "0")
    };
    for name in ["", "DIRECT"] {
        let answer = until(panel, ask(name), alive).await?;
        ensure!(answer["latencies"][0]["source"] == "xray-observatory", "{answer}");
    }
    let none = panel.ok(ask("nothing")).await?;
    ensure!(none["latencies"] == json!([]), "{none}");
    Ok(())
}

/// Where a statistic has its direction, and where the word `traffic`.
struct Layout {
    direction: &'static str,
    traffic: &'static str,
}

impl Layout {
    /// The first library has a method for each kind (`spec/node-panel.md`, 3.3), the others have one for all (4.3).
    fn of(library: Library, kind: &str) -> Self {
        let in_link = library == Library::GozargahSessions && !matches!(kind, "Inbounds" | "UsersStat");
        let (direction, traffic) = if in_link { ("link", "type") } else { ("type", "link") };
        Self { direction, traffic }
    }

    /// The figures of both directions, uplink first; each is there once.
    fn both(&self, answer: &Value, name: &str) -> Option<[u64; 2]> {
        let stats = answer["stats"].as_array()?;
        let of_way = |way: &str| {
            let mut found = stats
                .iter()
                .filter(|stat| stat["name"] == name && stat[self.direction] == way && stat[self.traffic] == "traffic");
            let only = found.next()?;
            found.next().is_none().then(|| figure(&only["value"]))?
        };
        Some([of_way("uplink")?, of_way("downlink")?])
    }
}

fn names(answer: &Value) -> BTreeSet<&str> {
    let stats = answer["stats"].as_array().into_iter().flatten();
    stats.filter_map(|stat| stat["name"].as_str()).collect()
}

/// A number of 64 bits, which is text in JSON.
fn figure(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
