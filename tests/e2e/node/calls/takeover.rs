//! Marzban's panels and those of sessions at one port (`spec/node-panel.md`, Rules for us): who starts owns the core.

use super::Stage;
use crate::harness::calls::*;
use crate::harness::https::{Https, Login};
use crate::harness::node::gone;
use crate::harness::panel::{Panel, request};
use crate::harness::*;
use http_body_util::BodyExt;
use kariz_proto::panel::{BaseInfoResponse, Empty, StatRequest, StatResponse};
use prost::Message;

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
