//! Keys that say who may serve what, how many carriers there are, and how much may pass.

use super::{Row, direct, place, row};
use crate::harness::exchange::complete;
use crate::harness::tunnel::{SERVICE, is_listening, listening};
use crate::harness::visitor::{expect_refused, talk, visit};
use crate::harness::*;
use tokio::net::TcpStream;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for key in ["server.default_token", "client.default_token"] {
        rows.push(direct(key, move |scene| token(scene, key)));
    }
    for key in ["server.services.NAME.token", "client.services.NAME.token"] {
        rows.push(direct(key, move |scene| token(scene, key)));
    }
    for key in ["client.default_connection_pool", "client.services.NAME.connection_pool"] {
        rows.push(direct(key, move |scene| pool(scene, key)));
    }
    for key in ["server.max_carriers", "client.max_carriers"] {
        rows.push(direct(key, move |scene| max_carriers(scene, key)));
    }
    for (bytes, burst) in [
        ("limits.bytes_per_second", "limits.burst_bytes"),
        ("server.limits.bytes_per_second", "server.limits.burst_bytes"),
        (
            "server.services.NAME.limits.bytes_per_second",
            "server.services.NAME.limits.burst_bytes",
        ),
        (
            "relay.services.NAME.limits.bytes_per_second",
            "relay.services.NAME.limits.burst_bytes",
        ),
    ] {
        rows.push(direct(bytes, move |scene| rate(scene, Unit::Bytes, bytes, None)));
        rows.push(direct(burst, move |scene| rate(scene, Unit::Bytes, bytes, Some(burst))));
    }
    for (messages, burst) in [
        ("limits.messages_per_second", "limits.burst_messages"),
        ("server.limits.messages_per_second", "server.limits.burst_messages"),
        (
            "server.services.NAME.limits.messages_per_second",
            "server.services.NAME.limits.burst_messages",
        ),
        (
            "relay.services.NAME.limits.messages_per_second",
            "relay.services.NAME.limits.burst_messages",
        ),
    ] {
        rows.push(direct(messages, move |scene| {
            rate(scene, Unit::Messages, messages, None)
        }));
        rows.push(direct(burst, move |scene| {
            rate(scene, Unit::Messages, messages, Some(burst))
        }));
    }
    for key in [
        "limits.visitors",
        "server.limits.visitors",
        "server.services.NAME.limits.visitors",
        "relay.services.NAME.limits.visitors",
        "runtime.max_visitors",
    ] {
        rows.push(row(key, Lane::Mux, move |scene| visitors(scene, key)));
    }
    rows
}

/// A tunnel, or a relay when `key` belongs to one, with keys set on the public end.
struct Entrance {
    public: SocketAddr,
    _processes: Vec<Kariz>,
}

impl Entrance {
    async fn open(scene: &Scene, target: SocketAddr, key: &str, set: &[(&str, i64)]) -> Result<Self> {
        let change = |config: &mut Config| {
            set.iter().for_each(|(key, value)| {
                config.set(&place(key), *value);
            })
        };
        if key.starts_with("relay") {
            let public = scene.address();
            let mut config = Config::new(scene);
            config.relay_service(SERVICE, public, target);
            change(&mut config);
            let relay = Kariz::start(scene, "relay", &config)?;
            listening(public, None, SOON).await?;
            return Ok(Self {
                public,
                _processes: vec![relay],
            });
        }
        let Tunnel {
            server, client, public, ..
        } = Tunnel::start_with(scene, target, |server, _| change(server)).await?;
        Ok(Self {
            public,
            _processes: vec![server, client],
        })
    }
}

/// Only when both ends have the other token, too, the service is opened.
async fn token(scene: Scene, key: &'static str) -> Result<()> {
    const OTHER: &str = "a token that only this row knows";
    let target = Target::echo(&scene)?;
    let twin = if key.starts_with("server") {
        key.replacen("server", "client", 1)
    } else {
        key.replacen("client", "server", 1)
    };
    for both in [false, true] {
        let (carrier, public) = (scene.address(), scene.address());
        let mut config = Config::server(&scene, carrier);
        config
            .server_service(SERVICE, public)
            .client_service(SERVICE, target.address());
        config
            .set("client.remote_addr", carrier.to_string())
            .set("client.transport", scene.lane().transport());
        config
            .set("client.default_token", config::TOKEN)
            .set(&place(key), OTHER);
        if both {
            config.set(&place(&twin), OTHER);
        }
        let _server = Kariz::start(&scene, "server", &config)?;
        let _client = Kariz::start(&scene, "client", &config)?;
        if both {
            listening(public, None, SOON).await?;
            within(SOON, "a visit", visit(public)).await??;
        } else {
            tokio::time::sleep(secs(3)).await;
            ensure!(
                !is_listening(public, None)?,
                "a service was opened with {key} on one end only"
            );
        }
    }
    Ok(())
}

async fn pool(scene: Scene, key: &'static str) -> Result<()> {
    const POOL: usize = 23;
    let target = Target::echo(&scene)?;
    let set = |_: &mut Config, client: &mut Config| {
        client.set(&place(key), POOL as i64);
    };
    let tunnel = Tunnel::start_with(&scene, target.address(), set).await?;
    // The control carrier is one more; each worker may round its share up.
    let most = POOL + 1 + config::WORKERS as usize;
    let look = || async {
        let carriers = tunnel.client.connections(tunnel.carrier)?.len();
        ensure!(
            (POOL + 1..=most).contains(&carriers),
            "{carriers} carriers for a pool of {POOL}"
        );
        Ok(())
    };
    eventually(SOON, "the pool is full", look).await?;
    tokio::time::sleep(secs(1)).await;
    look().await
}

async fn max_carriers(scene: Scene, key: &'static str) -> Result<()> {
    const MOST: usize = 4;
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        let owner = if key.starts_with("server") { server } else { client };
        owner.set(key, MOST as i64);
    })
    .await?;
    let mut visitors = Vec::new();
    let mut served = 0;
    for _ in 0..10 {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        served += usize::from(matches!(
            tokio::time::timeout(secs(1), talk(&mut visitor, b"hello")).await,
            Ok(Ok(()))
        ));
        visitors.push(visitor);
        let carriers = tunnel.server.connections(tunnel.carrier)?.len();
        ensure!(
            carriers <= MOST + 1,
            "{carriers} carriers, {MOST} and the control carrier are allowed"
        );
    }
    ensure!(
        (1..=MOST).contains(&served),
        "{served} visitors were served on at most {MOST} carriers"
    );
    drop(visitors);
    tunnel.answers().await?;
    Ok(())
}

/// What a rate counts.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Bytes,
    Messages,
}

/// At the rate alone the work takes more than 2.5 s; with a burst that holds all of it, it is done at once.
async fn rate(scene: Scene, unit: Unit, key: &'static str, burst: Option<&'static str>) -> Result<()> {
    let (per_second, enough) = if unit == Unit::Bytes {
        (400_000, 50_000_000)
    } else {
        (30, 100_000)
    };
    let target = Exchange::start(&scene)?;
    let echo = Target::echo(&scene)?;
    let address = if unit == Unit::Bytes {
        target.address()
    } else {
        echo.address()
    };
    let mut set = vec![(key, per_second)];
    set.extend(burst.map(|key| (key, enough)));
    let entrance = Entrance::open(&scene, address, key, &set).await?;
    let start = Instant::now();
    if unit == Unit::Bytes {
        let plan = Plan {
            seed: scene.stream_seed(),
            down: 1_600_000,
            up: 0,
            pause: Duration::ZERO,
        };
        within(secs(30), "a slowed transfer", complete(entrance.public, plan)).await??;
    } else {
        let mut visitor = TcpStream::connect(entrance.public).await?;
        for _ in 0..60 {
            within(secs(30), "a slowed talk", talk(&mut visitor, b"tick")).await??;
        }
    }
    let took = start.elapsed();
    match burst {
        None => ensure!(took > millis(2_500), "{key} = {per_second}: it took only {took:?}"),
        Some(burst) => ensure!(took < millis(2_000), "{burst} = {enough}: it took {took:?}"),
    }
    Ok(())
}

async fn visitors(scene: Scene, key: &'static str) -> Result<()> {
    let target = Target::echo(&scene)?;
    let entrance = Entrance::open(&scene, target.address(), key, &[(key, 2)]).await?;
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut visitor = TcpStream::connect(entrance.public).await?;
        within(SOON, "a talk within the limit", talk(&mut visitor, b"hello")).await??;
        inside.push(visitor);
    }
    expect_refused(entrance.public, secs(15))
        .await
        .with_context(|| format!("{key} = 2, the third visitor"))
}
