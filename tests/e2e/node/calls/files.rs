//! What a node writes down, and what it asks the core and quotes of it (`spec/node-panel.md`, 3.3 and 4.4).

use super::{Stage, backend};
use crate::harness::calls::*;
use crate::harness::xray::Users;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Empty, LatencyRequest, LatencyResponse};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

pub(super) async fn asked_for(scene: Scene) -> Result<()> {
    let folder = scene.file("generated");
    let variables = [("GENERATED_CONFIG_PATH", folder.to_str().context("a path is text")?)];
    let stage = Stage::keyed(&scene, &variables).await?;
    let (access, error) = (scene.file("access.log"), scene.file("error.log"));
    let mut config = stage.inbounds.empty_config();
    config["log"] = json!({ "loglevel": "info", "access": access, "error": error });
    stage.panel.ok::<BaseInfoResponse>(START, &backend(&config)).await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.through_vless(&scene, 1_000).await?;

    let line = || async {
        let text = std::fs::read_to_string(&access)?;
        let found = text
            .lines()
            .any(|line| line.contains(" accepted tcp:") && line.contains("email: 1.alice"));
        found.then_some(()).with_context(|| text)
    };
    eventually(SOON, "the access log tells of the user", line).await?;
    let text = std::fs::read_to_string(&error)?;
    ensure!(
        text.contains("started") && !text.contains("email: 1.alice"),
        "the other log: {text}"
    );

    let file = folder.join("xray.json");
    let mode = std::fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let written = || -> Result<(String, usize)> {
        let text = std::fs::read_to_string(&file)?;
        let config: Value = serde_json::from_str(&text)?;
        let inbounds = config["inbounds"].as_array().context("there are inbounds")?;
        let clients = inbounds
            .iter()
            .filter_map(|inbound| inbound["settings"]["clients"].as_array());
        let count = clients.map(Vec::len).sum();
        Ok((text, count))
    };
    let (text, clients) = written()?;
    ensure!(
        text.contains("\n    \"inbounds\": [\n"),
        "it is not easy to read: {text}"
    );
    ensure!(clients == 2, "{text}");
    ensure!(!text.contains("access.log"), "the core would write the files itself");
    // A user who goes is not in it for long.
    let gone = kariz_proto::panel::User {
        email: "1.alice".into(),
        ..Default::default()
    };
    stage.panel.ok::<Empty>(SYNC_USER, &gone).await?;
    let behind = || async {
        let (text, clients) = written()?;
        (clients == 1 && !text.contains("1.alice"))
            .then_some(())
            .context("the file has old users")
    };
    eventually(SOON, "the file follows", behind).await.map(drop)
}

pub(super) async fn latencies(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    stage.start().await?;
    for wire in [Wire::Rest, Wire::Grpc] {
        let outcome = stage
            .panel
            .over(wire)
            .call(LATENCIES, &LatencyRequest::default())
            .await?;
        let code = if wire == Wire::Grpc { 2 } else { 502 };
        ensure!(
            outcome.told() == (code, "xray outbound latency is not available"),
            "{outcome:?}"
        );
    }
    let mut config = stage.inbounds.empty_config();
    config["observatory"] = json!({
        "subjectSelector": ["DIRECT", "HOLE"], "probeUrl": format!("http://{}/", scene.address()),
        "probeInterval": "1s", "enableConcurrency": true,
    });
    let outbounds = config["outbounds"].as_array_mut().context("there are outbounds")?;
    outbounds.push(json!({ "tag": "HOLE", "protocol": "blackhole" }));
    stage.panel.ok::<BaseInfoResponse>(START, &backend(&config)).await?;
    let measured = || async {
        let answer: LatencyResponse = stage.panel.ok(LATENCIES, &LatencyRequest::default()).await?;
        Ok(answer.latencies)
    };
    // It takes the core a moment to have looked.
    let (all, _) = eventually(secs(30), "the observatory has seen something", measured).await?;
    let [direct] = &all[..] else { bail!("{all:?}") };
    ensure!(
        direct.name == "DIRECT" && direct.source == "xray-observatory",
        "{direct:?}"
    );
    ensure!(direct.last_try_time > 0, "{direct:?}");
    let of_other = LatencyRequest { name: "x".into() };
    let none: LatencyResponse = stage.panel.over(Wire::Grpc).ok(LATENCIES, &of_other).await?;
    ensure!(none.latencies.is_empty(), "{none:?}");
    Ok(())
}

pub(super) async fn quoted(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    let mut config = stage.inbounds.empty_config();
    config["inbounds"][1]["protocol"] = "no such protocol".into();
    for wire in [Wire::Rest, Wire::Grpc] {
        let outcome = stage.panel.over(wire).call(START, &backend(&config)).await?;
        ensure!(
            outcome.text.starts_with("failed to start xray: Failed to start:"),
            "{outcome:?}"
        );
        let (_, tail) = outcome
            .text
            .split_once("; recent xray logs:\n")
            .context("the last lines are told")?;
        ensure!(tail.lines().any(|line| line.starts_with("Xray ")), "{outcome:?}");
    }
    let short = Stage::keyed(&scene, &[("STARTUP_LOG_TAIL_SIZE", "0")]).await?;
    let outcome = short.panel.call(START, &backend(&config)).await?;
    ensure!(
        !outcome.is_ok() && !outcome.text.contains("recent xray logs"),
        "{outcome:?}"
    );
    Ok(())
}
