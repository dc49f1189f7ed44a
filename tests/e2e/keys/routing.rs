//! Keys that say where things are: addresses, transports, strategies.

use super::{Row, direct, place};
use crate::harness::process::binary;
use crate::harness::sockets::canonical;
use crate::harness::tunnel::{SERVICE, is_listening, listening, not_listening};
use crate::harness::visitor::{greeting, visit};
use crate::harness::*;
use std::collections::BTreeSet;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        direct("server.bind_addr", |scene| bind(scene, false)),
        direct("server.bind_addrs", |scene| bind(scene, true)),
        direct("client.remote_addr", |scene| remote(scene, false)),
        direct("client.remote_addrs", |scene| remote(scene, true)),
        direct("client.strategy", strategy),
        direct("client.local_addrs", local_addrs),
        direct("client.edge_ip", edge_ip),
        direct("server.services.NAME.bind_addr", public_address),
        direct("client.services.NAME.local_addr", target_address),
        direct("server.services.NAME.proxy_protocol", |scene| {
            proxy_protocol(scene, "server")
        }),
        direct("relay.services.NAME.proxy_protocol", |scene| {
            proxy_protocol(scene, "relay")
        }),
        direct("relay.services.NAME.bind_addr", relay),
        direct("relay.services.NAME.remote_addr", relay),
        direct("relay.services.NAME.remote_addrs", relay_strategy),
        direct("relay.services.NAME.strategy", relay_strategy),
    ];
    for key in ["server.transport", "client.transport"] {
        rows.push(direct(key, move |scene| transport(scene, key)));
    }
    for key in [
        "server.services.NAME.type",
        "client.services.NAME.type",
        "relay.services.NAME.type",
    ] {
        rows.push(direct(key, move |scene| kind(scene, key)));
    }
    rows
}

/// All addresses accept clients; the union counts when both keys are there.
async fn bind(scene: Scene, several: bool) -> Result<()> {
    let addresses = [scene.address(), scene.address(), scene.address()];
    let mut config = Config::server(&scene, addresses[0]);
    config.server_service(SERVICE, scene.address());
    if several {
        config.set(
            "server.bind_addrs",
            addresses[1..].iter().map(ToString::to_string).collect::<Vec<_>>(),
        );
    }
    let server = Kariz::start(&scene, "server", &config)?;
    for (number, address) in addresses.into_iter().enumerate() {
        if number == 0 || several {
            listening(address, None, SOON).await?;
            ensure!(
                !server.listeners(address)?.is_empty(),
                "somebody else listens at {address}"
            );
        } else {
            ensure!(!is_listening(address, None)?, "it listens where nobody asked it to");
        }
    }
    Ok(())
}

async fn remote(scene: Scene, several: bool) -> Result<()> {
    let target = Target::echo(&scene)?;
    let absent = scene.address();
    let tunnel = Tunnel::start_with(&scene, target.address(), |_, client| {
        if several {
            // The first one is not there.
            let carrier = client.get_str("client.remote_addr");
            client
                .unset("client.remote_addr")
                .set("client.remote_addrs", vec![absent.to_string(), carrier]);
        }
    })
    .await?;
    tunnel.answers().await?;
    Ok(())
}

/// Two servers: `failover` uses the first and goes back to it, `balance` uses both.
async fn strategy(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let carriers = [scene.address(), scene.address()];
    let publics = [scene.address(), scene.address()];
    let start = |number: usize| {
        let mut config = Config::server(&scene, carriers[number]);
        config
            .server_service(SERVICE, publics[number])
            .set("server.session_timeout", 5);
        Kariz::start(&scene, "server", &config)
    };
    let (mut first, _second) = (start(0)?, start(1)?);
    listening(carriers[0], None, SOON).await?;
    listening(carriers[1], None, SOON).await?;
    let client = |strategy: &str| {
        let mut config = Config::client(&scene, carriers[0]);
        config
            .set("client.remote_addrs", carriers.map(|a| a.to_string()).to_vec())
            .set("client.strategy", strategy);
        config.client_service(SERVICE, target.address());
        Kariz::start(&scene, "client", &config)
    };
    let balancing = client("balance")?;
    for public in publics {
        listening(public, None, SOON).await?;
        within(SOON, "a visit", visit(public)).await??;
    }
    drop(balancing);
    for public in publics {
        not_listening(public, SOON).await?;
    }
    let _failing_over = client("failover")?;
    listening(publics[0], None, SOON).await?;
    within(SOON, "a visit", visit(publics[0])).await??;
    tokio::time::sleep(secs(2)).await;
    ensure!(
        !is_listening(publics[1], None)?,
        "failover uses the second server although the first works"
    );
    first.kill()?;
    listening(publics[1], None, BACK)
        .await
        .context("the second server after the first has died")?;
    within(SOON, "a visit", visit(publics[1])).await??;
    let _first = start(0)?;
    listening(publics[0], None, secs(60))
        .await
        .context("back to the first when it recovers")?;
    within(SOON, "a visit", visit(publics[0])).await?
}

async fn local_addrs(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let sources = [scene.ip(5), scene.ip(6)];
    let tunnel = Tunnel::start_with(&scene, target.address(), |_, client| {
        client.set("client.local_addrs", sources.map(|ip| format!("{ip}:0")).to_vec());
        client.set("client.default_connection_pool", 6);
    })
    .await?;
    tunnel.answers().await?;
    let look = || async {
        let peers = tunnel.server.connections(tunnel.carrier)?;
        let peers: BTreeSet<IpAddr> = peers.iter().filter_map(|s| Some(canonical(s.peer?).ip())).collect();
        ensure!(peers == BTreeSet::from(sources), "carriers come from {peers:?}");
        Ok(())
    };
    eventually(SOON, "both source addresses are used", look).await.map(drop)
}

async fn edge_ip(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let nowhere = scene.ip(99).to_string();
    let tunnel = Tunnel::start_with(&scene, target.address(), |_, client| {
        client.set("client.edge_ip", nowhere);
    })
    .await?;
    // It is without effect on this transport: the server is still dialled at its own address.
    tunnel.answers().await?;
    ensure!(
        !tunnel.client.connections(tunnel.carrier)?.is_empty(),
        "the client dials somewhere else"
    );
    Ok(())
}

/// Both ends have to agree; with `tcpmux` the visitors share carriers.
async fn transport(scene: Scene, key: &'static str) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    let mut config = Config::server(&scene, carrier);
    config
        .server_service(SERVICE, public)
        .client_service(SERVICE, target.address());
    config
        .set("client.remote_addr", carrier.to_string())
        .set("client.default_token", config::TOKEN);
    config.set("client.transport", "tcp").set(key, "tcpmux");
    let _server = Kariz::start(&scene, "server", &config)?;
    let mut client = Kariz::start(&scene, "client", &config)?;
    tokio::time::sleep(secs(3)).await;
    ensure!(
        !is_listening(public, None)?,
        "ends with different transports opened a service"
    );
    ensure!(client.exited()?.is_none(), "the client exited");
    Ok(())
}

async fn public_address(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let elsewhere = scene.address();
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        server.server_service("second", elsewhere);
        client.client_service("second", target.address());
    })
    .await?;
    listening(elsewhere, None, SOON).await?;
    ensure!(
        !tunnel.server.listeners(elsewhere)?.is_empty(),
        "somebody else listens at {elsewhere}"
    );
    within(SOON, "a visit", visit(elsewhere)).await?
}

async fn target_address(scene: Scene) -> Result<()> {
    let [here, there] = [Target::greeter(&scene, "here\n")?, Target::greeter(&scene, "there\n")?];
    let tunnel = Tunnel::start_with(&scene, here.address(), |_, client| {
        client.client_service(SERVICE, there.address());
    })
    .await?;
    ensure!(
        within(SOON, "a greeting", greeting(tunnel.public)).await?? == "there",
        "the wrong target answers"
    );
    ensure!(here.accepted() == 0, "both targets were dialled");
    Ok(())
}

/// The first bytes at the target; `headers` looks at them closely.
async fn proxy_protocol(scene: Scene, section: &'static str) -> Result<()> {
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(&scene, move |mut stream| {
        let report = report.clone();
        async move {
            let mut first = [0; 6];
            let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await;
            let _ = report.send(first);
        }
    })?;
    let key = place(&format!("{section}.services.NAME.proxy_protocol"));
    let relayed = scene.address();
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, _| {
        server.relay_service(SERVICE, relayed, target.address()).set(&key, "v1");
    })
    .await?;
    let relay = Kariz::start(&scene, "relay", &tunnel.server_config)?;
    listening(relayed, None, SOON).await?;
    ensure!(
        !relay.listeners(relayed)?.is_empty(),
        "somebody else listens at {relayed}"
    );
    let public = if section == "relay" { relayed } else { tunnel.public };
    let _visitor = tokio::net::TcpStream::connect(public).await?;
    let first = within(SOON, "the target's report", reports.recv())
        .await?
        .context("no report")?;
    ensure!(&first == b"PROXY ", "the target's first bytes are {first:?}");
    Ok(())
}

async fn relay(scene: Scene) -> Result<()> {
    let target = Target::greeter(&scene, "here\n")?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config.relay_service(SERVICE, public, target.address());
    let relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    ensure!(
        !relay.listeners(public)?.is_empty(),
        "somebody else listens at {public}"
    );
    ensure!(
        within(SOON, "a greeting", greeting(public)).await?? == "here",
        "the wrong target answers"
    );
    Ok(())
}

async fn relay_strategy(scene: Scene) -> Result<()> {
    let targets = [Target::greeter(&scene, "one\n")?, Target::greeter(&scene, "two\n")?];
    for (strategy, expected) in [("failover", 1), ("balance", 2)] {
        let public = scene.address();
        let mut config = Config::new(&scene);
        config.set("relay.services.web.bind_addr", public.to_string());
        config.set(
            "relay.services.web.remote_addrs",
            targets.each_ref().map(|t| t.address().to_string()).to_vec(),
        );
        config.set("relay.services.web.strategy", strategy);
        let _relay = Kariz::start(&scene, "relay", &config)?;
        listening(public, None, SOON).await?;
        let mut answers = BTreeSet::new();
        let mut inside = Vec::new();
        for _ in 0..12 {
            let mut visitor = tokio::net::TcpStream::connect(public).await?;
            answers.insert(within(SOON, "a greeting", visitor::greeting_on(&mut visitor)).await??);
            inside.push(visitor);
        }
        ensure!(answers.len() == expected, "{strategy}: {answers:?} answered");
    }
    Ok(())
}

/// Only tcp works yet; anything else is refused with the key's name.
async fn kind(scene: Scene, key: &'static str) -> Result<()> {
    let section = key.split('.').next().unwrap_or_default().to_owned();
    let mut config = Config::server(&scene, scene.address());
    config
        .server_service(SERVICE, scene.address())
        .relay_service(SERVICE, scene.address(), scene.address());
    config
        .set("client.remote_addr", "127.0.0.1:1")
        .set("client.transport", "tcp");
    config
        .set("client.default_token", config::TOKEN)
        .client_service(SERVICE, scene.address());
    for (value, code) in [("tcp", 0), ("udp", 64), ("http", 64)] {
        config.set(&place(key), value);
        let file = config.write(&scene, &section)?;
        let output = std::process::Command::new(binary())
            .arg("check")
            .arg("-c")
            .arg(file)
            .output()?;
        ensure!(output.status.code() == Some(code), "{key} = {value}: {}", output.status);
    }
    Ok(())
}
