//! The libraries of Gozargah and PasarGuard panels against the node with a real core, over gRPC and over REST.

use crate::harness::bridge::{Bridge, Dialect, Library};
use crate::harness::node::{Node, gone, runs, signal};
use crate::harness::xray::{Inbounds, Users};
use crate::harness::*;
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::bridge";

pub fn trials() -> Vec<Trial> {
    let others = Suite::new(SUITE)
        .needs(super::needs_bridge)
        .once("a_core_that_hangs_is_replaced", hanging)
        .once("a_silent_panel_loses_its_core", silence);
    let mut trials = others.done();
    let (gozargah, earlier, later) = (Library::Gozargah, Library::PasarGuard08, Library::PasarGuard);
    let sessions = Library::GozargahSessions;
    for (life, refused, library, transport) in [
        ("sessions_grpc", "sessions_grpc_refused", sessions, "grpc"),
        ("sessions_rest", "sessions_rest_refused", sessions, "rest"),
        ("gozargah_grpc", "gozargah_grpc_refused", gozargah, "grpc"),
        ("gozargah_rest", "gozargah_rest_refused", gozargah, "rest"),
        ("pasarguard_0_8_grpc", "pasarguard_0_8_grpc_refused", earlier, "grpc"),
        ("pasarguard_0_8_rest", "pasarguard_0_8_rest_refused", earlier, "rest"),
        ("pasarguard_grpc", "pasarguard_grpc_refused", later, "grpc"),
        ("pasarguard_rest", "pasarguard_rest_refused", later, "rest"),
    ] {
        let dialect = Dialect { library, transport };
        let suite = Suite::new(SUITE)
            .needs(super::needs_every_bridge)
            .once(life, move |scene| users(scene, dialect))
            .once(refused, move |scene| refusals(scene, dialect));
        trials.extend(suite.done());
    }
    trials
}

/// A node with its panel.
struct Stage {
    node: Node,
    panel: Bridge,
    inbounds: Inbounds,
}

impl Stage {
    async fn new(scene: &Scene, dialect: Dialect) -> Result<Self> {
        let (node, panel) = Bridge::with_node(scene, dialect).await?;
        let inbounds = Inbounds::new(scene);
        Ok(Self { node, panel, inbounds })
    }

    async fn start(&mut self, users: &[Value]) -> Result<Value> {
        let start = json!({ "do": "start", "config": self.inbounds.empty_config(), "users": users });
        self.panel.ok(start).await
    }
}

/// A user who is let in nowhere any more.
fn removed(user: &Value) -> Value {
    let mut user = user.clone();
    user["inbounds"] = json!([]);
    user
}

async fn users(scene: Scene, dialect: Dialect) -> Result<()> {
    const BYTES: u64 = 1 << 20;
    let [alice, bob] = Inbounds::users();
    let mut stage = Stage::new(&scene, dialect).await?;
    let started = stage.start(std::slice::from_ref(&alice)).await?;
    ensure!(started["started"] == true && started["core_version"] != "", "{started}");
    let core = stage.node.core()?;
    let target = Target::echo(&scene)?;
    let through = Users::start(&scene, stage.inbounds, target.address()).await?;
    through.through_vless(&scene, BYTES).await?;
    ensure!(
        through.through_shadowsocks(&scene, BYTES).await.is_err(),
        "a user got through whom nobody has added"
    );

    // Added while the core runs, in the midst of what others do.
    stage.panel.ok(json!({ "do": "update", "users": [bob] })).await?;
    eventually(SOON, "the new user gets through", || {
        through.through_shadowsocks(&scene, BYTES)
    })
    .await?;
    stage
        .panel
        .ok(json!({ "do": "update", "users": [removed(&alice)] }))
        .await?;
    let kept_out = || async {
        let moved = through.through_vless(&scene, 1).await;
        moved
            .is_err()
            .then_some(())
            .context("the removed user still gets through")
    };
    eventually(SOON, "the removed user is kept out", kept_out).await?;
    stage
        .panel
        .ok(json!({ "do": "replace", "users": [alice, bob] }))
        .await?;
    through.move_data(&scene, BYTES).await?;
    ensure!(stage.node.core()? == core, "the core was restarted");

    counted(&mut stage.panel, dialect, BYTES).await?;
    machine_is_seen(&mut stage.panel).await?;
    ensure!(
        stage.panel.ok(json!({ "do": "backend" })).await?["num_goroutine"] != 0,
        "no goroutines"
    );

    // The core dies: its users are back, and no panel has done anything.
    signal(core, Signal::KILL)?;
    gone(core, SOON).await?;
    eventually(SOON, "the users are back", || through.move_data(&scene, BYTES)).await?;
    ensure!(stage.node.core()? != core, "the same core");

    let core = stage.node.core()?;
    stage.panel.ok(json!({ "do": "stop" })).await?;
    gone(core, SOON).await?;
    ensure!(!runs(core), "the core still runs");
    Ok(())
}

/// Some time after the start the node tells of its machine, which has memory and cores.
async fn machine_is_seen(panel: &mut Bridge) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let machine = panel.ok(json!({ "do": "system" })).await?;
        if ["mem_total", "mem_used", "cpu_cores"]
            .iter()
            .all(|figure| machine[figure] != "0")
        {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "nothing is seen of the machine: {machine}");
        tokio::time::sleep(millis(200)).await;
    }
}

/// What the users moved shows in the statistics, under the names of its directions.
async fn counted(panel: &mut Bridge, dialect: Dialect, bytes: u64) -> Result<()> {
    let (direction_in, traffic_in) = match dialect.library {
        Library::GozargahSessions => ("link", "type"),
        _ => ("type", "link"),
    };
    let ask =
        |kind: &str, name: &str, reset: bool| json!({ "do": "stats", "kind": kind, "name": name, "reset": reset });
    for (email, times) in [("1.alice", 2), ("2.bob", 2)] {
        let answer = panel.ok(ask("UserStat", email, true)).await?;
        for direction in ["uplink", "downlink"] {
            let stats = answer["stats"].as_array().context("there are statistics")?;
            let stat = stats
                .iter()
                .find(|stat| stat[direction_in] == direction && stat[traffic_in] == "traffic");
            let stat = stat.with_context(|| format!("{direction} of {email}: {answer}"))?;
            let value: u64 = stat["value"].as_str().context("64 bits are text")?.parse()?;
            // The protocol adds a little.
            ensure!(
                stat["name"] == email && value >= times * bytes && value < 3 * bytes,
                "{stat}"
            );
        }
        let again = panel.ok(ask("UserStat", email, false)).await?;
        let stats = again["stats"].as_array().context("there are statistics")?;
        ensure!(stats.iter().all(|stat| stat["value"] == "0"), "not reset: {again}");
    }
    let all = panel.ok(ask("UsersStat", "", false)).await?;
    ensure!(all["stats"].as_array().is_some_and(|stats| stats.len() == 4), "{all}");
    let outbounds = panel.ok(ask("Outbounds", "", false)).await?;
    ensure!(outbounds["stats"][0]["name"] == "DIRECT", "{outbounds}");
    Ok(())
}

const PASARGUARD: Dialect = Dialect {
    library: Library::PasarGuard,
    transport: "grpc",
};

/// A core that accepts connections and never answers: it is stopped in its tracks.
async fn hanging(scene: Scene) -> Result<()> {
    /// Twice the 15 s in which it has to be noticed, and then it takes its time to be killed.
    const NOTICED: Duration = secs(34);
    let mut stage = Stage::new(&scene, PASARGUARD).await?;
    stage.start(&Inbounds::users()).await?;
    let target = Target::echo(&scene)?;
    let through = Users::start(&scene, stage.inbounds, target.address()).await?;
    let core = stage.node.core()?;
    signal(core, Signal::STOP)?;
    gone(core, NOTICED).await.context("nobody noticed")?;
    eventually(SOON, "the users are back", || through.move_data(&scene, 1 << 10)).await?;
    Ok(())
}

async fn silence(scene: Scene) -> Result<()> {
    let mut stage = Stage::new(&scene, PASARGUARD).await?;
    let config = stage.inbounds.empty_config();
    let start = json!({ "do": "start", "config": config, "users": [], "keep_alive": 3 });
    stage.panel.ok(start).await?;
    let core = stage.node.core()?;
    // It lives on as long as there are calls; the panel's library makes some by itself.
    for _ in 0..5 {
        tokio::time::sleep(secs(1)).await;
        stage.panel.ok(json!({ "do": "info" })).await?;
    }
    ensure!(runs(core), "the core was stopped although its panel called");
    let Stage { node: _node, panel, .. } = stage;
    drop(panel);
    gone(core, secs(6) + SOON)
        .await
        .context("the core outlives its panel")?;
    Ok(())
}

async fn refusals(scene: Scene, dialect: Dialect) -> Result<()> {
    let mut stage = Stage::new(&scene, dialect).await?;
    let mut config = stage.inbounds.empty_config();
    config["inbounds"][1]["protocol"] = "no such protocol".into();
    let start = json!({ "do": "start", "config": config, "users": [] });
    let (code, text) = stage.panel.refused(start).await?;
    ensure!(
        code != 0 && text.contains("failed to start xray: Failed to start:"),
        "{code} {text}"
    );
    ensure!(stage.node.children()?.is_empty(), "a core runs");
    // A panel that has lost its node starts anew when it hears these words.
    stage.start(&Inbounds::users()).await?;
    let (code, text) = stage
        .panel
        .refused(json!({ "do": "online", "email": "nobody" }))
        .await?;
    // The first library knows no codes of the node.
    let not_found = match dialect.library {
        Library::GozargahSessions => 500,
        _ => 404,
    };
    ensure!(
        code == not_found && text.contains("user>>>nobody>>>online not found."),
        "{code} {text}"
    );
    Ok(())
}
