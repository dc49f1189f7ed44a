//! Keys that are durations: seen in when something happens.

use super::{Row, direct, place};
use crate::harness::tap::{Way, untouched};
use crate::harness::tunnel::{SERVICE, listening, not_listening};
use crate::harness::visitor::{expect_reset, talk};
use crate::harness::*;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub(super) fn rows() -> Vec<Row> {
    vec![
        direct("server.heartbeat", |scene| heartbeat(scene, "server", Way::ToClient)),
        direct("client.heartbeat", |scene| heartbeat(scene, "client", Way::ToServer)),
        direct("server.session_timeout", session_timeout),
        direct("client.session_timeout", |scene| {
            accepted_without_effect(scene, "client.session_timeout")
        }),
        direct("server.retry_max", |scene| {
            accepted_without_effect(scene, "server.retry_max")
        }),
        direct("client.retry_max", retry_max),
        direct("client.default_retry_interval", first_retry),
        direct("client.services.NAME.retry_interval", service_retry),
        direct("client.default_dial_timeout", dial_server),
        direct("client.services.NAME.dial_timeout", dial_target),
        direct("relay.services.NAME.dial_timeout", dial_remote),
        direct("runtime.drain_timeout", drain_timeout),
        direct("runtime.handshake_timeout", handshake_timeout),
    ]
}

/// Pieces on the control carrier of an idle tunnel in five seconds, with `beat` seconds between its beats.
async fn beats(scene: &Scene, owner: &str, way: Way, beat: i64) -> Result<usize> {
    let target = Target::echo(scene)?;
    let slow = |server: &mut Config, client: &mut Config| {
        quiet(server, client);
        let config = if owner == "server" { server } else { client };
        config.set(&format!("{owner}.heartbeat"), beat);
    };
    let (tunnel, tap) = Tunnel::start_tapped(scene, target.address(), untouched(), slow).await?;
    tunnel.answers().await?;
    tokio::time::sleep(secs(2)).await;
    let start = Instant::now();
    tokio::time::sleep(secs(5)).await;
    let late = tap
        .record()
        .into_iter()
        .flatten()
        .filter(|piece| piece.way == way && piece.at > start);
    Ok(late.count())
}

/// No beat for longer than any row looks.
fn quiet(server: &mut Config, client: &mut Config) {
    server.set("server.heartbeat", 100).set("server.session_timeout", 200);
    client.set("client.heartbeat", 100);
}

async fn heartbeat(scene: Scene, owner: &'static str, way: Way) -> Result<()> {
    let seldom = beats(&scene, owner, way, 100).await?;
    let often = beats(&scene, owner, way, 1).await?;
    ensure!(
        often >= 4 && seldom <= 1,
        "heartbeat = 1: {often} beats in 5 s, heartbeat = 100: {seldom}"
    );
    Ok(())
}

async fn session_timeout(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let short = |server: &mut Config, _: &mut Config| {
        server.set("server.session_timeout", 3);
    };
    let mut tunnel = Tunnel::start_with(&scene, target.address(), short).await?;
    tunnel.client.kill()?;
    let took = not_listening(tunnel.public, secs(15)).await?;
    ensure!(
        took > secs(2),
        "the session ended after {took:?}, `session_timeout` is 3 s"
    );
    Ok(())
}

/// The key is part of a section in which nothing can come of it; it must not keep anything from working.
async fn accepted_without_effect(scene: Scene, key: &'static str) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        let owner = if key.starts_with("server") { server } else { client };
        owner.set(key, 3);
    })
    .await?;
    tunnel.answers().await?;
    Ok(())
}

/// A server that hangs up on everybody, and notes when they came.
fn hang_up(scene: &Scene) -> Result<(Target, Arc<Mutex<Vec<Instant>>>)> {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let book = times.clone();
    let target = Target::serve(scene, move |stream| {
        book.lock().expect("no test panics with the book").push(Instant::now());
        async move { drop(stream) }
    })?;
    Ok((target, times))
}

fn hopeless(scene: &Scene, remote: SocketAddr, key: &str, value: f64) -> Result<Kariz> {
    let mut config = Config::client(scene, remote);
    config
        .unset("client.default_retry_interval")
        .client_service(SERVICE, scene.address())
        .set(&place(key), value);
    Kariz::start(scene, "client", &config)
}

async fn retry_max(scene: Scene) -> Result<()> {
    let (remote, times) = hang_up(&scene)?;
    let _client = hopeless(&scene, remote.address(), "client.retry_max", 0.2)?;
    let start = Instant::now();
    tokio::time::sleep(secs(18)).await;
    let late = times
        .lock()
        .expect("no test panics with the book")
        .iter()
        .filter(|&&at| at > start + secs(13))
        .count();
    // With the default of 5 s and full jitter there would be about two.
    ensure!(late >= 12, "retry_max = 0.2: {late} tries in 5 s");
    Ok(())
}

async fn first_retry(scene: Scene) -> Result<()> {
    for _ in 0..4 {
        let (remote, times) = hang_up(&scene)?;
        let _client = hopeless(&scene, remote.address(), "client.default_retry_interval", 0.05)?;
        let look = || async { times.lock().expect("no panic").get(1).copied().context("no second try") };
        let (second, _) = eventually(SOON, "a second try", look).await?;
        let first = times.lock().expect("no panic")[0];
        // Without the key the first retry comes some time within the first second.
        ensure!(
            second - first < millis(300),
            "the first retry came after {:?}",
            second - first
        );
    }
    Ok(())
}

/// A service that is refused is proposed again on the session that its neighbour keeps alive.
async fn service_retry(scene: Scene) -> Result<()> {
    // The jitter is full: one run each would leave it to chance, and two have been seen to end in a draw.
    let mut counts = [0, 0];
    for (which, value) in [(0, 0.01), (1, 30.0)].into_iter().cycle().take(8) {
        let target = Target::echo(&scene)?;
        let (tunnel, tap) = Tunnel::start_tapped(&scene, target.address(), untouched(), |server, client| {
            quiet(server, client);
            client.client_service("unknown", target.address());
            client.set("client.services.unknown.retry_interval", value);
        })
        .await?;
        tunnel.answers().await?;
        let start = Instant::now();
        tokio::time::sleep(secs(6)).await;
        let tries = tap
            .record()
            .into_iter()
            .flatten()
            .filter(|p| p.way == Way::ToServer && p.at > start)
            .count();
        counts[which] += tries;
    }
    ensure!(
        counts[0] > counts[1],
        "retry_interval = 0.01 and 30: {counts:?} messages in four times 6 s"
    );
    Ok(())
}

/// An address where packets are swallowed: its queue is full, and nobody accepts.
struct Hole {
    address: SocketAddr,
    _listener: socket2::Socket,
    _queue: Vec<socket2::Socket>,
}

fn hole(scene: &Scene) -> Result<Hole> {
    let address = scene.address();
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = socket()?;
    listener.bind(&address.into())?;
    listener.listen(0)?;
    let mut queue = Vec::new();
    for _ in 0..8 {
        let waiting = socket()?;
        waiting.set_nonblocking(true)?;
        // In progress is all that can be said of it.
        let _ = waiting.connect(&address.into());
        queue.push(waiting);
    }
    Ok(Hole {
        address,
        _listener: listener,
        _queue: queue,
    })
}

async fn dial_server(scene: Scene) -> Result<()> {
    let (hole, target) = (hole(&scene)?, Target::echo(&scene)?);
    let (carrier, public) = (scene.address(), scene.address());
    let mut config = Config::server(&scene, carrier);
    config.server_service(SERVICE, public);
    let _server = Kariz::start(&scene, "server", &config)?;
    let mut config = Config::client(&scene, hole.address);
    config
        .client_service(SERVICE, target.address())
        .set("client.default_dial_timeout", 1);
    config.set(
        "client.remote_addrs",
        vec![hole.address.to_string(), carrier.to_string()],
    );
    let _client = Kariz::start(&scene, "client", &config)?;
    // With the default the first address alone would take 10 s.
    listening(public, None, secs(8)).await.map(drop)
}

async fn gives_up_in_time(public: SocketAddr) -> Result<()> {
    let start = Instant::now();
    let mut visitor = TcpStream::connect(public).await?;
    visitor.write_all(b"anyone?").await?;
    // One more round through all addresses is allowed; the default would be 10 s.
    expect_reset(&mut visitor, secs(8)).await?;
    ensure!(
        start.elapsed() > millis(800),
        "given up after {:?}, dial_timeout is 1 s",
        start.elapsed()
    );
    Ok(())
}

async fn dial_target(scene: Scene) -> Result<()> {
    let hole = hole(&scene)?;
    let key = place("client.services.NAME.dial_timeout");
    let tunnel = Tunnel::start_with(&scene, hole.address, |_, client| {
        client.set(&key, 1);
    })
    .await?;
    gives_up_in_time(tunnel.public).await
}

async fn dial_remote(scene: Scene) -> Result<()> {
    let hole = hole(&scene)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config
        .relay_service(SERVICE, public, hole.address)
        .set(&place("relay.services.NAME.dial_timeout"), 1);
    let _relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    gives_up_in_time(public).await
}

async fn drain_timeout(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let short = |server: &mut Config, _: &mut Config| {
        server.set("runtime.drain_timeout", 2);
    };
    let mut tunnel = Tunnel::start_with(&scene, target.address(), short).await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut visitor, b"hello")).await??;
    let start = Instant::now();
    tunnel.server.signal(Signal::TERM)?;
    tunnel.server.exit(secs(10)).await?;
    ensure!(
        start.elapsed() > millis(1_800),
        "it exited after {:?}, drain_timeout is 2 s",
        start.elapsed()
    );
    Ok(())
}

async fn handshake_timeout(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let short = |server: &mut Config, _: &mut Config| {
        server.set("runtime.handshake_timeout", 1);
    };
    let tunnel = Tunnel::start_with(&scene, target.address(), short).await?;
    let start = Instant::now();
    let mut silent = TcpStream::connect(tunnel.carrier).await?;
    // Whether it is closed or reset is the server's business.
    within(secs(4), "a silent connection is closed", visitor::read_end(&mut silent)).await??;
    ensure!(
        start.elapsed() > millis(800),
        "closed after {:?}, handshake_timeout is 1 s",
        start.elapsed()
    );
    Ok(())
}
