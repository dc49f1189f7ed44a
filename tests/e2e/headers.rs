//! PROXY protocol: the target learns who the visitor really is.

use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{connect_from, talk};
use crate::harness::*;
use libtest_mimic::Trial;
use ppp::{v1, v2};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("headers")
        .lanes("v1_names_visitor_and_public_address", |scene| {
            through_tunnel(scene, "v1")
        })
        .lanes("v2_names_visitor_and_public_address", |scene| {
            through_tunnel(scene, "v2")
        })
        .lanes("v1_names_an_ipv6_visitor", |scene| ipv6_visitor(scene, "v1"))
        .lanes("v2_names_an_ipv6_visitor", |scene| ipv6_visitor(scene, "v2"))
        .once("relay_sends_v1", |scene| through_relay(scene, "v1"))
        .once("relay_sends_v2", |scene| through_relay(scene, "v2"))
        .lanes("a_silent_visitor_is_announced_too", silent_visitor)
        .done()
}

/// Source and destination of a header.
type Ends = (SocketAddr, SocketAddr);

/// An echo behind a header that it insists on.
struct Insisting {
    target: Target,
    heard: Arc<Mutex<Vec<Result<Ends, String>>>>,
}

impl Insisting {
    fn start(scene: &Scene, version: &'static str) -> Result<Self> {
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let book = heard.clone();
        let target = Target::serve(scene, move |mut stream| {
            let book = book.clone();
            async move {
                let ends = read_header(&mut stream, version).await;
                let good = ends.is_ok();
                book.lock()
                    .expect("no test panics with the book")
                    .push(ends.map_err(|error| format!("{error:#}")));
                if good {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                }
            }
        })?;
        Ok(Self { target, heard })
    }

    async fn heard(&self, count: usize) -> Result<Vec<Ends>> {
        let look = || async {
            let heard = self.heard.lock().expect("no test panics with the book").clone();
            ensure!(heard.len() >= count, "{} headers", heard.len());
            Ok(heard)
        };
        let (heard, _) = eventually(SOON, "the target hears headers", look).await?;
        heard.into_iter().map(|ends| ends.map_err(anyhow::Error::msg)).collect()
    }
}

/// Reads the header and nothing behind it.
async fn read_header(stream: &mut TcpStream, version: &str) -> Result<Ends> {
    let mut bytes = Vec::new();
    if version == "v1" {
        while !bytes.ends_with(b"\r\n") {
            ensure!(bytes.len() < 108, "no v1 header in {bytes:?}");
            bytes.push(
                stream
                    .read_u8()
                    .await
                    .with_context(|| format!("the header ended: {bytes:?}"))?,
            );
        }
        let header = v1::Header::try_from(&bytes[..]).with_context(|| format!("{bytes:?}"))?;
        return match header.addresses {
            v1::Addresses::Tcp4(a) => Ok(ends(
                a.source_address,
                a.source_port,
                a.destination_address,
                a.destination_port,
            )),
            v1::Addresses::Tcp6(a) => Ok(ends(
                a.source_address,
                a.source_port,
                a.destination_address,
                a.destination_port,
            )),
            v1::Addresses::Unknown => bail!("a header without addresses"),
        };
    }
    bytes.resize(16, 0);
    stream.read_exact(&mut bytes).await?;
    let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    bytes.resize(16 + rest, 0);
    stream.read_exact(&mut bytes[16..]).await?;
    let header = v2::Header::try_from(&bytes[..]).with_context(|| format!("{bytes:?}"))?;
    ensure!(
        header.command == v2::Command::Proxy,
        "the command is {:?}",
        header.command
    );
    ensure!(
        header.protocol == v2::Protocol::Stream,
        "the protocol is {:?}",
        header.protocol
    );
    match header.addresses {
        v2::Addresses::IPv4(a) => Ok(ends(
            a.source_address,
            a.source_port,
            a.destination_address,
            a.destination_port,
        )),
        v2::Addresses::IPv6(a) => Ok(ends(
            a.source_address,
            a.source_port,
            a.destination_address,
            a.destination_port,
        )),
        other => bail!("the addresses are {other:?}"),
    }
}

fn ends(source: impl Into<IpAddr>, from: u16, destination: impl Into<IpAddr>, to: u16) -> Ends {
    (
        SocketAddr::new(source.into(), from),
        SocketAddr::new(destination.into(), to),
    )
}

async fn through_tunnel(scene: Scene, version: &'static str) -> Result<()> {
    let target = Insisting::start(&scene, version)?;
    let tunnel = Tunnel::start_with(&scene, target.target.address(), |server, _| {
        server.set(&format!("server.services.{SERVICE}.proxy_protocol"), version);
    })
    .await?;
    check(&scene, &target, tunnel.public).await
}

async fn through_relay(scene: Scene, version: &'static str) -> Result<()> {
    let target = Insisting::start(&scene, version)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config.relay_service(SERVICE, public, target.target.address());
    config.set("relay.services.web.proxy_protocol", version);
    let _relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    check(&scene, &target, public).await
}

async fn check(scene: &Scene, target: &Insisting, public: SocketAddr) -> Result<()> {
    let mut expected = Vec::new();
    for host in [2, 3, 77] {
        let mut visitor = connect_from(scene.ip(host), public).await?;
        within(SOON, "a talk behind the header", talk(&mut visitor, b"hello")).await??;
        expected.push((visitor.local_addr()?, public));
    }
    let heard = target.heard(expected.len()).await?;
    ensure!(heard == expected, "the target heard {heard:?} instead of {expected:?}");
    Ok(())
}

async fn ipv6_visitor(scene: Scene, version: &'static str) -> Result<()> {
    let target = Insisting::start(&scene, version)?;
    let (carrier, port) = (scene.address(), scene.wildcard_port());
    let public = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        bail!(trial::Missing("this machine has no IPv6"));
    }
    let mut server = Config::server(&scene, carrier);
    // Dual-stack: visitors of both families are named as what they are.
    server.set(&format!("server.services.{SERVICE}.bind_addr"), format!(":{port}"));
    server.set(&format!("server.services.{SERVICE}.proxy_protocol"), version);
    let _server = Kariz::start(&scene, "server", &server)?;
    let mut client = Config::client(&scene, carrier);
    client.client_service(SERVICE, target.target.address());
    let _client = Kariz::start(&scene, "client", &client)?;
    listening(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), None, SOON).await?;
    let mut six = TcpStream::connect(public).await?;
    within(SOON, "a talk by IPv6", talk(&mut six, b"hello")).await??;
    let here = SocketAddr::new(scene.ip(1), port);
    let mut four = TcpStream::connect(here).await?;
    within(SOON, "a talk by IPv4", talk(&mut four, b"hello")).await??;
    let heard = target.heard(2).await?;
    let expected = [(six.local_addr()?, public), (four.local_addr()?, here)];
    ensure!(heard == expected, "the target heard {heard:?} instead of {expected:?}");
    Ok(())
}

async fn silent_visitor(scene: Scene) -> Result<()> {
    let target = Insisting::start(&scene, "v2")?;
    let tunnel = Tunnel::start_with(&scene, target.target.address(), |server, _| {
        server.set(&format!("server.services.{SERVICE}.proxy_protocol"), "v2");
    })
    .await?;
    // It says nothing and ends its direction: the target still has to know who was there.
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    visitor.shutdown().await?;
    let heard = target.heard(1).await?;
    ensure!(
        heard == [(visitor.local_addr()?, tunnel.public)],
        "the target heard {heard:?}"
    );
    Ok(())
}
