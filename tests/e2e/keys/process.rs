//! Keys of the process itself.

use super::{Row, direct};
use crate::harness::visitor::visit;
use crate::harness::*;
use serde_json::Value;
use tokio::net::TcpStream;

pub(super) fn rows() -> Vec<Row> {
    vec![
        direct("runtime.workers", workers),
        direct("runtime.pin", pin),
        direct("runtime.io", io),
        direct("runtime.log_format", log_format),
        direct("runtime.max_handshakes", max_handshakes),
        direct("server.log_level", |scene| log_level(scene, "server.log_level")),
        direct("client.log_level", |scene| log_level(scene, "client.log_level")),
    ]
}

async fn workers(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let three = |server: &mut Config, _: &mut Config| {
        server.set("runtime.workers", 3);
    };
    let tunnel = Tunnel::start_with(&scene, target.address(), three).await?;
    tunnel.server.counter_lines(3).await?;
    // A fourth would have come by now.
    tokio::time::sleep(millis(500)).await;
    let lines = tunnel.server.counter_lines(3).await?;
    ensure!(lines.len() == 3, "{} workers", lines.len());
    Ok(())
}

/// Threads of the server that may run on one core only.
async fn pinned(scene: &Scene, pin: bool) -> Result<usize> {
    let target = Target::echo(scene)?;
    let set = |server: &mut Config, _: &mut Config| {
        server.set("runtime.pin", pin);
    };
    let tunnel = Tunnel::start_with(scene, target.address(), set).await?;
    tunnel.answers().await?;
    let mut pinned = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", tunnel.server.pid()))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = allowed.context("a thread has a list of cores")?.trim();
        pinned += usize::from(!allowed.contains(['-', ',']));
    }
    Ok(pinned)
}

async fn pin(scene: Scene) -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!(trial::Missing("pinning shows nothing on one core"));
    }
    let (with, without) = (pinned(&scene, true).await?, pinned(&scene, false).await?);
    ensure!(
        with >= config::WORKERS as usize && without == 0,
        "{with} pinned threads with, {without} without"
    );
    Ok(())
}

async fn io(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    for (driver, ring) in [("epoll", false), ("uring", true)] {
        let set = |server: &mut Config, _: &mut Config| {
            server.set("runtime.io", driver);
        };
        let tunnel = Tunnel::start_with(&scene, target.address(), set).await;
        let tunnel = match tunnel {
            Err(_) if ring && scene.story().contains("io_uring") => {
                bail!(trial::Missing("this kernel does not allow io_uring"))
            }
            other => other?,
        };
        tunnel.answers().await?;
        let names = tunnel.server.descriptor_names()?;
        let has_ring = names.iter().any(|name| name.contains("io_uring"));
        ensure!(has_ring == ring, "io = {driver}: the descriptors are {names:?}");
    }
    Ok(())
}

async fn log_format(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    for (format, json) in [("json", true), ("text", false)] {
        let set = |server: &mut Config, _: &mut Config| {
            server.set("runtime.log_format", format);
        };
        let tunnel = Tunnel::start_with(&scene, target.address(), set).await?;
        let log = tunnel.server.log();
        ensure!(!log.is_empty(), "log_format = {format}: nothing was logged");
        let objects = log
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|v| v.is_object()));
        let expected = if json { log.lines().count() } else { 0 };
        ensure!(objects.count() == expected, "log_format = {format}:\n{log}");
    }
    Ok(())
}

async fn max_handshakes(scene: Scene) -> Result<()> {
    const MOST: u64 = 10;
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, _| {
        server
            .set("runtime.max_handshakes", MOST as i64)
            .set("runtime.handshake_timeout", 3);
    })
    .await?;
    tunnel.answers().await?;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(tunnel.carrier).await?);
    }
    let mut peak = 0;
    for _ in 0..5 {
        tokio::time::sleep(millis(200)).await;
        peak = peak.max(tunnel.server.counters().await?["handshakes"]);
    }
    ensure!(
        (1..=MOST).contains(&peak),
        "{peak} handshakes at a time, {MOST} are allowed"
    );
    drop(silent);
    Ok(())
}

async fn log_level(scene: Scene, key: &'static str) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut lines = Vec::new();
    for level in ["error", "info", "trace"] {
        let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
            let owner = if key.starts_with("server") { server } else { client };
            owner.set(key, level);
        })
        .await?;
        for _ in 0..3 {
            within(SOON, "a visit", visit(tunnel.public)).await??;
        }
        let process = if key.starts_with("server") {
            &tunnel.server
        } else {
            &tunnel.client
        };
        let below = |line: &&str| {
            ["INFO", "DEBUG", "TRACE"]
                .iter()
                .any(|word| line.to_uppercase().contains(word))
        };
        let log = process.log();
        lines.push(log.lines().filter(below).count());
    }
    ensure!(
        lines[0] == 0 && lines[0] < lines[1] && lines[1] <= lines[2],
        "{key}: {lines:?} lines below a warning"
    );
    Ok(())
}
