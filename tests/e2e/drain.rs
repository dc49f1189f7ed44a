//! Going away: what runs is finished, nobody new is taken in, the exit code is 0.

use crate::harness::exchange::visit as transfer;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{End, expect_refused, greeting, read_end, talk, visit};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("drain")
        .faults("server_finishes_transfers_on_sigterm", server_finishes)
        .faults("client_finishes_transfers_on_sigterm", client_finishes)
        .once("relay_finishes_transfers_on_sigterm", relay_finishes)
        .faults("what_is_left_at_the_deadline_of_the_server_is_reset", server_deadline)
        .faults("what_is_left_at_the_deadline_of_the_client_is_reset", client_deadline)
        .once("what_is_left_at_the_deadline_of_the_relay_is_reset", relay_deadline)
        .faults("second_signal_ends_the_server_at_once", server_second_signal)
        .faults("second_signal_ends_the_client_at_once", client_second_signal)
        .once("second_signal_ends_the_relay_at_once", relay_second_signal)
        .lanes("services_of_a_draining_client_go_to_another", hand_over)
        .lanes("client_of_a_draining_server_goes_to_the_next_address", next_address)
        .lanes("idle_processes_exit_at_once_on_sigint", idle_exit)
        .done()
}

/// A process that is told to go, and the public address whose visitors it serves.
enum Leaver {
    Server(Tunnel),
    Client(Tunnel),
    Relay(Kariz, SocketAddr),
}

impl Leaver {
    fn process(&mut self) -> &mut Kariz {
        match self {
            Self::Server(tunnel) => &mut tunnel.server,
            Self::Client(tunnel) => &mut tunnel.client,
            Self::Relay(relay, _) => relay,
        }
    }

    fn public(&self) -> SocketAddr {
        match self {
            Self::Server(tunnel) | Self::Client(tunnel) => tunnel.public,
            Self::Relay(_, public) => *public,
        }
    }
}

async fn tunnel(scene: &Scene, target: SocketAddr, drain: i64) -> Result<Tunnel> {
    Tunnel::start_with(scene, target, |server, client| {
        server.set("runtime.drain_timeout", drain);
        client.set("runtime.drain_timeout", drain);
    })
    .await
}

async fn relay(scene: &Scene, target: SocketAddr, drain: i64) -> Result<Leaver> {
    let public = scene.address();
    let mut config = Config::new(scene);
    config
        .relay_service(SERVICE, public, target)
        .set("runtime.drain_timeout", drain);
    let relay = Kariz::start(scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    Ok(Leaver::Relay(relay, public))
}

async fn server_finishes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let leaver = Leaver::Server(tunnel(&scene, target.address(), 30).await?);
    finishes(&scene, &target, leaver).await
}

async fn client_finishes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let leaver = Leaver::Client(tunnel(&scene, target.address(), 30).await?);
    finishes(&scene, &target, leaver).await
}

async fn relay_finishes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let leaver = relay(&scene, target.address(), 30).await?;
    finishes(&scene, &target, leaver).await
}

async fn finishes(scene: &Scene, target: &Exchange, mut leaver: Leaver) -> Result<()> {
    const SIZE: u64 = 1_000_000;
    let public = leaver.public();
    let plan = Plan {
        seed: scene.stream_seed(),
        down: SIZE,
        up: SIZE,
        pause: millis(150),
    };
    let mut stream = TcpStream::connect(public).await?;
    let running = tokio::spawn(async move { transfer(&mut stream, plan).await });
    tokio::time::sleep(secs(1)).await;
    leaver.process().signal(Signal::TERM)?;
    tokio::time::sleep(secs(1)).await;
    expect_refused(public, secs(20))
        .await
        .context("a new visitor during the drain")?;
    let seen = within(secs(60), "the transfer ends", running).await???;
    ensure!(seen.is_complete(SIZE), "the visitor saw {seen:?}");
    let look = || async { target.seen(plan.seed)?.context("not done") };
    let (at_target, _) = eventually(SOON, "the target is done", look).await?;
    ensure!(at_target.is_complete(SIZE), "the target saw {at_target:?}");
    let status = leaver.process().exit(secs(15)).await?;
    ensure!(status.code() == Some(0), "the exit status is {status}");
    Ok(())
}

async fn server_deadline(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = Leaver::Server(tunnel(&scene, target.address(), 2).await?);
    deadline(leaver).await
}

async fn client_deadline(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = Leaver::Client(tunnel(&scene, target.address(), 2).await?);
    deadline(leaver).await
}

async fn relay_deadline(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = relay(&scene, target.address(), 2).await?;
    deadline(leaver).await
}

async fn deadline(mut leaver: Leaver) -> Result<()> {
    let mut visitor = TcpStream::connect(leaver.public()).await?;
    within(SOON, "a talk", talk(&mut visitor, b"hello")).await??;
    leaver.process().signal(Signal::TERM)?;
    let start = Instant::now();
    tokio::time::sleep(secs(1)).await;
    within(SOON, "a talk during the drain", talk(&mut visitor, b"still here")).await??;
    let (bytes, end) = within(secs(20), "the end at the deadline", read_end(&mut visitor)).await??;
    ensure!(
        (bytes, end) == (0, End::Reset),
        "{bytes} bytes and {end:?} at the deadline"
    );
    ensure!(
        start.elapsed() > millis(1_800),
        "reset after {:?}, before the deadline of 2 s",
        start.elapsed()
    );
    let status = leaver.process().exit(secs(10)).await?;
    ensure!(status.code() == Some(0), "the exit status is {status}");
    Ok(())
}

async fn server_second_signal(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = Leaver::Server(tunnel(&scene, target.address(), 60).await?);
    second_signal(leaver).await
}

async fn client_second_signal(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = Leaver::Client(tunnel(&scene, target.address(), 60).await?);
    second_signal(leaver).await
}

async fn relay_second_signal(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let leaver = relay(&scene, target.address(), 60).await?;
    second_signal(leaver).await
}

async fn second_signal(mut leaver: Leaver) -> Result<()> {
    let mut visitor = TcpStream::connect(leaver.public()).await?;
    within(SOON, "a talk", talk(&mut visitor, b"hello")).await??;
    leaver.process().signal(Signal::TERM)?;
    tokio::time::sleep(secs(2)).await;
    ensure!(
        leaver.process().exited()?.is_none(),
        "it exited although a visitor is there"
    );
    leaver.process().signal(Signal::INT)?;
    leaver.process().exit(secs(3)).await?;
    let (_, end) = within(SOON, "the visitor's end", read_end(&mut visitor)).await??;
    ensure!(end == End::Reset, "a visitor that was cut off saw a clean end");
    Ok(())
}

async fn hand_over(scene: Scene) -> Result<()> {
    let [one, two] = [Target::greeter(&scene, "one\n")?, Target::greeter(&scene, "two\n")?];
    let mut tunnel = tunnel(&scene, one.address(), 30).await?;
    ensure!(
        within(SOON, "a greeting", greeting(tunnel.public)).await?? == "one",
        "one serves first"
    );
    let mut second = tunnel.client_config.clone();
    second.client_service(SERVICE, two.address());
    let _second = Kariz::start(&scene, "client", &second)?;
    // A visitor that keeps the first client busy for the whole drain.
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(
        SOON,
        "the first word",
        tokio::io::AsyncReadExt::read_exact(&mut old, &mut [0; 4]),
    )
    .await??;
    tunnel.client.signal(Signal::TERM)?;
    let look = || async {
        let answer = tokio::time::timeout(secs(12), greeting(tunnel.public)).await??;
        ensure!(answer == "two", "{answer:?} answers");
        Ok(())
    };
    eventually(BACK, "two takes over", look).await?;
    within(SOON, "the old visitor goes on", talk(&mut old, b"still one")).await??;
    drop(old);
    let status = tunnel.client.exit(secs(20)).await?;
    ensure!(status.code() == Some(0), "the exit status is {status}");
    Ok(())
}

async fn next_address(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (other, other_public) = (scene.address(), scene.address());
    let mut config = Config::server(&scene, other);
    config.server_service(SERVICE, other_public);
    let _other = Kariz::start(&scene, "server", &config)?;
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        server.set("runtime.drain_timeout", 30);
        client.set("client.remote_addrs", vec![other.to_string()]);
    })
    .await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut old, b"hello")).await??;
    tunnel.server.signal(Signal::TERM)?;
    let took = listening(other_public, None, BACK).await?;
    within(SOON, "a visit at the other server", visit(other_public)).await??;
    within(SOON, "the old visitor goes on", talk(&mut old, b"still here")).await??;
    ensure!(took < secs(15), "the client needed {took:?} to go to the next address");
    Ok(())
}

async fn idle_exit(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = tunnel(&scene, target.address(), 60).await?;
    tunnel.answers().await?;
    for process in [&mut tunnel.client, &mut tunnel.server] {
        process.signal(Signal::INT)?;
        let status = process.exit(secs(10)).await?;
        ensure!(status.code() == Some(0), "the exit status is {status}");
    }
    Ok(())
}
