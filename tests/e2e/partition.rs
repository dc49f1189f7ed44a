//! The path is cut: packets vanish, nothing resets. A router between namespaces of our own drops them.

use crate::harness::netns::Netns;
use crate::harness::process::Setting;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{connect_in, greeting_on, talk};
use crate::harness::*;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("partition")
        .faults("old_streams_and_new_visitors_survive_a_cut_of_20_s", cut_of_20_s)
        .faults("client_killed_during_the_cut_and_started_elsewhere", started_elsewhere)
        .only(
            Lane::Direct,
            "visitors_of_a_client_that_died_unseen_are_served_by_its_successor",
            died_unseen,
        )
        .faults("long_cut_ends_the_session_and_the_client_comes_back", long_cut)
        .done()
}

const CARRIER: &str = "10.1.0.2:4040";
const PUBLIC: &str = "10.1.0.2:8080";
const TARGET: &str = "127.0.0.1:7000";

/// Server, two places for a client, and a router between them.
struct World {
    server: Netns,
    home: Netns,
    elsewhere: Netns,
    router: Netns,
}

impl World {
    fn new() -> Result<Self> {
        let world = Self {
            server: Netns::new()?,
            home: Netns::new()?,
            elsewhere: Netns::new()?,
            router: Netns::new()?,
        };
        let places = [
            (&world.server, "srv"),
            (&world.home, "home"),
            (&world.elsewhere, "else"),
        ];
        for (number, (place, name)) in places.into_iter().enumerate() {
            let net = number + 1;
            let (own, gateway) = (format!("10.{net}.0.2").parse()?, format!("10.{net}.0.1").parse()?);
            place.link(own, &world.router, gateway, name)?;
            place.ip(&format!("route add default via {gateway}"))?;
        }
        world.router.forward()?;
        Ok(world)
    }

    /// Nothing goes from or to the client's first place any more.
    fn cut(&self) -> Result<()> {
        self.router.ip("rule add pref 1 from 10.2.0.0/16 blackhole")?;
        self.router.ip("rule add pref 2 to 10.2.0.0/16 blackhole")
    }

    fn heal(&self) -> Result<()> {
        self.router.ip("rule del pref 1")?;
        self.router.ip("rule del pref 2")
    }

    fn start_server(&self, scene: &Scene) -> Result<Kariz> {
        let mut config = Config::server(scene, CARRIER.parse()?);
        // The heartbeat and the timeouts are the defaults: they are what the cut is measured against.
        config
            .unset("server.heartbeat")
            .server_service(SERVICE, PUBLIC.parse()?);
        Kariz::start_with(
            scene,
            "server",
            &config,
            Setting {
                netns: Some(&self.server),
                ..Setting::default()
            },
        )
    }

    fn start_client(&self, scene: &Scene, place: &Netns) -> Result<Kariz> {
        let mut config = Config::client(scene, CARRIER.parse()?);
        config
            .unset("client.heartbeat")
            .client_service(SERVICE, TARGET.parse()?);
        Kariz::start_with(
            scene,
            "client",
            &config,
            Setting {
                netns: Some(place),
                ..Setting::default()
            },
        )
    }

    async fn visitor(&self) -> Result<TcpStream> {
        connect_in(&self.server, PUBLIC.parse()?).await
    }

    /// Waits until a new visitor is served.
    async fn answers(&self, limit: Duration) -> Result<Duration> {
        let look = || async {
            let mut visitor = self.visitor().await?;
            tokio::time::timeout(secs(12), talk(&mut visitor, b"hello")).await?
        };
        Ok(eventually(limit, "a new visitor is served", look).await?.1)
    }
}

async fn cut_of_20_s(scene: Scene) -> Result<()> {
    const STREAMS: usize = 16;
    let world = World::new()?;
    let _target = Target::echo_at(TARGET.parse()?, Some(&world.home))?;
    let _server = world.start_server(&scene)?;
    let _client = world.start_client(&scene, &world.home)?;
    listening(PUBLIC.parse()?, Some(&world.server), BACK).await?;
    world.answers(BACK).await?;
    let healed = Arc::new(AtomicBool::new(false));
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let mut visitor = world.visitor().await?;
        within(
            SOON,
            "an old stream works before the cut",
            talk(&mut visitor, b"before"),
        )
        .await??;
        let healed = healed.clone();
        streams.spawn(async move {
            let mut pattern = Pattern::new(number as u64);
            let mut bytes = vec![0; 3_000];
            loop {
                // Half of the streams talk during the cut, the others are silent.
                let after = healed.load(Ordering::Relaxed);
                if after || number % 2 == 0 {
                    pattern.fill(&mut bytes);
                    talk(&mut visitor, &bytes).await?;
                }
                if after {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(millis(100)).await;
            }
        });
    }
    tokio::time::sleep(secs(1)).await;
    world.cut()?;
    tokio::time::sleep(secs(20)).await;
    world.heal()?;
    healed.store(true, Ordering::Relaxed);
    let old = async {
        let mut alive = 0;
        while let Ok(Some(outcome)) = tokio::time::timeout(BACK, streams.join_next()).await {
            alive += usize::from(outcome?.is_ok());
        }
        anyhow::Ok(alive)
    };
    let (alive, back) = tokio::join!(old, world.answers(BACK));
    back.context("after the cut")?;
    let alive = alive?;
    ensure!(
        alive + 1 >= STREAMS,
        "{alive} of {STREAMS} old streams survived the cut"
    );
    Ok(())
}

async fn started_elsewhere(scene: Scene) -> Result<()> {
    let world = World::new()?;
    let _home = Target::serve_at(TARGET.parse()?, Some(&world.home), |stream| say(stream, "home\n"))?;
    let _elsewhere = Target::serve_at(TARGET.parse()?, Some(&world.elsewhere), |stream| {
        say(stream, "elsewhere\n")
    })?;
    let _server = world.start_server(&scene)?;
    let mut first = world.start_client(&scene, &world.home)?;
    let answers = async |who: &str| {
        let look = || async {
            let mut visitor = world.visitor().await?;
            let line = tokio::time::timeout(secs(12), greeting_on(&mut visitor)).await??;
            ensure!(line == who, "{line:?} answers");
            Ok(())
        };
        eventually(BACK, &format!("the client at {who} serves"), look).await
    };
    listening(PUBLIC.parse()?, Some(&world.server), BACK).await?;
    answers("home").await?;
    world.cut()?;
    // Its last words are lost in the cut: for the server it only has become silent.
    first.kill()?;
    tokio::time::sleep(secs(1)).await;
    let _second = world.start_client(&scene, &world.elsewhere)?;
    answers("elsewhere").await?;
    world.heal()?;
    tokio::time::sleep(secs(2)).await;
    answers("elsewhere").await?;
    Ok(())
}

/// The client's resets are lost in the cut, so that the server goes on handing out the carriers of a dead process. What
/// was said on them is answered by the next client.
async fn died_unseen(scene: Scene) -> Result<()> {
    const VISITORS: u8 = 12;
    let world = World::new()?;
    let _target = Target::echo_at(TARGET.parse()?, Some(&world.home))?;
    let server = world.start_server(&scene)?;
    let mut first = world.start_client(&scene, &world.home)?;
    listening(PUBLIC.parse()?, Some(&world.server), BACK).await?;
    world.answers(BACK).await?;
    world.cut()?;
    first.kill()?;
    tokio::time::sleep(millis(200)).await;
    world.heal()?;
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        let mut visitor = world.visitor().await?;
        visitors.spawn(async move { talk(&mut visitor, &[number; 1000]).await });
    }
    let _second = world.start_client(&scene, &world.home)?;
    while let Some(outcome) = within(BACK, "the next client answers", visitors.join_next()).await? {
        outcome??;
    }
    let refused = server.counters().await?["refused"];
    ensure!(refused == 0, "{refused} visitors were turned away");
    Ok(())
}

async fn say(mut stream: TcpStream, line: &'static str) {
    use tokio::io::AsyncWriteExt;
    let _ = stream.write_all(line.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn long_cut(scene: Scene) -> Result<()> {
    let world = World::new()?;
    let _target = Target::echo_at(TARGET.parse()?, Some(&world.home))?;
    let _server = world.start_server(&scene)?;
    let mut client = world.start_client(&scene, &world.home)?;
    listening(PUBLIC.parse()?, Some(&world.server), BACK).await?;
    world.answers(BACK).await?;
    world.cut()?;
    // 15 s until the silence is noticed, 30 s `session_timeout`, and some more.
    let closed = || async {
        let open = tunnel::is_listening(PUBLIC.parse()?, Some(&world.server))?;
        (!open).then_some(()).context("the public listener is still open")
    };
    let (_, after) = eventually(secs(90), "the session ends", closed).await?;
    ensure!(
        after > secs(30),
        "the session ended {after:?} after the cut, before `session_timeout`"
    );
    ensure!(client.exited()?.is_none(), "the client exited");
    world.heal()?;
    world.answers(BACK).await?;
    Ok(())
}
