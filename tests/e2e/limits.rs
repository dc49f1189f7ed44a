//! `[limits]`: rates slow streams down and never cut them, counts refuse the visitor that is too much.

use crate::harness::exchange::complete;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{expect_refused, talk};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("limits")
        .lanes("bytes_per_second_of_the_process", |scene| bytes(scene, "limits"))
        .lanes("bytes_per_second_of_a_session", |scene| bytes(scene, "server.limits"))
        .lanes("bytes_per_second_of_a_service", |scene| {
            bytes(scene, "server.services.web.limits")
        })
        .lanes("messages_per_second_of_a_service", messages)
        .lanes("visitors_of_the_process", |scene| visitors(scene, "limits"))
        .lanes("visitors_of_a_session", |scene| visitors(scene, "server.limits"))
        .lanes("visitors_of_a_service", |scene| {
            visitors(scene, "server.services.web.limits")
        })
        .lanes("a_limited_service_does_not_slow_another", other_service)
        .once("relay_bytes_per_second", relay_bytes)
        .once("relay_visitors", relay_visitors)
        .done()
}

/// Rate and burst of the tests, and what crosses: 2 s of patience beyond the burst.
const RATE: u64 = 1_000_000;
const BURST: u64 = 500_000;
const SIZE: u64 = 3_500_000;
/// (3.5 - 0.5) MB at 1 MB/s.
const LEAST: Duration = secs(3);

fn limit(config: &mut Config, scope: &str) {
    config
        .set(&format!("{scope}.bytes_per_second"), RATE as i64)
        .set(&format!("{scope}.burst_bytes"), BURST as i64);
}

async fn bytes(scene: Scene, scope: &'static str) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, _| limit(server, scope)).await?;
    slowed(&scene, tunnel.public, &target).await
}

/// Several streams together, in both directions, take as long as the rate demands, and lose nothing.
async fn slowed(scene: &Scene, public: SocketAddr, target: &Exchange) -> Result<()> {
    const STREAMS: u64 = 4;
    let start = Instant::now();
    let mut streams = JoinSet::new();
    let mut seeds = Vec::new();
    for number in 0..STREAMS {
        let (down, up) = if number % 2 == 0 {
            (SIZE / STREAMS, 0)
        } else {
            (0, SIZE / STREAMS)
        };
        let plan = Plan {
            seed: scene.stream_seed(),
            down,
            up,
            pause: Duration::ZERO,
        };
        streams.spawn(async move { complete(public, plan).await });
        seeds.push(plan.seed);
    }
    while let Some(done) = within(secs(60), "the slowed streams end", streams.join_next()).await? {
        done??;
    }
    for seed in seeds {
        // What a visitor has sent may still lie in a buffer: it has crossed when the target has it.
        let look = || async { target.seen(seed)?.context("the target is not done") };
        eventually(secs(60), "the target has everything", look).await?;
    }
    let took = start.elapsed();
    ensure!(
        took > LEAST.mul_f64(0.7),
        "{SIZE} bytes took {took:?} at {RATE} bytes per second"
    );
    ensure!(
        took < LEAST * 5,
        "{SIZE} bytes took {took:?} at {RATE} bytes per second"
    );
    Ok(())
}

async fn messages(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, _| {
        server.set("server.services.web.limits.messages_per_second", 40);
        server.set("server.services.web.limits.burst_messages", 20);
    })
    .await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    let start = Instant::now();
    // Each talk is one message in either direction: 120 - 20 messages at 40 a second.
    for _ in 0..60 {
        within(secs(30), "a slowed talk", talk(&mut visitor, b"tick")).await??;
    }
    let took = start.elapsed();
    ensure!(took > millis(1_700), "120 messages took {took:?} at 40 a second");
    ensure!(took < secs(20), "120 messages took {took:?} at 40 a second");
    Ok(())
}

async fn visitors(scene: Scene, scope: &'static str) -> Result<()> {
    let target = Target::echo(&scene)?;
    let key = format!("{scope}.visitors");
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, _| {
        server.set(&key, 3);
    })
    .await?;
    bounded(tunnel.public).await
}

async fn bounded(public: SocketAddr) -> Result<()> {
    let three = || async {
        let mut inside = Vec::new();
        for _ in 0..3 {
            let mut visitor = TcpStream::connect(public).await?;
            within(secs(5), "a talk within the limit", talk(&mut visitor, b"hello")).await??;
            inside.push(visitor);
        }
        anyhow::Ok(inside)
    };
    let mut inside = three().await?;
    for _ in 0..2 {
        for _ in 0..3 {
            expect_refused(public, secs(15))
                .await
                .context("a visitor above the limit")?;
        }
        for visitor in &mut inside {
            within(SOON, "a talk goes on at the limit", talk(visitor, b"still here")).await??;
        }
        drop(inside);
        // Each has his place for as long as it takes to end at both sides.
        (inside, _) = eventually(SOON, "there is room for all again", three).await?;
    }
    Ok(())
}

async fn other_service(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let free = scene.address();
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        limit(server, &format!("server.services.{SERVICE}.limits"));
        server.server_service("free", free);
        client.client_service("free", target.address());
    })
    .await?;
    listening(free, None, SOON).await?;
    let plan = |down| Plan {
        seed: scene.stream_seed(),
        down,
        up: 0,
        pause: Duration::ZERO,
    };
    let limited = tokio::spawn(complete(tunnel.public, plan(6_000_000)));
    tokio::time::sleep(millis(700)).await;
    within(
        secs(20),
        "30 MB beside a limited service",
        complete(free, plan(30_000_000)),
    )
    .await??;
    within(secs(60), "the limited transfer", limited).await??
}

async fn relay_bytes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config.relay_service(SERVICE, public, target.address());
    limit(&mut config, "relay.services.web.limits");
    let _relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    slowed(&scene, public, &target).await
}

async fn relay_visitors(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config
        .relay_service(SERVICE, public, target.address())
        .set("relay.services.web.limits.visitors", 3);
    let _relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    bounded(public).await
}
