//! Everything that the libraries of Gozargah and PasarGuard panels offer is called at least once, over both transports and
//! at a node with a real core (`spec/node-panel.md`, 3 and 4). A method of a later library that nobody calls fails these
//! tests.

mod answers;
mod changes;
mod excluded;

use crate::harness::bridge::{Bridge, Dialect, Library};
use crate::harness::doors::{Door, Doors, Held};
use crate::harness::node::{Node, gone};
use crate::harness::protocol::{Member, Protocol, Server};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::interface";

/// What the user moves whose figures are looked at.
const BYTES: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let (sessions, gozargah) = (Library::GozargahSessions, Library::Gozargah);
    let (earlier, later) = (Library::PasarGuard08, Library::PasarGuard);
    let mut suite = Suite::new(SUITE).needs(super::needs_every_bridge);
    for (name, library, transport) in [
        ("sessions_grpc", sessions, "grpc"),
        ("sessions_rest", sessions, "rest"),
        ("gozargah_grpc", gozargah, "grpc"),
        ("gozargah_rest", gozargah, "rest"),
        ("pasarguard_0_8_grpc", earlier, "grpc"),
        ("pasarguard_0_8_rest", earlier, "rest"),
        ("pasarguard_grpc", later, "grpc"),
        ("pasarguard_rest", later, "rest"),
    ] {
        suite = suite.once(name, move |scene| whole(scene, Dialect { library, transport }));
    }
    suite
        .once("excluded_inbounds_grpc", |scene| excluded::excluded(scene, "grpc"))
        .once("excluded_inbounds_rest", |scene| excluded::excluded(scene, "rest"))
        .done()
}

/// A node with a panel, inbounds that it gives the core, and an echo that users want to reach.
struct Stage {
    scene: Scene,
    node: Node,
    panel: Bridge,
    /// VLESS and Trojan.
    servers: [Server; 2],
    echo: Target,
    /// What the observatory asks.
    probed: Target,
}

impl Stage {
    async fn new(scene: &Scene, dialect: Dialect) -> Result<Self> {
        let (node, panel) = Bridge::with_node(scene, dialect).await?;
        Ok(Self {
            scene: scene.clone(),
            node,
            panel,
            servers: [Protocol::Vless, Protocol::Trojan].map(|protocol| Server::new(scene, protocol)),
            echo: Target::echo(scene)?,
            probed: Target::serve(scene, probed)?,
        })
    }

    /// With everything that the core has figures of.
    fn config(&self) -> Value {
        json!({
            "log": { "loglevel": "info" },
            "inbounds": self.servers.map(Server::inbound),
            "outbounds": [{ "tag": "DIRECT", "protocol": "freedom" }, { "tag": "HOLE", "protocol": "blackhole" }],
            "policy": {
                "levels": { "0": { "statsUserOnline": true } },
                "system": { "statsInboundUplink": true, "statsInboundDownlink": true },
            },
            "observatory": {
                "subjectSelector": ["DIRECT", "HOLE"], "probeUrl": format!("http://{}/", self.probed.address()),
                "probeInterval": "1s", "enableConcurrency": true,
            },
        })
    }

    /// Waits until `door` leads to the echo.
    async fn opens(&self, door: Door) -> Result<()> {
        // A try that came too early may find a server that reads on for a while before it closes to a stranger.
        const TRY: Duration = secs(3);
        let look = || async {
            let moved = door.move_data(&self.scene, self.echo.address(), 1_000);
            within(TRY, "data comes back", moved).await?
        };
        eventually(SOON, "the user gets through", look).await.map(drop)
    }

    /// Waits until `door` leads nowhere.
    async fn shuts(&self, door: Door) -> Result<()> {
        let look = || door.expect_shut(self.echo.address());
        eventually(SOON, "the user is kept out", look).await.map(drop)
    }
}

/// Answers one request over HTTP, which is enough for an observatory.
async fn probed(mut stream: TcpStream) {
    let mut request = [0; 4 << 10];
    if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
        // It sees for itself whether it got an answer.
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    }
}

/// Asks until the answer is as it has to be; it takes the core a moment to have figures.
async fn until(panel: &mut Bridge, what: Value, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + BACK;
    loop {
        let mut answer = panel.ask(&what).await?;
        if holds(&answer["ok"]) {
            return Ok(answer["ok"].take());
        }
        ensure!(Instant::now() < deadline, "{what}: {answer}");
        tokio::time::sleep(millis(100)).await;
    }
}

async fn whole(scene: Scene, dialect: Dialect) -> Result<()> {
    let members = [1, 2, 3, 4].map(|number| Member::new(number, &[Protocol::Vless]));
    let [member, ..] = &members;
    let mut stage = Stage::new(&scene, dialect).await?;
    let start = json!({ "do": "start", "config": stage.config(), "users": [member.told()] });
    let started = stage.panel.ok(start).await?;
    let core = stage.node.core()?;
    let source = scene.ip(2);
    let ways = members.each_ref().map(|member| (member, stage.servers[0]));
    let doors = Doors::start_from(&scene, source, &ways).await?;
    let mut held = Held::open(doors.door(0), &scene, stage.echo.address()).await?;
    held.move_data(BYTES).await?;

    answers::versions(&mut stage.panel, &started).await?;
    answers::log(&mut stage.panel, stage.echo.address(), &member.email).await?;
    answers::machine(&mut stage.panel).await?;
    answers::online(&mut stage.panel, &member.email, source).await?;
    answers::statistics(&mut stage, dialect.library, &member.email).await?;
    if matches!(dialect.library, Library::PasarGuard08 | Library::PasarGuard) {
        answers::latencies(&mut stage.panel).await?;
    }
    changes::all(&mut stage, dialect, &members, doors.all()).await?;

    held.move_data(BYTES).await.context("whom nobody has touched")?;
    ensure!(stage.node.core()? == core, "the core was restarted");
    answers::versions(&mut stage.panel, &started).await?;
    stage.panel.ok(json!({ "do": "stop" })).await?;
    gone(core, SOON).await?;
    let untouched = stage.panel.ok(json!({ "do": "untouched" })).await?;
    ensure!(untouched == json!([]), "nobody calls {untouched}");
    Ok(())
}
