//! Marzban's panels and those of sessions at one port (`spec/node-panel.md`, Rules for us): who starts owns the core.

use super::counters::{BYTES, about, counted};
use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::https::{Https, Login};
use crate::harness::node::{gone, signal};
use crate::harness::panel::{Panel, request};
use crate::harness::xray::Users;
use crate::harness::*;
use http_body_util::BodyExt;
use kariz_proto::panel::{BaseInfoResponse, Empty, StatRequest, StatResponse};
use prost::Message;
use rustix::process::Signal;

pub(super) async fn between_families(scene: Scene) -> Result<()> {
    let stage = Stage::certified(&scene, &[]).await?;
    let config = stage.inbounds.panel_config().to_string();
    let mut marzban = Panel::connect(&stage.node).await?;
    marzban.start(&config).await?.expect(200)?;
    let first = stage.node.core()?;

    // A panel of sessions takes the core; the other one hears of it.
    let session = stage.start().await?.session_id;
    gone(first, SOON).await?;
    let core = stage.node.core()?;
    let lost = || async {
        let answer = marzban.beside().tell("/ping").await?;
        (answer.status() == 403)
            .then_some(())
            .context("the session is still there")
    };
    eventually(SOON, "Marzban's panel has lost its session", lost).await?;
    let panel = stage.panel.with("authorization", format!("Bearer {session}"));
    let _: StatResponse = panel.ok(OUTBOUNDS_STATS, &StatRequest::default()).await?;

    let (logs, _driver) = panel.send(LOGS, &Empty {}).await?;
    ensure!(logs.status() == 200, "{logs:?}");

    // Marzban's panel comes back; before its start nothing is its own, and it stops nothing.
    let mut marzban = Panel::connect(&stage.node).await?;
    ensure!(!marzban.started().await?, "another's core is shown as its own");
    marzban.tell("/stop").await?.expect(200)?;
    marzban.post("/disconnect", &serde_json::json!({})).await?.expect(200)?;
    let info: BaseInfoResponse = panel.ok(INFO, &Empty {}).await?;
    ensure!(
        info.started && stage.node.core()? == core,
        "it stopped what is not its own"
    );

    // Its start takes the core back, and the session is over.
    let mut marzban = Panel::connect(&stage.node).await?;
    marzban.start(&config).await?.expect(200)?;
    gone(core, SOON).await?;
    let core = stage.node.core()?;
    let over = || async {
        let outcome = panel.call(INFO, &Empty {}).await?;
        (outcome.code == 425)
            .then_some(())
            .with_context(|| format!("{outcome:?}"))
    };
    eventually(SOON, "the session is over", over).await?;
    // And its stream of logs, which would be another's from now on.
    within(SOON, "the end of the logs", logs.into_body().collect()).await??;
    ensure!(
        marzban.started().await? && stage.node.core()? == core,
        "its core does not run"
    );
    Ok(())
}

/// What a core of sessions has counted is told when its panel comes back.
pub(super) async fn counters(scene: Scene) -> Result<()> {
    let stage = Stage::certified(&scene, &[]).await?;
    stage.start().await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.through_vless(&scene, BYTES).await?;
    let mut marzban = Panel::connect(&stage.node).await?;
    let config = stage.inbounds.panel_config().to_string();
    marzban.start(&config).await?.expect(200)?;
    let session = stage.start().await?.session_id;
    let panel = stage.panel.with("authorization", format!("Bearer {session}"));
    let total = counted(&panel, true).await?;
    ensure!(about(total, 2), "{total}");
    Ok(())
}

/// Sessions whose core comes back after its death leave a panel of Marzban what it has: its control, and its core.
pub(super) async fn restart(scene: Scene) -> Result<()> {
    let stage = Stage::certified(&scene, &[]).await?;
    stage.start().await?;
    let mut marzban = Panel::connect(&stage.node).await?;
    let core = stage.node.core()?;
    signal(core, Signal::KILL)?;
    let core = stage.node.core_after(core).await?;
    marzban
        .ping()
        .await
        .context("the session that has not started anything yet")?;

    // Killed once more, and while it is to come back the other panel starts.
    signal(core, Signal::KILL)?;
    gone(core, SOON).await?;
    let config = stage.inbounds.panel_config().to_string();
    marzban.start(&config).await?.expect(200)?;
    let core = stage.node.core()?;
    // Longer than the pauses before restarts.
    tokio::time::sleep(secs(1)).await;
    ensure!(
        stage.node.core()? == core && marzban.started().await?,
        "its core was taken"
    );
    Ok(())
}

/// Whoever starts has the core for itself: others hear of it no more.
pub(super) async fn logs(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    for wire in WIRES {
        stage.start().await?;
        let panel = stage.panel.over(wire);
        let (logs, _driver) = panel.send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        let other = Caller {
            source: Some(scene.address().ip()),
            ..panel
        };
        other.ok::<BaseInfoResponse>(START, &stage.backend()).await?;
        within(SOON, "the end of the logs", logs.into_body().collect()).await??;
    }
    Ok(())
}

/// Both interfaces on one connection, told apart request by request.
pub(super) async fn one_connection(scene: Scene) -> Result<()> {
    let stage = Stage::certified(&scene, &[]).await?;
    let mut connection = Https::open(stage.node.address, &Login::panel()?).await?;
    let start = |kind: &str, body: &[u8]| {
        let head = format!(
            "POST /start HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    connection.ask(&request("/", b"")).await?.expect(200)?;
    connection.ask(&start("application/json", b"{}")).await?.expect(422)?;
    connection.ask(&start("text/plain", b"x")).await?.expect(422)?;
    let body = stage.backend().encode_to_vec();
    let answer = connection
        .ask(&start("application/x-protobuf", &body))
        .await?
        .expect(200)?;
    let info = BaseInfoResponse::decode(&answer.body[..])?;
    let plain = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
    };
    let bearer = format!("authorization: Bearer {}\r\n", info.session_id);
    connection.ask(&plain("GET", "/info", &bearer)).await?.expect(200)?;
    connection.ask(&plain("GET", "/info", "")).await?.expect(401)?;
    // What Marzban's node says to those who are not of the other kind.
    connection.ask(&plain("GET", "/logs", "")).await?.expect(404)?;
    connection
        .ask(&plain("PUT", "/stop", "content-length: 0\r\n"))
        .await?
        .expect(405)?;
    let stop = format!("{bearer}content-length: 0\r\n");
    connection.ask(&plain("PUT", "/stop", &stop)).await?.expect(200)?;
    connection.ask(&request("/ping", b"{}")).await?.expect(422)?;
    Ok(())
}
