//! Where generations of nodes answer differently (`spec/node-panel.md`, 4.3): each row of the table, in both.

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::*;
use kariz_proto::panel::{
    Backend, Empty, Log, Proxy, StatRequest, StatResponse, StatType, SystemStatsResponse, User, Users, Vless,
};
use prost::Message;

/// gRPC's codes.
const UNKNOWN: u16 = 2;
const NOT_FOUND: u16 = 5;
const RESOURCE_EXHAUSTED: u16 = 8;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;

/// The calls that no generation answers without a backend.
const IN_BACKEND: [Call; 14] = [
    STATS,
    OUTBOUNDS_STATS,
    OUTBOUND_STATS,
    INBOUNDS_STATS,
    INBOUND_STATS,
    USERS_STATS,
    USER_STATS,
    ONLINE,
    ONLINE_ADDRESSES,
    BACKEND_STATS,
    LATENCIES,
    SYNC_USER,
    SYNC_USERS,
    SYNC_CHUNKS,
];

pub(super) async fn stage(scene: &Scene, generation: &str) -> Result<Stage> {
    Stage::keyed(scene, &[("KARIZ_PANEL_GENERATION", generation)]).await
}

/// What the generation says without a backend, and of starts that fail.
pub(super) async fn faults(scene: Scene, generation: &str) -> Result<()> {
    let stage = stage(&scene, generation).await?;
    let is_early = generation == "g1";
    let no_backend = "backend not initialized";
    let refused = |wire| match (wire, is_early) {
        (Wire::Grpc, true) => (INTERNAL, no_backend),
        (Wire::Grpc, false) => (UNAVAILABLE, no_backend),
        _ => (500, no_backend),
    };
    for wire in WIRES {
        let panel = stage.panel.over(wire);
        for call in IN_BACKEND {
            let outcome = panel.call(call, &StatRequest::default()).await?;
            ensure!(outcome.told() == refused(wire), "{call:?} over {wire:?}: {outcome:?}");
        }
        // The first generations stop what does not run, and tell of a machine that they have not looked at.
        for call in [STOP, SYSTEM_STATS] {
            let outcome = panel.call(call, &Empty {}).await?;
            if is_early {
                ensure!(
                    outcome.is_ok() && outcome.message.is_empty(),
                    "{call:?} over {wire:?}: {outcome:?}"
                );
            } else {
                ensure!(outcome.told() == refused(wire), "{call:?} over {wire:?}: {outcome:?}");
            }
        }
        if is_early {
            // And there are logs of nothing yet.
            let (response, _driver) = panel.send(LOGS, &Empty {}).await?;
            ensure!(response.status() == 200, "{response:?}");
            ensure!(response.headers().get("grpc-status").is_none(), "{response:?}");
        } else {
            let outcome = panel.call(LOGS, &Empty {}).await?;
            ensure!(outcome.told() == refused(wire), "logs over {wire:?}: {outcome:?}");
        }
    }
    // What is no message at all; over gRPC the libraries judge it.
    let garbage = Log { detail: "\u{1}".into() };
    for wire in [Wire::Rest, Wire::RestOverHttp2] {
        // A string where a number belongs.
        let outcome = stage.panel.over(wire).call(START, &garbage).await?;
        ensure!(outcome.code == if is_early { 503 } else { 400 }, "{outcome:?}");
    }
    for (backend, words) in [
        (
            Backend {
                r#type: 1,
                ..Backend::default()
            },
            "invalid backend type",
        ),
        (
            Backend {
                config: "{".into(),
                ..Backend::default()
            },
            "EOF while parsing",
        ),
    ] {
        for wire in WIRES {
            let outcome = stage.panel.over(wire).call(START, &backend).await?;
            let code = if wire == Wire::Grpc { UNKNOWN } else { 503 };
            ensure!(
                outcome.code == code && outcome.text.contains(words),
                "over {wire:?}: {outcome:?}"
            );
        }
    }
    Ok(())
}

/// What it says with a core: names, missing counters, layouts, sizes.
pub(super) async fn running(scene: Scene, generation: &str) -> Result<()> {
    let stage = stage(&scene, generation).await?;
    let is_early = generation == "g1";
    stage.start().await?;
    let kinds = |kind: StatType| StatRequest {
        r#type: kind.into(),
        ..StatRequest::default()
    };
    for wire in WIRES {
        let panel = stage.panel.over(wire);
        let is_grpc = wire == Wire::Grpc;
        // A name that is missing.
        for (call, request, missing) in [
            (STATS, kinds(StatType::UserStat), "email required"),
            (STATS, kinds(StatType::Inbound), "tag required"),
            (STATS, kinds(StatType::Outbound), "tag required"),
            (USER_STATS, StatRequest::default(), "email required"),
            (INBOUND_STATS, StatRequest::default(), "tag required"),
            (OUTBOUND_STATS, StatRequest::default(), "tag required"),
            (ONLINE, StatRequest::default(), "email required"),
            (ONLINE_ADDRESSES, StatRequest::default(), "email required"),
        ] {
            let outcome = panel.call(call, &request).await?;
            let expected = match (is_grpc, is_early) {
                (true, true) => (UNKNOWN, "name is required"),
                (true, false) => (UNKNOWN, missing),
                (false, true) => (400, "name is required"),
                (false, false) => (500, missing),
            };
            ensure!(
                outcome.told() == expected,
                "{call:?} over {wire:?}: {outcome:?}, not {expected:?}"
            );
        }
        // Somebody whom the core does not know.
        let request = StatRequest {
            name: "nobody".into(),
            ..StatRequest::default()
        };
        let once = "rpc error: code = NotFound desc = user>>>nobody>>>online not found.";
        let twice = format!("rpc error: code = NotFound desc = {once}");
        let expected = match (is_grpc, is_early) {
            (true, _) => (NOT_FOUND, once),
            (false, true) => (500, once),
            (false, false) => (404, &*twice),
        };
        for call in [ONLINE, ONLINE_ADDRESSES] {
            let outcome = panel.call(call, &request).await?;
            ensure!(
                outcome.told() == expected,
                "{call:?} over {wire:?}: {outcome:?}, not {expected:?}"
            );
        }
        // A user without a name.
        let outcome = panel.call(SYNC_USER, &User::default()).await?;
        match (is_early, is_grpc) {
            (true, _) => ensure!(outcome.is_ok(), "over {wire:?}: {outcome:?}"),
            (false, true) => ensure!(outcome.told() == (UNKNOWN, "email is required"), "{outcome:?}"),
            (false, false) => ensure!(outcome.told() == (400, "email is required"), "{outcome:?}"),
        }
        // Each method has the layout of its own generation, whatever the node answers as.
        let newer: StatResponse = panel.ok(STATS, &kinds(StatType::Outbounds)).await?;
        let older: StatResponse = panel.ok(OUTBOUNDS_STATS, &StatRequest::default()).await?;
        for (stats, kind) in [
            (&newer.stats, ["uplink", "traffic"]),
            (&older.stats, ["traffic", "uplink"]),
        ] {
            let is_there = stats.iter().any(|stat| [&*stat.r#type, &*stat.link] == kind);
            ensure!(is_there && stats.len() == 2, "over {wire:?}: {stats:?}");
        }
        let _: SystemStatsResponse = panel.ok(SYSTEM_STATS, &Empty {}).await?;
    }
    Box::pin(sizes(&stage.panel, is_early)).await
}

/// Messages of more than 4 MiB and of more than 64: the first generations take the former over REST alone, and nobody takes
/// the latter.
async fn sizes(panel: &Caller, is_early: bool) -> Result<()> {
    let limit = if is_early { 4 << 20 } else { 64 << 20 };
    for (mebibytes, is_for_nobody) in [(5, false), (65, true)] {
        let user = User {
            email: "9.large".into(),
            proxies: Some(Proxy {
                vless: Some(Vless {
                    id: "x".repeat(mebibytes << 20),
                    flow: String::new(),
                }),
                ..Proxy::default()
            }),
            inbounds: vec!["VLESS TCP".into()],
        };
        let users = Users {
            users: vec![user.clone()],
        };
        for wire in WIRES {
            let panel = panel.over(wire);
            for (call, length, outcome) in [
                (SYNC_USER, user.encoded_len(), panel.call(SYNC_USER, &user).await?),
                (SYNC_USERS, users.encoded_len(), panel.call(SYNC_USERS, &users).await?),
            ] {
                let words = format!("grpc: received message larger than max ({length} vs. {limit})");
                let expected = match wire {
                    Wire::Grpc if length > limit => (RESOURCE_EXHAUSTED, &*words),
                    Wire::Grpc => (0, ""),
                    _ if is_for_nobody => (400, "Failed to read request body"),
                    _ => (200, ""),
                };
                ensure!(
                    outcome.told() == expected,
                    "{call:?} over {wire:?} with {length}: {} {:?}",
                    outcome.code,
                    outcome.text
                );
            }
        }
    }
    Ok(())
}
