//! The users of a node that the panels' own library drives, with a real core: who gets in, what he is counted for, and what
//! does not disturb him (`spec/node-panel.md`, Rules for us).

mod batch;
mod killed;
mod large;
mod logs;
mod names;
mod panels;
mod protocols;
mod refused;

use crate::harness::bridge::{Bridge, Dialect, Library, keyed};
use crate::harness::node::{Node, Setup};
use crate::harness::protocol::{Member, Protocol, Server};
use crate::harness::{provision, *};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::users";

pub fn trials() -> Vec<Trial> {
    let suites = [
        protocols::trials(),
        panels::trials(),
        logs::trials(),
        names::trials(),
        refused::trials(),
        batch::trials(),
        killed::trials(),
        large::trials(),
    ];
    suites.into_iter().flatten().collect()
}

fn suite() -> Suite {
    Suite::new(SUITE).needs(super::needs_bridge)
}

/// A node, inbounds that its panels give it, and an echo that users want to reach.
struct Stage {
    scene: Scene,
    node: Node,
    certificate: PathBuf,
    servers: Vec<Server>,
    echo: Target,
}

impl Stage {
    async fn new(scene: &Scene, protocols: &[Protocol]) -> Result<Self> {
        let mut setup = Setup::new(scene, &provision::xray()?)?;
        let certificate = keyed(&mut setup)?;
        Ok(Self {
            scene: scene.clone(),
            node: setup.start().await?,
            certificate,
            servers: protocols.iter().map(|protocol| Server::new(scene, *protocol)).collect(),
            echo: Target::echo(scene)?,
        })
    }

    /// One more panel for the node.
    fn panel(&self, transport: &'static str) -> Result<Bridge> {
        let library = Library::PasarGuard;
        Bridge::start(
            &self.scene,
            Dialect { library, transport },
            self.node.address,
            &self.certificate,
        )
    }

    /// The same, and it starts the core with `users`.
    async fn started(&self, transport: &'static str, users: &[Member]) -> Result<Bridge> {
        let mut panel = self.panel(transport)?;
        let start = json!({ "do": "start", "config": self.config(), "users": told(users) });
        panel.ok(start).await?;
        Ok(panel)
    }

    fn config(&self) -> Value {
        json!({
            "log": { "loglevel": "warning" },
            "inbounds": self.servers.iter().map(|server| server.inbound()).collect::<Vec<Value>>(),
            "outbounds": [{ "tag": "DIRECT", "protocol": "freedom" }],
        })
    }

    fn echo(&self) -> SocketAddr {
        self.echo.address()
    }
}

fn told(members: &[Member]) -> Vec<Value> {
    members.iter().map(Member::told).collect()
}
