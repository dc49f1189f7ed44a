//! Strangers at the socket: garbage, silence, replays, changed bytes, impostors, too many, too few descriptors.

use crate::harness::process::Setting;
use crate::harness::stats::pools_full;
use crate::harness::tap::{Change, Tap, Way, untouched};
use crate::harness::tunnel::{SERVICE, is_listening, listening, not_listening};
use crate::harness::visitor::{expect_refused, read_end, talk, visit};
use crate::harness::*;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("hostile")
        .faults("garbage_at_the_carrier_port_harms_nobody", garbage)
        .faults("silence_and_half_a_hello_are_closed_in_time", silence)
        .faults("replayed_connections_open_and_disturb_nothing", replay)
        .faults("changed_bytes_open_nothing", changed_bytes)
        .faults("an_impostor_without_the_token_reaches_no_target", impostor)
        .faults("a_server_that_talks_garbage_does_not_end_the_client", garbage_server)
        .busy()
        .faults("real_client_gets_in_beside_5000_silent_connections", silent_crowd)
        .faults(
            "server_with_256_descriptors_survives_1000_visitors",
            few_descriptors_at_the_server,
        )
        .faults(
            "client_with_256_descriptors_survives_1000_visitors",
            few_descriptors_at_the_client,
        )
        .done()
}

/// A stream that was there before and must not notice anything.
async fn witness(tunnel: &Tunnel) -> Result<TcpStream> {
    tunnel.answers().await?;
    let mut witness = TcpStream::connect(tunnel.public).await?;
    within(SOON, "the witness talks", talk(&mut witness, b"before")).await??;
    Ok(witness)
}

/// The witness goes on, both processes live, new visitors are served.
async fn unharmed(tunnel: &mut Tunnel, witness: &mut TcpStream) -> Result<()> {
    within(SOON, "the witness goes on", talk(witness, b"after")).await??;
    ensure!(tunnel.server.exited()?.is_none(), "the server exited");
    ensure!(tunnel.client.exited()?.is_none(), "the client exited");
    within(SOON, "a new visitor", visit(tunnel.public)).await?
}

async fn garbage(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut old = witness(&tunnel).await?;
    let mut dice = scene.dice();
    for number in 0..200_u64 {
        let mut stranger = TcpStream::connect(tunnel.carrier).await?;
        let mut bytes = vec![0; 1 + dice.below(3_000) as usize];
        match number % 4 {
            0 => Pattern::new(number).fill(&mut bytes),
            1 => bytes.fill(0xff),
            2 => bytes.fill(0),
            _ => bytes = format!("GET /{number} HTTP/1.1\r\nHost: e2e.test\r\n\r\n").into_bytes(),
        }
        // It may be closed in the middle of the garbage: that is what it is for.
        let _ = stranger.write_all(&bytes).await;
        if number % 20 == 0 {
            // The answer is a close or silence, never a greeting that tells what lives here.
            let answer = tokio::time::timeout(secs(15), read_end(&mut stranger)).await;
            ensure!(
                !matches!(answer, Ok(Ok((1.., _)))),
                "garbage was answered with {answer:?}"
            );
        }
    }
    unharmed(&mut tunnel, &mut old).await?;
    let counters = tunnel.server.counters().await?;
    ensure!(
        counters["handshakes_failed"] >= 100,
        "handshakes_failed is {}",
        counters["handshakes_failed"]
    );
    ensure!(counters["panics"] == 0, "a connection panicked");
    Ok(())
}

async fn silence(scene: Scene) -> Result<()> {
    const LIMIT: Duration = secs(2);
    let target = Target::echo(&scene)?;
    let short = |server: &mut Config, _: &mut Config| {
        server.set("runtime.handshake_timeout", 2);
    };
    let (mut tunnel, tap) = Tunnel::start_tapped(&scene, target.address(), untouched(), short).await?;
    let mut old = witness(&tunnel).await?;
    // Silence, and every beginning of what a real client says.
    let mut beginnings = vec![Vec::new()];
    for said in tap.bytes(Way::ToServer) {
        let lengths = [1, 2, 3, said.len() / 4, said.len() / 2, said.len().saturating_sub(1)];
        beginnings.extend(
            lengths
                .iter()
                .map(|&length| said[..length.min(60).min(said.len())].to_vec()),
        );
    }
    let mut strangers = tokio::task::JoinSet::new();
    for beginning in beginnings {
        let carrier = tunnel.carrier;
        strangers.spawn(async move {
            let mut stranger = TcpStream::connect(carrier).await?;
            stranger.write_all(&beginning).await?;
            let closed = tokio::time::timeout(LIMIT * 2 + secs(4), read_end(&mut stranger)).await;
            closed.with_context(|| format!("still open after {} bytes and silence", beginning.len()))?
        });
    }
    while let Some(stranger) = strangers.join_next().await {
        stranger??;
    }
    unharmed(&mut tunnel, &mut old).await
}

async fn replay(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let (mut tunnel, tap) = Tunnel::start_tapped(&scene, target.address(), untouched(), |_, _| {}).await?;
    let plan = |down, pause| Plan {
        seed: scene.stream_seed(),
        down,
        up: 1_000,
        pause,
    };
    for _ in 0..5 {
        within(
            SOON,
            "a visit",
            exchange::complete(tunnel.public, plan(1_000, Duration::ZERO)),
        )
        .await??;
    }
    // A transfer that runs while everything that was ever said is said again, twice.
    let running = tokio::spawn(exchange::complete(tunnel.public, plan(1_500_000, millis(100))));
    tokio::time::sleep(millis(500)).await;
    let accepted = target.accepted();
    let words = tap.bytes(Way::ToServer);
    let mut strangers = Vec::new();
    for said in words.iter().chain(&words) {
        let mut stranger = TcpStream::connect(tunnel.carrier).await?;
        let _ = stranger.write_all(said).await;
        strangers.push(stranger);
    }
    tokio::time::sleep(secs(2)).await;
    ensure!(
        target.accepted() == accepted,
        "a replayed connection made the client dial the target"
    );
    // A new visitor meets the real client, never one of the replayed connections.
    for _ in 0..10 {
        within(
            SOON,
            "a visit",
            exchange::complete(tunnel.public, plan(10_000, Duration::ZERO)),
        )
        .await??;
    }
    within(SOON, "the running transfer", running).await???;
    ensure!(
        tunnel.server.exited()?.is_none() && tunnel.client.exited()?.is_none(),
        "a process exited"
    );
    Ok(())
}

/// While one byte of each connection's first words is changed no session comes to be; afterwards one does.
async fn changed_bytes(scene: Scene) -> Result<()> {
    for way in [Way::ToServer, Way::ToClient] {
        let target = Target::echo(&scene)?;
        let (carrier, public) = (scene.address(), scene.address());
        let tampering = Arc::new(AtomicBool::new(true));
        let dice = std::sync::Mutex::new(scene.dice());
        let switch = tampering.clone();
        let flip: Change = Arc::new(move |at, offset, bytes: &mut [u8]| {
            if at == way && offset == 0 && switch.load(Ordering::Relaxed) {
                let mut dice = dice.lock().expect("no test panics with the dice");
                let place = dice.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1 << dice.below(8);
            }
        });
        let tap = Tap::start_changing(&scene, carrier, flip)?;
        let mut server = Config::server(&scene, carrier);
        server
            .server_service(SERVICE, public)
            .set("runtime.handshake_timeout", 1);
        let mut server = Kariz::start(&scene, "server", &server)?;
        let mut client = Config::client(&scene, tap.address());
        client
            .client_service(SERVICE, target.address())
            .set("client.default_retry_interval", 0.2);
        client.set("client.retry_max", 0.2).set("runtime.handshake_timeout", 1);
        let mut client = Kariz::start(&scene, "client", &client)?;
        let start = Instant::now();
        while start.elapsed() < secs(8) {
            ensure!(
                !is_listening(public, None)?,
                "a session came to be although a byte was changed ({way:?})"
            );
            ensure!(
                server.exited()?.is_none() && client.exited()?.is_none(),
                "a process exited ({way:?})"
            );
            tokio::time::sleep(millis(50)).await;
        }
        let tries = tap.record().len();
        ensure!(tries >= 3, "the client tried only {tries} times");
        tampering.store(false, Ordering::Relaxed);
        listening(public, None, BACK).await?;
        within(SOON, "a visit", visit(public)).await??;
    }
    Ok(())
}

async fn impostor(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    // It has taken over the server's address and knows all names, but not the token.
    let mut server = Config::server(&scene, carrier);
    server
        .server_service(SERVICE, public)
        .set("server.default_token", "something that an impostor made up");
    let _server = Kariz::start(&scene, "server", &server)?;
    let mut client = Config::client(&scene, carrier);
    client.client_service(SERVICE, target.address());
    let mut client = Kariz::start(&scene, "client", &client)?;
    let start = Instant::now();
    while start.elapsed() < secs(4) {
        if is_listening(public, None)? {
            expect_refused(public, secs(15)).await?;
        }
        tokio::time::sleep(millis(50)).await;
    }
    ensure!(target.accepted() == 0, "the client opened the target for an impostor");
    ensure!(client.exited()?.is_none(), "the client exited");
    Ok(())
}

async fn garbage_server(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let carrier = scene.address();
    let garbage = Target::serve_at(carrier, None, |mut stream| async move {
        let mut bytes = vec![0; 2_000];
        Pattern::new(bytes.len() as u64).fill(&mut bytes);
        let mut hello = [0; 16];
        if stream.read(&mut hello).await.is_ok_and(|n| n % 2 == 0) {
            bytes.fill(0xff);
        }
        let _ = stream.write_all(&bytes).await;
        let _ = read_end(&mut stream).await;
    })?;
    let mut config = Config::client(&scene, carrier);
    config
        .client_service(SERVICE, target.address())
        .set("client.default_retry_interval", 0.2);
    let mut client = Kariz::start(&scene, "client", &config)?;
    let look = || async {
        ensure!(garbage.accepted() >= 4, "{} tries", garbage.accepted());
        Ok(())
    };
    eventually(BACK, "the client tries again and again", look).await?;
    ensure!(client.exited()?.is_none(), "the client exited");
    ensure!(target.accepted() == 0, "garbage opened the target");
    drop(garbage);
    not_listening(carrier, SOON).await?;
    let public = scene.address();
    let mut server = Config::server(&scene, carrier);
    server.server_service(SERVICE, public);
    let _server = Kariz::start(&scene, "server", &server)?;
    listening(public, None, BACK).await?;
    within(SOON, "a visit", visit(public)).await?
}

async fn silent_crowd(scene: Scene) -> Result<()> {
    const CROWD: usize = 5_000;
    const MAX_HANDSHAKES: u64 = 1_024;
    let target = Target::echo(&scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    let mut config = Config::server(&scene, carrier);
    config.server_service(SERVICE, public);
    let server = Kariz::start(&scene, "server", &config)?;
    listening(carrier, None, SOON).await?;
    let before = server.descriptors()?;
    let mut crowd = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        // A connection that the server has no room for may fail: the others are enough of a crowd.
        let source = scene.ip(10 + (number % 200) as u8);
        if let Ok(Ok(stream)) = tokio::time::timeout(secs(1), visitor::connect_from(source, carrier)).await {
            crowd.push(stream);
        }
        if number == CROWD / 2 {
            let gauge = server.counters().await?["handshakes"];
            ensure!(gauge <= MAX_HANDSHAKES, "{gauge} handshakes at a time");
        }
    }
    let mut client = Config::client(&scene, carrier);
    client.client_service(SERVICE, target.address());
    let _client = Kariz::start(&scene, "client", &client)?;
    listening(public, None, secs(20))
        .await
        .context("the real client gets in")?;
    within(SOON, "a visit", visit(public)).await??;
    // The crowd is closed by `handshake_timeout`, although it never leaves by itself.
    let look = || async {
        let now = server.descriptors()?;
        ensure!(
            now < before + 200,
            "{before} descriptors before, {now} now, {} in the crowd",
            crowd.len()
        );
        Ok(())
    };
    eventually(secs(40), "the crowd is closed", look).await?;
    within(SOON, "a visit", visit(public)).await?
}

async fn few_descriptors_at_the_server(scene: Scene) -> Result<()> {
    few_descriptors(scene, Some(256), None).await
}

async fn few_descriptors_at_the_client(scene: Scene) -> Result<()> {
    few_descriptors(scene, None, Some(256)).await
}

async fn few_descriptors(scene: Scene, server_limit: Option<u32>, client_limit: Option<u32>) -> Result<()> {
    const VISITORS: usize = 1_000;
    let target = Target::echo(&scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    let mut config = Config::server(&scene, carrier);
    config.server_service(SERVICE, public);
    let setting = |nofile| Setting {
        nofile,
        ..Setting::default()
    };
    let mut server = Kariz::start_with(&scene, "server", &config, setting(server_limit))?;
    let mut config = Config::client(&scene, carrier);
    config.client_service(SERVICE, target.address());
    let mut client = Kariz::start_with(&scene, "client", &config, setting(client_limit))?;
    listening(public, None, SOON).await?;
    within(SOON, "a visit", visit(public)).await??;
    let mut visitors = Vec::with_capacity(VISITORS);
    for _ in 0..VISITORS {
        // The queue of the listener may be full: then this one never came.
        if let Ok(Ok(visitor)) = tokio::time::timeout(millis(200), TcpStream::connect(public)).await {
            let _ = visitor.try_write(b"is there room for me?");
            visitors.push(visitor);
        }
    }
    tokio::time::sleep(secs(2)).await;
    let cpu = |server: &Kariz, client: &Kariz| anyhow::Ok(server.cpu_time()? + client.cpu_time()?);
    let before = cpu(&server, &client)?;
    tokio::time::sleep(secs(5)).await;
    let used = cpu(&server, &client)? - before;
    ensure!(
        used < millis(1_500),
        "{used:?} of CPU time in 5 s in which nothing can be done: it spins"
    );
    drop(visitors);
    ensure!(
        server.exited()?.is_none() && client.exited()?.is_none(),
        "a process exited"
    );
    // Those that still waited have half-closed, and are served like anybody else: they have left when they are through.
    let look = || async {
        for process in [&server, &client] {
            pools_full(&process.counters().await?)?;
        }
        anyhow::Ok(())
    };
    eventually(secs(60), "they have left", look).await?;
    // Nobody was asked for more carriers than there are descriptors for, however long those that came had to wait.
    let idle = client.counters().await?["carriers_idle"];
    ensure!(idle <= 256, "{idle} carriers wait at the client");
    for _ in 0..50 {
        within(SOON, "a visit afterwards", visit(public)).await??;
    }
    Ok(())
}
