//! The panel's own libraries at the panel's versions, through `tests/python/panel.py`.

use crate::harness::https::fixture;
use crate::harness::node::{Node, Setup};
use crate::harness::xray::{Inbounds, Users};
use crate::harness::{provision, *};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::panel";

pub fn trials() -> Vec<Trial> {
    Suite::new(SUITE)
        .needs(super::needs_panel)
        .once("whole_life", |scene| {
            whole_life(scene, "node-v3-p256.pem", "node-p256.key")
        })
        .once("whole_life_with_the_originals_pair", |scene| {
            whole_life(scene, "node-original.pem", "node-original.key")
        })
        .once("whole_life_with_a_pair_that_the_node_made", generated_pair)
        .once("second_panel_takes_over", second_panel)
        .done()
}

/// What one panel is and has.
struct Script<'a> {
    node: &'a Node,
    certificate: &'a str,
    key: &'a str,
    config: &'a Path,
    log: std::path::PathBuf,
}

impl Script<'_> {
    fn start(&self, scene: &Scene, act: &str) -> Result<Child> {
        let out = std::fs::File::create(&self.log)?;
        scene.keep_log(&self.log);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/panel.py");
        let mut command = Command::new(provision::python()?);
        command.arg("-u").arg(script).arg(act);
        command.arg("--host").arg(self.node.address.ip().to_string());
        command.arg("--port").arg(self.node.address.port().to_string());
        command.arg("--api-port").arg(self.node.api.port().to_string());
        command.arg("--cert").arg(fixture(self.certificate));
        command.arg("--key").arg(fixture(self.key));
        command.arg("--config").arg(self.config);
        // A proxy and a list of authorities of this machine are none of the test's business.
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true);
        command.spawn().context("starting the panel")
    }

    async fn run(&self, scene: &Scene, act: &str) -> Result<()> {
        let mut child = self.start(scene, act)?;
        let status = within(secs(120), "the panel ends", child.wait()).await??;
        ensure!(status.success(), "the panel ended with {status}");
        Ok(())
    }
}

fn write_config(scene: &Scene, inbounds: Inbounds) -> Result<std::path::PathBuf> {
    let file = scene.file("config.json");
    std::fs::write(&file, inbounds.panel_config().to_string())?;
    Ok(file)
}

async fn life(scene: &Scene, setup: &Setup) -> Result<()> {
    let node = setup.start().await?;
    let target = Target::echo(scene)?;
    let inbounds = Inbounds::new(scene);
    let config = write_config(scene, inbounds)?;
    let script = Script {
        node: &node,
        certificate: "panel-v1-rsa.pem",
        key: "panel-rsa.key",
        config: &config,
        log: scene.file("panel.log"),
    };
    script.run(scene, "life").await?;
    ensure!(node.children()?.is_empty(), "a core is left behind the disconnect");
    // And once more, with users while it is connected.
    let script = Script {
        log: scene.file("panel-with-users.log"),
        ..script
    };
    script.run(scene, "start").await?;
    let users = Users::start(scene, inbounds, target.address()).await?;
    users.move_data(scene, 1 << 20).await
}

async fn whole_life(scene: Scene, certificate: &'static str, key: &'static str) -> Result<()> {
    let mut setup = Setup::new(&scene, &provision::xray()?)?;
    setup.show(certificate, key)?;
    life(&scene, &setup).await
}

async fn generated_pair(scene: Scene) -> Result<()> {
    let setup = Setup::new(&scene, &provision::xray()?)?;
    for name in ["SSL_CERT_FILE", "SSL_KEY_FILE"] {
        std::fs::remove_file(setup.get(name))?;
    }
    life(&scene, &setup).await
}

async fn second_panel(scene: Scene) -> Result<()> {
    let mut setup = Setup::new(&scene, &provision::xray()?)?;
    setup.trust(&["panel-v1-rsa.pem", "panel-ca-p256.pem"])?;
    let node = setup.start().await?;
    let config = write_config(&scene, Inbounds::new(&scene))?;
    let first = Script {
        node: &node,
        certificate: "panel-v1-rsa.pem",
        key: "panel-rsa.key",
        config: &config,
        log: scene.file("first-panel.log"),
    };
    // It pings until its session is over, and fails if that takes too long.
    let mut watching = first.start(&scene, "until-replaced")?;
    let started = || async {
        let log = std::fs::read_to_string(&first.log)?;
        log.contains("started")
            .then_some(())
            .context("the first panel has not started the core")
    };
    eventually(secs(60), "the first panel is at work", started).await?;
    let core = node.core()?;
    let second = Script {
        certificate: "panel-ca-p256.pem",
        key: "panel-p256.key",
        log: scene.file("second-panel.log"),
        ..first
    };
    second.run(&scene, "life").await?;
    let status = within(secs(60), "the first panel sees it", watching.wait()).await??;
    ensure!(status.success(), "the first panel ended with {status}");
    ensure!(!crate::harness::node::runs(core), "the first panel's core still runs");
    Ok(())
}
