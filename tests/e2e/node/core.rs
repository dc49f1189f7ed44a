//! The real core, and users who connect to it.

use crate::harness::node::{Node, Setup, gone, runs, signal};
use crate::harness::panel::Panel;
use crate::harness::process::Signal;
use crate::harness::tunnel::{listening, not_listening};
use crate::harness::xray::{Inbounds, Users};
use crate::harness::{logs::Logs, provision, *};
use libtest_mimic::Trial;
use serde_json::{Value, json};

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::core";

pub fn trials() -> Vec<Trial> {
    Suite::new(SUITE)
        .needs(super::needs_xray)
        .once("an_idle_core_outlives_the_thread_pool", idle)
        .once("users_move_data_through_vless_and_shadowsocks", users)
        .once("restart_takes_the_new_configuration", restart)
        .once("stop_is_idempotent_and_frees_the_ports", stop)
        .once("a_bad_configuration_is_answered_with_xrays_own_line", bad_configuration)
        .once("a_port_in_use_is_answered_with_xrays_own_line", port_in_use)
        .once("a_killed_core_shows_as_not_started", killed)
        .once("a_take_over_frees_the_ports_for_the_next_panel", take_over)
        .once("the_ends_of_the_node", ends)
        .once("a_core_without_a_ready_line", quiet)
        .once("its_lines_reach_the_panel", lines)
        .done()
}

/// Enough to be more than any buffer.
const DATA: u64 = 1 << 20;

async fn node(scene: &Scene) -> Result<Node> {
    Setup::new(scene, &provision::xray()?)?.start().await
}

/// A node whose core runs the tests' inbounds.
async fn running(scene: &Scene) -> Result<(Node, Panel, Inbounds)> {
    let node = node(scene).await?;
    let inbounds = Inbounds::new(scene);
    let mut panel = Panel::connect(&node).await?;
    panel.start(&inbounds.panel_config().to_string()).await?.expect(200)?;
    Ok((node, panel, inbounds))
}

async fn users(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (node, _panel, inbounds) = running(&scene).await?;
    for address in [inbounds.vless, inbounds.shadowsocks, node.api] {
        listening(address, None, SOON).await?;
    }
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, DATA).await?;
    ensure!(
        target.accepted() >= 2,
        "the target saw {} connections",
        target.accepted()
    );
    Ok(())
}

async fn restart(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (node, mut panel, old) = running(&scene).await?;
    let old_core = node.core()?;
    let new = Inbounds::new(&scene);
    let answer = panel
        .restart(&new.panel_config().to_string())
        .await?
        .expect(200)?
        .json()?;
    ensure!(answer["started"] == true, "{answer}");
    ensure!(!runs(old_core) && node.core()? != old_core, "the old core still runs");
    for address in [old.vless, old.shadowsocks] {
        not_listening(address, SOON).await?;
    }
    let users = Users::start(&scene, new, target.address()).await?;
    users.move_data(&scene, DATA).await?;
    // The same ports again: the old core has to be gone before the new one begins.
    for round in 0..3 {
        let answer = panel.restart(&new.panel_config().to_string()).await?;
        answer
            .expect(200)
            .with_context(|| format!("restart {round} on the same ports"))?;
    }
    users.move_data(&scene, DATA).await
}

async fn stop(scene: Scene) -> Result<()> {
    let (node, mut panel, inbounds) = running(&scene).await?;
    let core = node.core()?;
    for _ in 0..2 {
        let answer = panel.tell("/stop").await?.expect(200)?.json()?;
        ensure!(answer["started"] == false, "{answer}");
    }
    gone(core, SOON).await?;
    for address in [inbounds.vless, inbounds.shadowsocks, node.api] {
        not_listening(address, SOON).await?;
    }
    panel.start(&inbounds.panel_config().to_string()).await?.expect(200)?;
    Ok(())
}

/// What a refused start says.
async fn refusal(panel: &mut Panel, path: &str, config: &Value) -> Result<String> {
    let body = json!({ "session_id": panel.session, "config": config.to_string() });
    let answer = panel.post(path, &body).await?.expect(503)?.json()?;
    Ok(answer["detail"].as_str().context("a refusal has a detail")?.to_owned())
}

async fn bad_configuration(scene: Scene) -> Result<()> {
    let node = node(&scene).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut config = Inbounds::new(&scene).panel_config();
    config["inbounds"][1]["protocol"] = json!("carrier-pigeon");
    for path in ["/start", "/restart"] {
        let begin = Instant::now();
        let detail = refusal(&mut panel, path, &config).await?;
        ensure!(detail.starts_with("Failed to start: "), "{path}: {detail:?}");
        ensure!(detail.contains("carrier-pigeon"), "{path}: {detail:?}");
        ensure!(
            begin.elapsed() < secs(3),
            "{path} of a core that has failed took {:?}",
            begin.elapsed()
        );
        ensure!(!panel.started().await?, "it is started");
    }
    let good = Inbounds::new(&scene).panel_config().to_string();
    panel.start(&good).await?.expect(200)?;
    // A failed restart leaves nothing running.
    refusal(&mut panel, "/restart", &config).await?;
    ensure!(!panel.started().await? && node.children()?.is_empty(), "something runs");
    Ok(())
}

async fn port_in_use(scene: Scene) -> Result<()> {
    let taken = Target::echo(&scene)?;
    let node = node(&scene).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut inbounds = Inbounds::new(&scene);
    inbounds.vless = taken.address();
    let detail = refusal(&mut panel, "/start", &inbounds.panel_config()).await?;
    ensure!(detail.contains("address already in use"), "{detail:?}");
    ensure!(!panel.started().await?, "it is started");
    drop(taken);
    not_listening(inbounds.vless, SOON).await?;
    panel.start(&inbounds.panel_config().to_string()).await?.expect(200)?;
    Ok(())
}

async fn killed(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (node, mut panel, inbounds) = running(&scene).await?;
    signal(node.core()?, Signal::KILL)?;
    let look = || async {
        ensure!(!panel.beside().started().await?, "it is still started");
        Ok(())
    };
    eventually(SOON, "the core's end is seen", look).await?;
    ensure!(node.zombies()?.is_empty(), "a zombie is left");
    panel.ping().await?;
    // What the panel does then.
    panel.restart(&inbounds.panel_config().to_string()).await?.expect(200)?;
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, DATA).await
}

/// The kernel kills a child with the thread that forked it: a pool's thread ends after a while without work.
async fn idle(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (node, mut panel, inbounds) = running(&scene).await?;
    let core = node.core()?;
    tokio::time::sleep(secs(65)).await;
    ensure!(panel.started().await?, "the core has ended");
    ensure!(node.core()? == core, "it is another core");
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, DATA).await
}

async fn take_over(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (node, _old, inbounds) = running(&scene).await?;
    let core = node.core()?;
    let mut new = Panel::connect(&node).await?;
    // At once, on the same ports.
    new.start(&inbounds.panel_config().to_string()).await?.expect(200)?;
    ensure!(!runs(core), "the old panel's core still runs");
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, DATA).await
}

async fn ends(scene: Scene) -> Result<()> {
    /// Twice the 2 s of the contract.
    const ENDS: Duration = secs(4);
    for kill in [false, true] {
        let (mut node, _panel, inbounds) = running(&scene).await?;
        let core = node.core()?;
        if kill {
            node.process.kill()?;
        } else {
            node.process.signal(Signal::TERM)?;
            let status = node.process.exit(ENDS).await?;
            ensure!(status.code() == Some(0), "{status}");
        }
        gone(core, secs(2)).await.with_context(|| format!("kill -9: {kill}"))?;
        for address in [inbounds.vless, inbounds.shadowsocks, node.api, node.address] {
            not_listening(address, SOON).await?;
        }
    }
    Ok(())
}

/// With these log levels, or with log files, the core never says that it is ready: 3 s decide.
async fn quiet(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let node = node(&scene).await?;
    let mut panel = Panel::connect(&node).await?;
    let inbounds = Inbounds::new(&scene);
    let mut config = inbounds.panel_config();
    config["log"] = json!({ "loglevel": "none" });
    let begin = Instant::now();
    let answer = panel.start(&config.to_string()).await?.expect(200)?.json()?;
    ensure!(answer["started"] == true, "{answer}");
    ensure!(begin.elapsed() < secs(6), "answered after {:?}", begin.elapsed());
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, DATA).await?;
    // The other spelling is raised, so that the line comes.
    config["log"] = json!({ "logLevel": "none" });
    let begin = Instant::now();
    panel.restart(&config.to_string()).await?.expect(200)?;
    ensure!(begin.elapsed() < millis(2_900), "answered after {:?}", begin.elapsed());
    Ok(())
}

async fn lines(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let node = node(&scene).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut logs = Logs::open(&node, &panel, "&interval=0.7").await?;
    let inbounds = Inbounds::new(&scene);
    let mut config = inbounds.panel_config();
    config["log"] = json!({ "loglevel": "info" });
    let answer = panel.start(&config.to_string()).await?.expect(200)?.json()?;
    let version = answer["core_version"]
        .as_str()
        .context("the version is known")?
        .to_owned();
    let users = Users::start(&scene, inbounds, target.address()).await?;
    users.move_data(&scene, 1_000).await?;
    let wanted = [
        format!("Xray {version} started"),
        "email: 1.alice".to_owned(),
        "email: 2.bob".to_owned(),
    ];
    let mut text = String::new();
    while !wanted.iter().all(|part| text.contains(part)) {
        text += &logs.text(SOON).await.with_context(|| format!("so far:\n{text}"))?;
    }
    ensure!(
        text.ends_with('\n') && !text.contains("\n\n"),
        "lines are separated otherwise: {text:?}"
    );
    Ok(())
}
