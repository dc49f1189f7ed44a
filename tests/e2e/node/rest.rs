//! What the endpoints do, beyond their bytes: who owns the core, and what happens to it.

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Https, Login};
use crate::harness::logs::Logs;
use crate::harness::node::{Node, Setup, gone, runs};
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::rest")
        .once("a_panel_starts_restarts_and_stops_a_core", whole_life)
        .once("a_second_panel_takes_over_and_the_core_stops", take_over)
        .once("a_soft_take_over_keeps_the_core", soft_take_over)
        .once("disconnect_needs_no_session_and_stops_the_core", disconnect)
        .once("a_core_that_dies_is_not_started_any_more", death)
        .once("requests_after_a_take_over_start_nothing", late_start)
        .once("the_version_is_null_when_the_core_says_something_else", odd_versions)
        .once("a_30_mb_configuration_is_taken", large)
        .done()
}

async fn whole_life(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    ensure!(!panel.started().await?, "a core runs before the first start");
    let answer = panel.start(CONFIG).await?.expect(200)?.json()?;
    ensure!(answer["started"] == true, "{answer}");
    let first = core.life(1).await?;
    ensure!(node.core()? == first.pid, "the core is another process");
    panel.ping().await?;
    panel.restart(CONFIG).await?.expect(200)?;
    let second = core.life(2).await?;
    ensure!(!runs(first.pid), "the old core still runs");
    ensure!(node.core()? == second.pid, "the core is another process");
    let answer = panel.tell("/stop").await?.expect(200)?.json()?;
    ensure!(answer["started"] == false, "{answer}");
    gone(second.pid, SOON).await?;
    panel.tell("/stop").await?.expect(200)?;
    ensure!(core.lives()?.len() == 2, "a core was started that nobody asked for");
    Ok(())
}

async fn take_over(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    let mut setup = Setup::new(&scene, &core.executable())?;
    setup.trust(&["panel-v1-rsa.pem", "panel-v3-p256.pem"])?;
    let node = setup.start().await?;
    let mut first = Panel::connect(&node).await?;
    first.start(CONFIG).await?.expect(200)?;
    let pid = core.life(1).await?.pid;
    let login = Login::with("panel-v3-p256.pem", "panel-p256.key", rustls::ALL_VERSIONS)?;
    let mut second = Panel::connect_as(&node, &login).await?;
    ensure!(first.session != second.session, "both have the same session");
    gone(pid, SOON).await?;
    for path in ["/ping", "/stop"] {
        first.tell(path).await?.expect(403)?;
    }
    first.start(CONFIG).await?.expect(403)?;
    second.ping().await?;
    second.start(CONFIG).await?.expect(200)?;
    for text in [
        "connected, Session ID = \"",
        "New connection from 127.0.0.1, Core control access was taken away from previous client.",
    ] {
        node.process.logs(SOON, text).await?;
    }
    Ok(())
}

async fn soft_take_over(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    let mut setup = Setup::new(&scene, &core.executable())?;
    setup.set("KARIZ_SOFT_TAKEOVER", "true");
    let node = setup.start().await?;
    let mut first = Panel::connect(&node).await?;
    first.start(CONFIG).await?.expect(200)?;
    let pid = core.life(1).await?.pid;
    let mut second = Panel::connect(&node).await?;
    first.tell("/ping").await?.expect(403)?;
    ensure!(
        !second.started().await?,
        "the core is the new panel's before it has started it"
    );
    second.start(CONFIG).await?.expect(200)?;
    ensure!(node.core()? == pid, "the same configuration restarted the core");
    let mut logs = Logs::open(&node, &second, "").await?;
    core.say("still the same\n")?;
    logs.until("still the same", SOON).await?;
    ensure!(second.started().await?, "the core is the new panel's now");
    // Another configuration is a start like any other.
    let mut third = Panel::connect(&node).await?;
    third.start(r#"{"inbounds":[],"outbounds":[]}"#).await?.expect(200)?;
    ensure!(node.core()? != pid, "another configuration was not started");
    gone(pid, SOON).await?;
    Ok(())
}

async fn disconnect(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let pid = core.life(1).await?.pid;
    let mut anybody = Https::open(node.address, panel.login()).await?;
    let answer = anybody.ask(&request("/disconnect", b"")).await?.expect(200)?.json()?;
    ensure!(answer["connected"] == false && answer["started"] == false, "{answer}");
    gone(pid, SOON).await?;
    panel.tell("/ping").await?.expect(403)?;
    panel.start(CONFIG).await?.expect(403)?;
    let line = format!("127.0.0.1 disconnected, Session ID = \"{}\".", panel.session);
    node.process.logs(SOON, &line).await
}

async fn death(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "ready;sleep:1500;exit:3").await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    ensure!(panel.started().await?, "it is not started");
    let look = || async {
        let mut asking = panel.beside();
        ensure!(!asking.started().await?, "it is still started");
        Ok(())
    };
    eventually(SOON, "the core's end is seen", look).await?;
    tokio::time::sleep(secs(1)).await;
    ensure!(core.lives()?.len() == 1, "the node started a core by itself");
    ensure!(
        node.children()?.is_empty() && node.zombies()?.is_empty(),
        "something is left"
    );
    panel.ping().await?;
    // The panel restarts it, or starts it.
    core.script(NORMAL)?;
    panel.start(CONFIG).await?.expect(200)?;
    Ok(())
}

/// A panel that was replaced while its configuration was on the way must not start its core over the new panel's.
async fn late_start(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let old = Panel::connect(&node).await?;
    let body = json!({ "session_id": old.session, "config": CONFIG }).to_string();
    let start = request("/start", body.as_bytes());
    let (most, rest) = start.split_at(start.len() - 20);
    let mut slow = Https::open(node.address, old.login()).await?;
    slow.send(most).await?;
    tokio::time::sleep(millis(300)).await;
    let mut new = Panel::connect(&node).await?;
    slow.send(rest).await?;
    slow.answer(false).await?.expect(403)?;
    ensure!(core.lives()?.is_empty(), "the old panel's core was started");
    new.start(CONFIG).await?.expect(200)?;
    Ok(())
}

async fn odd_versions(scene: Scene) -> Result<()> {
    let (core, null) = (FakeCore::new(&scene, NORMAL)?, json!(null));
    for (text, version) in [
        ("Xray 1.8.24 (Xray, Penetrates Everything.)\n", json!("1.8.24")),
        ("Xray 25.12.8", json!("25.12.8")),
        ("Xray 26\n", null.clone()),
        ("V2Ray 5.1.0 (something else)\n", null.clone()),
        (" Xray 1.8.24\n", null.clone()),
        ("", null),
    ] {
        core.version(text)?;
        let node = Setup::new(&scene, &core.executable())?.start().await?;
        if version.is_string() {
            node.knows_version().await?;
        }
        let mut panel = Panel::connect(&node).await?;
        let answer = panel.start(CONFIG).await?.expect(200)?.json()?;
        ensure!(answer["core_version"] == version, "{text:?} gives {answer}");
    }
    Ok(())
}

async fn large(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let config = large_config();
    panel.start(&config).await?.expect(200)?;
    let seen = core.life(1).await?.config.unwrap_or_default();
    let seen: serde_json::Value = serde_json::from_str(&seen)?;
    let sent: serde_json::Value = serde_json::from_str(&config)?;
    ensure!(seen["padding"] == sent["padding"], "the configuration arrived changed");
    Ok(())
}

/// 30 MB, most of it in a key that the node does not know.
pub(super) fn large_config() -> String {
    const STRINGS: usize = 300_000;
    let text = "0123456789 of padding".repeat(5);
    json!({ "inbounds": [], "outbounds": [], "padding": vec![&text[..]; STRINGS] }).to_string()
}
