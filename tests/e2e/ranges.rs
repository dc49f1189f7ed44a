//! Public port ranges, to a range of the same size or to one port.

use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::greeting;
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::io::AsyncWriteExt;

pub fn trials() -> Vec<Trial> {
    Suite::new("ranges")
        .lanes("each_port_leads_to_its_own_target", one_to_one)
        .lanes("all_ports_lead_to_one_target", all_to_one)
        .once("relay_forwards_a_range", relay)
        .done()
}

const SIZE: u16 = 5;

fn range(first: SocketAddr) -> String {
    format!("{first}-{}", first.port() + SIZE - 1)
}

fn nth(first: SocketAddr, offset: u16) -> SocketAddr {
    SocketAddr::new(first.ip(), first.port() + offset)
}

/// A target at each port of a range, that says its number.
fn targets(scene: &Scene) -> Result<(SocketAddr, Vec<Target>)> {
    let first = scene.ports(SIZE);
    let target = |offset| {
        Target::serve_at(nth(first, offset), None, move |mut stream| async move {
            let _ = stream.write_all(format!("{offset}\n").as_bytes()).await;
            let _ = stream.shutdown().await;
        })
    };
    Ok((first, (0..SIZE).map(target).collect::<Result<_>>()?))
}

async fn each_leads_home(public: SocketAddr) -> Result<()> {
    for _ in 0..3 {
        for offset in 0..SIZE {
            listening(nth(public, offset), None, SOON).await?;
            let answer = within(SOON, "a greeting", greeting(nth(public, offset))).await??;
            ensure!(
                answer == offset.to_string(),
                "port {offset} of the range leads to {answer:?}"
            );
        }
    }
    Ok(())
}

async fn one_to_one(scene: Scene) -> Result<()> {
    let (first, _targets) = targets(&scene)?;
    let public = scene.ports(SIZE);
    let (carrier, mut server) = server(&scene);
    server.set(&format!("server.services.{SERVICE}.bind_addr"), range(public));
    let _server = Kariz::start(&scene, "server", &server)?;
    let mut client = Config::client(&scene, carrier);
    client.set(&format!("client.services.{SERVICE}.local_addr"), range(first));
    let _client = Kariz::start(&scene, "client", &client)?;
    each_leads_home(public).await
}

fn server(scene: &Scene) -> (SocketAddr, Config) {
    let carrier = scene.address();
    (carrier, Config::server(scene, carrier))
}

async fn all_to_one(scene: Scene) -> Result<()> {
    let target = Target::greeter(&scene, "the one\n")?;
    let public = scene.ports(SIZE);
    let (carrier, mut server) = server(&scene);
    server.set(&format!("server.services.{SERVICE}.bind_addr"), range(public));
    let _server = Kariz::start(&scene, "server", &server)?;
    let mut client = Config::client(&scene, carrier);
    client.client_service(SERVICE, target.address());
    let _client = Kariz::start(&scene, "client", &client)?;
    for offset in 0..SIZE {
        listening(nth(public, offset), None, SOON).await?;
        let answer = within(SOON, "a greeting", greeting(nth(public, offset))).await??;
        ensure!(answer == "the one", "port {offset} leads to {answer:?}");
    }
    Ok(())
}

async fn relay(scene: Scene) -> Result<()> {
    let (first, _targets) = targets(&scene)?;
    let public = scene.ports(SIZE);
    let mut config = Config::new(&scene);
    config.set("relay.services.web.bind_addr", range(public));
    config.set("relay.services.web.remote_addr", range(first));
    let _relay = Kariz::start(&scene, "relay", &config)?;
    each_leads_home(public).await
}
