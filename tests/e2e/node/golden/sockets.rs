//! Section 1.5: the answers to a request for the log stream.

use super::*;

/// A WebSocket handshake; the answer to its key is fixed by RFC 6455, section 1.3.
fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: node.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(super) async fn refusals(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let live = &stage.panel.session;
    let mut refused = vec![
        "/logs?session_id=nonsense".to_owned(),
        "/logs?session_id=".to_owned(),
        format!("/logs?session_id={STRANGER}"),
        format!("/logs/?session_id={live}"),
        format!("/other?session_id={live}"),
        format!("/ping?session_id={live}"),
        "/".to_owned(),
        "/nope".to_owned(),
    ];
    for interval in [
        "x", "1s", "inf", "Infinity", "11", "10.1", "1e3", "0x1", "1,5", "_1", "--1",
    ] {
        refused.push(format!("/logs?session_id={live}&interval={interval}"));
    }
    for path in refused {
        is_refused(&stage, &path, 403, "text/plain", "").await?;
    }
    // The original raises an exception here.
    for path in ["/logs", "/logs?interval=1"] {
        let kind = "text/plain; charset=utf-8";
        is_refused(&stage, path, 500, kind, "Internal Server Error").await?;
    }
    Ok(())
}

/// Header names are compared without their case and without their order: the specification leaves both open here.
async fn is_refused(stage: &Stage, path: &str, status: u16, kind: &str, body: &str) -> Result<()> {
    let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
    let answer = connection.ask(&upgrade(path)).await?;
    looks_like(&answer, status, body).with_context(|| format!("an upgrade of {path}"))?;
    for (name, value) in [("content-type", kind), ("connection", "close")] {
        let got = answer.header(name);
        ensure!(got == Some(value), "{path}: {name} is {got:?}");
    }
    behind(&mut connection, Then::Closes)
        .await
        .with_context(|| path.to_owned())
}

pub(super) async fn upgrades(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let live = &stage.panel.session;
    let simple = live.replace('-', "");
    let mut taken = vec![
        format!("/logs?session_id={live}"),
        format!("/logs?session_id={simple}"),
        format!("/logs?session_id={}", live.to_uppercase()),
        format!("/logs?interval=1&session_id={live}"),
        format!("/logs?session_id={live}&something=else"),
    ];
    for interval in [
        "", "0", "0.0", "0.7", "10", "1e1", "%2B5", "%201%20", "1_0", "-1", "-inf", "nan", ".5", "5.",
    ] {
        taken.push(format!("/logs?session_id={live}&interval={interval}"));
    }
    for path in taken {
        let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
        let answer = connection.ask(&upgrade(&path)).await?;
        let line = answer.head.lines().next().unwrap_or_default();
        ensure!(line == "HTTP/1.1 101 Switching Protocols", "{path}: {:?}", answer.head);
        for (name, value) in [("upgrade", "websocket"), ("connection", "upgrade")] {
            let got = answer.header(name).unwrap_or_default();
            ensure!(got.eq_ignore_ascii_case(value), "{path}: {name} is {got:?}");
        }
        let accept = answer.header("sec-websocket-accept");
        ensure!(accept == Some(ACCEPT), "{path}: sec-websocket-accept is {accept:?}");
    }
    // Nobody is connected any more: a session that was good is not.
    let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
    connection.ask(&post("/disconnect", "")).await?.expect(200)?;
    is_refused(&stage, &format!("/logs?session_id={live}"), 403, "text/plain", "").await
}
