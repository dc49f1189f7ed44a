//! Where generations of nodes answer differently (`spec/node-panel.md`, 4.3): each row of the table, in both.

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::node::{gone, runs};
use crate::harness::*;
use kariz_proto::panel::{
    Backend, BaseInfoResponse, Empty, Log, Proxy, StatRequest, StatResponse, StatType, SystemStatsResponse, User, Vless,
};

/// gRPC's codes.
const UNKNOWN: u16 = 2;
const NOT_FOUND: u16 = 5;
const RESOURCE_EXHAUSTED: u16 = 8;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;

async fn stage(scene: &Scene, generation: &str) -> Result<Stage> {
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
        for call in [STATS, USER_STATS, ONLINE, BACKEND_STATS, LATENCIES] {
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
            (USER_STATS, StatRequest::default(), "email required"),
            (ONLINE, StatRequest::default(), "email required"),
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
        let outcome = panel.call(ONLINE, &request).await?;
        let once = "rpc error: code = NotFound desc = user>>>nobody>>>online not found.";
        let twice = format!("rpc error: code = NotFound desc = {once}");
        let expected = match (is_grpc, is_early) {
            (true, _) => (NOT_FOUND, once),
            (false, true) => (500, once),
            (false, false) => (404, &*twice),
        };
        ensure!(
            outcome.told() == expected,
            "over {wire:?}: {outcome:?}, not {expected:?}"
        );
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
    // A message of more than 4 MiB.
    let large = User {
        email: "9.large".into(),
        proxies: Some(Proxy {
            vless: Some(Vless {
                id: "x".repeat(5 << 20),
                flow: String::new(),
            }),
            ..Proxy::default()
        }),
        inbounds: vec!["VLESS TCP".into()],
    };
    let outcome = stage.panel.over(Wire::Grpc).call(SYNC_USER, &large).await?;
    match is_early {
        true => {
            let words = "grpc: received message larger than max (5242915 vs. 4194304)";
            ensure!(
                outcome.told() == (RESOURCE_EXHAUSTED, words),
                "{}: {}",
                outcome.code,
                outcome.text
            );
        }
        false => ensure!(outcome.is_ok(), "{}: {}", outcome.code, outcome.text),
    }
    Ok(())
}

/// Which calls keep the core alive: all that show a key, or those that go well.
pub(super) async fn keep_alive(scene: Scene, generation: &str) -> Result<()> {
    const KEEP_ALIVE: Duration = secs(3);
    let stage = stage(&scene, generation).await?;
    let start = Backend {
        keep_alive: KEEP_ALIVE.as_secs(),
        ..stage.backend()
    };
    stage.panel.ok::<BaseInfoResponse>(START, &start).await?;
    let core = stage.node.core()?;
    let begin = Instant::now();
    let stranger = Caller {
        headers: Vec::new(),
        ..stage.panel.clone()
    };
    // Calls that fail, for twice the time and more.
    while begin.elapsed() < 2 * KEEP_ALIVE + secs(1) && runs(core) {
        tokio::time::sleep(millis(300)).await;
        ensure!(
            stranger.call(INFO, &Empty {}).await?.code == 401,
            "a stranger is let in"
        );
        ensure!(
            stage.panel.call(NO_SUCH_CALL, &Empty {}).await?.code == 404,
            "there is such a call"
        );
    }
    match generation {
        "g1" => {
            ensure!(runs(core), "the core was stopped although a panel called");
            gone(core, 2 * KEEP_ALIVE + SOON).await.map(drop)
        }
        _ => {
            ensure!(!runs(core), "calls that failed kept the core alive");
            ensure!(
                begin.elapsed() >= KEEP_ALIVE - millis(100),
                "stopped after {:?}",
                begin.elapsed()
            );
            let outcome = stage.panel.call(STATS, &StatRequest::default()).await?;
            ensure!(
                outcome.told() == (500, "backend not initialized"),
                "the backend is still there: {outcome:?}"
            );
            Ok(())
        }
    }
}

/// A stream of logs is a call that goes well when it ends; for as long as it lasts it is none.
pub(super) async fn log_streams(scene: Scene) -> Result<()> {
    const KEEP_ALIVE: Duration = secs(4);
    for wire in WIRES {
        let stage = stage(&scene, "g3").await?;
        let start = Backend {
            keep_alive: KEEP_ALIVE.as_secs(),
            ..stage.backend()
        };
        let panel = stage.panel.over(wire);
        panel.ok::<BaseInfoResponse>(START, &start).await?;
        // The clock runs since a moment before.
        let begin = Instant::now();
        let core = stage.node.core()?;
        let (logs, driver) = panel.send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        tokio::time::sleep(KEEP_ALIVE / 2).await;
        drop((logs, driver));
        let ended = Instant::now();
        if begin.elapsed() < KEEP_ALIVE - millis(500) {
            tokio::time::sleep_until((begin + KEEP_ALIVE + millis(500)).into()).await;
            ensure!(
                runs(core) || ended.elapsed() >= KEEP_ALIVE,
                "over {wire:?}: the end of the stream did not count"
            );
        }
        gone(core, 2 * KEEP_ALIVE + SOON).await?;

        // One that goes on keeps nothing alive.
        panel.ok::<BaseInfoResponse>(START, &start).await?;
        let core = stage.node.core()?;
        let (logs, _driver) = panel.send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        gone(core, 2 * KEEP_ALIVE)
            .await
            .with_context(|| format!("over {wire:?}: with a stream that goes on"))?;
    }
    Ok(())
}
