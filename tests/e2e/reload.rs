//! SIGHUP: what changed is changed, what did not is not touched; a bad file changes nothing.

use crate::harness::tunnel::{SERVICE, listening, not_listening};
use crate::harness::visitor::{expect_refused, talk, visit};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("reload")
        .faults("services_come_and_go_without_touching_others", come_and_go)
        .faults("a_bad_file_changes_nothing", bad_file)
        .faults("target_address_of_a_service_changes", other_target)
        .faults("a_service_that_cannot_move_stays_where_it_was", moves)
        .lanes("services_change_places", swap)
        .once("a_relay_that_cannot_move_stays_where_it_was", relay_moves)
        .lanes("token_changes_on_both_ends", other_token)
        .lanes("limits_change", other_limits)
        .lanes("log_level_changes", other_log_level)
        .once("relay_services_come_and_go", relay)
        .done()
}

async fn come_and_go(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    let added = scene.address();
    let (mut server, mut client) = (tunnel.server_config.clone(), tunnel.client_config.clone());
    server.server_service("added", added);
    client.client_service("added", target.address());
    reload(&tunnel, &server, &client)?;
    listening(added, None, BACK).await.context("the added service")?;
    within(SOON, "a visit to the added service", visit(added)).await??;
    let mut on_added = TcpStream::connect(added).await?;
    within(SOON, "a talk", talk(&mut on_added, b"hello")).await??;
    within(SOON, "the old stream goes on", talk(&mut old, b"during")).await??;
    reload(&tunnel, &tunnel.server_config, &tunnel.client_config)?;
    not_listening(added, BACK).await.context("the removed service")?;
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await??;
    tunnel.answers().await?;
    ensure!(
        tunnel.server.exited()?.is_none() && tunnel.client.exited()?.is_none(),
        "a process exited"
    );
    Ok(())
}

/// A service moves to an address that somebody else has: it goes on where it was, and moves once that is free.
async fn moves(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    let there = scene.address();
    let blocker = target::listen(there, None)?;
    let mut server = tunnel.server_config.clone();
    server.server_service(SERVICE, there);
    reload(&tunnel, &server, &tunnel.client_config)?;
    tunnel.server.logs(SOON, "keeps its old settings").await?;
    for _ in 0..10 {
        within(SOON, "a visit where it was", visit(tunnel.public)).await??;
    }
    drop(blocker);
    let look = || async { tokio::time::timeout(secs(2), visit(there)).await? };
    eventually(BACK, "it is where it should be", look).await?;
    not_listening(tunnel.public, SOON).await?;
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await?
}

/// Two services change places in one go.
async fn swap(scene: Scene) -> Result<()> {
    let [one, two] = [Target::greeter(&scene, "one\n")?, Target::greeter(&scene, "two\n")?];
    let second = scene.address();
    let tunnel = Tunnel::start_with(&scene, one.address(), |server, client| {
        server.server_service("second", second);
        client.client_service("second", two.address());
    })
    .await?;
    listening(second, None, SOON).await?;
    let mut server = tunnel.server_config.clone();
    server
        .server_service(SERVICE, second)
        .server_service("second", tunnel.public);
    reload(&tunnel, &server, &tunnel.client_config)?;
    for (address, who) in [(second, "one"), (tunnel.public, "two")] {
        let look = || async {
            let answer = tokio::time::timeout(secs(2), visitor::greeting(address)).await??;
            ensure!(answer == who, "{answer:?} answers");
            Ok(())
        };
        eventually(BACK, who, look).await?;
    }
    Ok(())
}

/// As [`moves`], for a relay: nothing is lost while the new address is taken.
async fn relay_moves(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let [here, there] = [scene.address(), scene.address()];
    let mut config = Config::new(&scene);
    config.relay_service(SERVICE, here, target.address());
    let process = Kariz::start(&scene, "relay", &config)?;
    listening(here, None, SOON).await?;
    let mut old = TcpStream::connect(here).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    let blocker = target::listen(there, None)?;
    config.relay_service(SERVICE, there, target.address());
    config.write_to(process.file())?;
    process.signal(Signal::HUP)?;
    process.logs(SOON, "service failed").await?;
    for _ in 0..10 {
        within(SOON, "a visit where it was", visit(here)).await??;
    }
    drop(blocker);
    let look = || async { tokio::time::timeout(secs(2), visit(there)).await? };
    eventually(BACK, "it is where it should be", look).await?;
    not_listening(here, SOON).await?;
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await?
}

/// Writes both files and sends both signals.
fn reload(tunnel: &Tunnel, server: &Config, client: &Config) -> Result<()> {
    server.write_to(tunnel.server.file())?;
    client.write_to(tunnel.client.file())?;
    tunnel.server.signal(Signal::HUP)?;
    tunnel.client.signal(Signal::HUP)
}

async fn bad_file(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    let added = scene.address();
    let mut bad = tunnel.server_config.clone();
    // One good change beside a bad one: neither may happen.
    bad.server_service("added", added)
        .set("server.services.web.priority", 17);
    bad.write_to(tunnel.server.file())?;
    std::fs::write(tunnel.client.file(), "[client]\nthis is not TOML")?;
    for _ in 0..3 {
        tunnel.server.signal(Signal::HUP)?;
        tunnel.client.signal(Signal::HUP)?;
        tokio::time::sleep(millis(500)).await;
    }
    tunnel
        .server
        .logs(SOON, "priority")
        .await
        .context("the log says which key is bad")?;
    ensure!(!tunnel::is_listening(added, None)?, "half of a bad file was applied");
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await??;
    tunnel.answers().await?;
    std::fs::remove_file(tunnel.client.file())?;
    tunnel.client.signal(Signal::HUP)?;
    tokio::time::sleep(millis(500)).await;
    tunnel.answers().await?;
    ensure!(
        tunnel.server.exited()?.is_none() && tunnel.client.exited()?.is_none(),
        "a process exited"
    );
    Ok(())
}

async fn other_target(scene: Scene) -> Result<()> {
    let [one, two] = [Target::greeter(&scene, "one\n")?, Target::greeter(&scene, "two\n")?];
    let tunnel = Tunnel::start(&scene, one.address()).await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(
        SOON,
        "the greeting",
        tokio::io::AsyncReadExt::read_exact(&mut old, &mut [0; 4]),
    )
    .await??;
    let mut client = tunnel.client_config.clone();
    client.client_service(SERVICE, two.address());
    reload(&tunnel, &tunnel.server_config, &client)?;
    let look = || async {
        let answer = tokio::time::timeout(secs(12), visitor::greeting(tunnel.public)).await??;
        ensure!(answer == "two", "{answer:?} answers");
        Ok(())
    };
    eventually(BACK, "visitors go to the new target", look).await?;
    within(
        SOON,
        "the old stream stays with the old target",
        talk(&mut old, b"still one"),
    )
    .await?
}

async fn other_token(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    tunnel.answers().await?;
    let token = "another token of good length";
    let (mut server, mut client) = (tunnel.server_config.clone(), tunnel.client_config.clone());
    server.set("server.default_token", token);
    client.set("client.default_token", token);
    reload(&tunnel, &server, &client)?;
    tunnel.answers().await?;
    // A client that only knows the old one gets nothing.
    let decoy = Target::greeter(&scene, "old token\n")?;
    let mut stale = tunnel.client_config.clone();
    stale.client_service(SERVICE, decoy.address());
    let _stale = Kariz::start(&scene, "client", &stale)?;
    tokio::time::sleep(secs(3)).await;
    tunnel.answers().await?;
    ensure!(decoy.accepted() == 0, "a client with the old token was given a visitor");
    Ok(())
}

async fn other_limits(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut first = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut first, b"hello")).await??;
    let mut server = tunnel.server_config.clone();
    server.set("limits.visitors", 1);
    reload(&tunnel, &server, &tunnel.client_config)?;
    let look = || async { expect_refused(tunnel.public, secs(2)).await };
    eventually(SOON, "a second visitor is refused", look).await?;
    within(SOON, "the first one goes on", talk(&mut first, b"still here")).await??;
    reload(&tunnel, &tunnel.server_config, &tunnel.client_config)?;
    tunnel.answers().await?;
    Ok(())
}

async fn other_log_level(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let quiet = |server: &mut Config, _: &mut Config| {
        server.set("server.log_level", "error");
    };
    let tunnel = Tunnel::start_with(&scene, target.address(), quiet).await?;
    tunnel.answers().await?;
    let level = |name: &str| {
        tunnel
            .server
            .log()
            .to_lowercase()
            .contains(&format!("\"level\":\"{name}\""))
    };
    ensure!(!level("info"), "an informational line at log_level = error");
    let mut server = tunnel.server_config.clone();
    server.set("server.log_level", "debug");
    reload(&tunnel, &server, &tunnel.client_config)?;
    let look = || async {
        visit(tunnel.public).await?;
        (level("debug") || level("info"))
            .then_some(())
            .context("the log is still quiet")
    };
    eventually(SOON, "the log is talkative", look).await.map(drop)
}

async fn relay(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let [first, second] = [scene.address(), scene.address()];
    let mut config = Config::new(&scene);
    config.relay_service("first", first, target.address());
    let process = Kariz::start(&scene, "relay", &config)?;
    listening(first, None, SOON).await?;
    let mut old = TcpStream::connect(first).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    let mut more = config.clone();
    more.relay_service("second", second, target.address());
    more.write_to(process.file())?;
    process.signal(Signal::HUP)?;
    listening(second, None, SOON).await?;
    within(SOON, "a visit to the added service", visit(second)).await??;
    config.write_to(process.file())?;
    process.signal(Signal::HUP)?;
    not_listening(second, SOON).await?;
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await?
}
