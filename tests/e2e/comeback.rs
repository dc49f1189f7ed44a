//! The tunnel comes back by itself, and a service stays with whom it belongs to.

use crate::harness::process::Setting;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{expect_refused, greeting, talk, visit};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("comeback")
        .faults("client_killed_and_restarted", client_restarted)
        .faults("server_killed_and_restarted", server_restarted)
        .faults("visitor_waits_through_a_restart_of_the_client", visitor_waits)
        .faults("target_down_and_up", target_down_and_up)
        .faults("second_client_gets_nothing_while_the_first_lives", first_stays)
        .faults("second_client_takes_over_from_a_killed_one", second_after_kill)
        .faults("second_client_takes_over_from_a_frozen_one", second_after_freeze)
        .faults("another_instance_flapping_changes_nothing", flapping)
        .faults("wrong_token_gets_nothing_and_harms_nobody", wrong_token)
        .faults("client_waits_for_a_server_that_comes_late", late_server)
        .faults("frozen_client_comes_back_when_it_thaws", thawed_client)
        .only(Lane::Direct, "a_name_that_moves_is_followed", moving_name)
        .done()
}

async fn client_restarted(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    for _ in 0..3 {
        tunnel.answers().await?;
        tunnel.client.kill()?;
        tokio::time::sleep(millis(300)).await;
        tunnel.client = tunnel.another_client(&scene)?;
    }
    tunnel.answers().await?;
    ensure!(tunnel.server.exited()?.is_none(), "the server exited");
    Ok(())
}

async fn server_restarted(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    for pause in [millis(100), secs(4)] {
        tunnel.answers().await?;
        tunnel.server.kill()?;
        tokio::time::sleep(pause).await;
        tunnel.server = tunnel.another_server(&scene)?;
    }
    tunnel.answers().await?;
    ensure!(tunnel.client.exited()?.is_none(), "the client exited");
    Ok(())
}

async fn late_server(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    let mut client = Config::client(&scene, carrier);
    client.client_service(SERVICE, target.address());
    let mut client = Kariz::start(&scene, "client", &client)?;
    tokio::time::sleep(secs(12)).await;
    ensure!(client.exited()?.is_none(), "the client gave up");
    let mut server = Config::server(&scene, carrier);
    server.server_service(SERVICE, public);
    let _server = Kariz::start(&scene, "server", &server)?;
    listening(public, None, BACK).await?;
    within(SOON, "a visit", visit(public)).await?
}

async fn visitor_waits(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    tunnel.answers().await?;
    tunnel.client.kill()?;
    tokio::time::sleep(millis(500)).await;
    // The public listener is still open: the session outlives its client for `session_timeout`.
    let mut visitor = TcpStream::connect(tunnel.public)
        .await
        .context("the public listener closed")?;
    visitor.write_all(b"patience").await?;
    tokio::time::sleep(secs(1)).await;
    tunnel.client = tunnel.another_client(&scene)?;
    let mut back = [0; 8];
    within(
        secs(20),
        "the visitor that waited is served",
        visitor.read_exact(&mut back),
    )
    .await??;
    ensure!(&back == b"patience", "the visitor that waited got {back:?}");
    Ok(())
}

async fn target_down_and_up(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let address = target.address();
    let tunnel = Tunnel::start(&scene, address).await?;
    for _ in 0..2 {
        tunnel.answers().await?;
    }
    drop(target);
    tokio::time::sleep(millis(100)).await;
    expect_refused(tunnel.public, SOON).await?;
    let _target = Target::echo_at(address, None)?;
    tunnel.answers().await?;
    Ok(())
}

/// A tunnel to the greeter "one", and a client for the same service that leads to "two".
struct Rivals {
    tunnel: Tunnel,
    second: Config,
    _targets: [Target; 2],
}

impl Rivals {
    async fn start(scene: &Scene) -> Result<Self> {
        let targets = [Target::greeter(scene, "one\n")?, Target::greeter(scene, "two\n")?];
        let tunnel = Tunnel::start(scene, targets[0].address()).await?;
        let mut second = tunnel.client_config.clone();
        second.client_service(SERVICE, targets[1].address());
        let rivals = Self {
            tunnel,
            second,
            _targets: targets,
        };
        rivals.becomes("one").await?;
        Ok(rivals)
    }

    async fn becomes(&self, who: &str) -> Result<()> {
        let look = || async {
            let answer = tokio::time::timeout(secs(12), greeting(self.tunnel.public)).await??;
            ensure!(answer == who, "{answer:?} answers");
            Ok(())
        };
        eventually(BACK, &format!("{who} answers"), look).await.map(drop)
    }

    /// Every visitor of the next `time` is served by "one".
    async fn stays_one(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            let answer = within(SOON, "a greeting", greeting(self.tunnel.public)).await??;
            ensure!(answer == "one", "{answer:?} answers, after {:?}", start.elapsed());
            tokio::time::sleep(millis(50)).await;
        }
        Ok(())
    }
}

async fn first_stays(scene: Scene) -> Result<()> {
    let rivals = Rivals::start(&scene).await?;
    let mut second = Kariz::start(&scene, "client", &rivals.second)?;
    rivals.stays_one(secs(10)).await?;
    ensure!(
        second.exited()?.is_none(),
        "the second client gave up instead of trying again"
    );
    Ok(())
}

async fn second_after_kill(scene: Scene) -> Result<()> {
    let mut rivals = Rivals::start(&scene).await?;
    let _second = Kariz::start(&scene, "client", &rivals.second)?;
    rivals.stays_one(secs(3)).await?;
    rivals.tunnel.client.kill()?;
    rivals.becomes("two").await
}

async fn second_after_freeze(scene: Scene) -> Result<()> {
    let rivals = Rivals::start(&scene).await?;
    // A stopped process keeps its connections: only the missing answer to a ping gives it away.
    rivals.tunnel.client.signal(Signal::STOP)?;
    let _second = Kariz::start(&scene, "client", &rivals.second)?;
    rivals.becomes("two").await?;
    rivals.tunnel.client.signal(Signal::CONT)?;
    // The first one lives again, but the service is the second's now.
    tokio::time::sleep(secs(3)).await;
    rivals.becomes("two").await
}

async fn flapping(scene: Scene) -> Result<()> {
    let rivals = Rivals::start(&scene).await?;
    for _ in 0..10 {
        let _second = Kariz::start(&scene, "client", &rivals.second)?;
        rivals.stays_one(millis(700)).await?;
    }
    rivals.stays_one(secs(1)).await
}

async fn wrong_token(scene: Scene) -> Result<()> {
    let rivals = Rivals::start(&scene).await?;
    let mut wrong = rivals.second.clone();
    wrong.set("client.default_token", "an honest mistake, not the token");
    let mut intruder = Kariz::start(&scene, "client", &wrong)?;
    rivals.stays_one(secs(5)).await?;
    ensure!(intruder.exited()?.is_none(), "the client with the wrong token exited");
    let mut tunnel = rivals.tunnel;
    tunnel.client.kill()?;
    tokio::time::sleep(secs(3)).await;
    // Nobody is left who may serve: the visitor waits or is refused, but is not sent to the intruder.
    expect_refused(tunnel.public, secs(40)).await?;
    tunnel.client = tunnel.another_client(&scene)?;
    let rivals = Rivals { tunnel, ..rivals };
    rivals.becomes("one").await
}

async fn thawed_client(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    tunnel.answers().await?;
    let mut old = TcpStream::connect(tunnel.public).await?;
    within(SOON, "a talk", talk(&mut old, b"before")).await??;
    tunnel.client.signal(Signal::STOP)?;
    // Longer than three heartbeats: both ends have given the control carrier up.
    tokio::time::sleep(secs(8)).await;
    tunnel.client.signal(Signal::CONT)?;
    tunnel.answers().await?;
    within(SOON, "the old stream goes on", talk(&mut old, b"after")).await?
}

/// Server, target and remote have names; the names move to other addresses while everything runs.
async fn moving_name(scene: Scene) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(trial::Missing("another /etc/hosts needs root"));
    }
    let (carrier, public, relay) = (scene.address(), scene.address(), scene.address());
    let old = Target::greeter(&scene, "old\n")?;
    // The new home has another address but the same port, as after a move.
    let port = old.address().port();
    let moved = SocketAddr::new(scene.ip(9), port);
    let _moved = Target::serve_at(moved, None, |mut stream| async move {
        let _ = stream.write_all(b"new\n").await;
        let _ = stream.shutdown().await;
    })?;
    let hosts = scene.file("hosts");
    let names = |target: IpAddr| format!("{} server.e2e.test\n{target} target.e2e.test\n", carrier.ip());
    std::fs::write(&hosts, names(scene.ip(1)))?;
    let mut server = Config::server(&scene, carrier);
    server.server_service(SERVICE, public);
    let _server = Kariz::start(&scene, "server", &server)?;
    let setting = Setting {
        hosts: Some(&hosts),
        ..Setting::default()
    };
    let mut client = Config::client(&scene, carrier);
    client.set("client.remote_addr", format!("server.e2e.test:{}", carrier.port()));
    client.set(
        &format!("client.services.{SERVICE}.local_addr"),
        format!("target.e2e.test:{port}"),
    );
    let _client = Kariz::start_with(&scene, "client", &client, setting)?;
    let mut config = Config::new(&scene);
    config.set("relay.services.web.bind_addr", relay.to_string());
    config.set("relay.services.web.remote_addr", format!("target.e2e.test:{port}"));
    let _relay = Kariz::start_with(&scene, "relay", &config, setting)?;
    let answers = async |who: &str, limit| {
        for address in [public, relay] {
            let look = || async {
                let answer = tokio::time::timeout(secs(12), greeting(address)).await??;
                ensure!(answer == who, "{answer:?} answers");
                Ok(())
            };
            eventually(limit, &format!("{who} answers at {address}"), look).await?;
        }
        anyhow::Ok(())
    };
    answers("old", BACK).await?;
    drop(old);
    std::fs::write(&hosts, names(moved.ip()))?;
    // Resolved again after a failed dial and every 30 s, asserted with twice that.
    answers("new", secs(60)).await
}
