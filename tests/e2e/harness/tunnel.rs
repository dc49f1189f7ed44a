//! A server and a client that belong together.

use super::config::Config;
use super::netns::Netns;
use super::process::Kariz;
use super::scene::Scene;
use super::tap::{Change, Tap};
use super::wait::eventually;
use super::{BACK, SOON, visitor};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;

/// Name of the service that [`Tunnel::start`] makes.
pub const SERVICE: &str = "web";

/// Two processes, one service.
#[derive(Debug)]
pub struct Tunnel {
    /// `kariz server`.
    pub server: Kariz,
    /// `kariz client`.
    pub client: Kariz,
    /// Where visitors go.
    pub public: SocketAddr,
    /// Where the client goes.
    pub carrier: SocketAddr,
    /// What the server was started with.
    pub server_config: Config,
    /// What the client was started with.
    pub client_config: Config,
}

impl Tunnel {
    /// Starts both ends with one service towards `target`, and waits until its public address is open.
    pub async fn start(scene: &Scene, target: SocketAddr) -> Result<Self> {
        Self::start_with(scene, target, |_, _| {}).await
    }

    /// Like [`Tunnel::start`], after `change` has had its way with both configurations.
    pub async fn start_with(
        scene: &Scene,
        target: SocketAddr,
        change: impl FnOnce(&mut Config, &mut Config),
    ) -> Result<Self> {
        Self::start_at(scene, scene.address(), target, change).await
    }

    /// Like [`Tunnel::start_with`], with a [`Tap`] between client and server.
    pub async fn start_tapped(
        scene: &Scene,
        target: SocketAddr,
        tamper: Change,
        change: impl FnOnce(&mut Config, &mut Config),
    ) -> Result<(Self, Tap)> {
        let carrier = scene.address();
        let tap = Tap::start_changing(scene, carrier, tamper)?;
        let tunnel = Self::start_at(scene, carrier, target, |server, client| {
            client.set("client.remote_addr", tap.address().to_string());
            change(server, client);
        });
        Ok((tunnel.await?, tap))
    }

    async fn start_at(
        scene: &Scene,
        carrier: SocketAddr,
        target: SocketAddr,
        change: impl FnOnce(&mut Config, &mut Config),
    ) -> Result<Self> {
        let public = scene.address();
        let mut server_config = Config::server(scene, carrier);
        server_config.server_service(SERVICE, public);
        let mut client_config = Config::client(scene, carrier);
        client_config.client_service(SERVICE, target);
        change(&mut server_config, &mut client_config);
        let server = Kariz::start(scene, "server", &server_config)?;
        let client = Kariz::start(scene, "client", &client_config)?;
        let mut tunnel = Self {
            server,
            client,
            public,
            carrier,
            server_config,
            client_config,
        };
        let open = listening(public, None, SOON).await;
        open.with_context(|| tunnel.who_died())?;
        Ok(tunnel)
    }

    /// Starts another client with the configuration of the first.
    pub fn another_client(&self, scene: &Scene) -> Result<Kariz> {
        Kariz::start(scene, "client", &self.client_config)
    }

    /// Starts the server again with its first configuration.
    pub fn another_server(&self, scene: &Scene) -> Result<Kariz> {
        Kariz::start(scene, "server", &self.server_config)
    }

    /// Waits until an echo target answers a visitor; the time that it took.
    pub async fn answers(&self) -> Result<Duration> {
        let visit = || tokio::time::timeout(Duration::from_secs(12), visitor::visit(self.public));
        let look = || async { visit().await.context("the visitor got no answer")? };
        Ok(eventually(BACK, "the tunnel answers", look).await?.1)
    }

    fn who_died(&mut self) -> String {
        let server = self.server.exited().ok().flatten();
        let client = self.client.exited().ok().flatten();
        format!("server exited: {server:?}, client exited: {client:?}")
    }
}

/// Waits until something listens at `address`, without connecting to it.
pub async fn listening(address: SocketAddr, netns: Option<&Netns>, limit: Duration) -> Result<Duration> {
    let what = format!("something listens at {address}");
    let look = || async { is_listening(address, netns)?.then_some(()).context("nothing listens") };
    Ok(eventually(limit, &what, look).await?.1)
}

/// Waits until nothing listens at `address` any more.
pub async fn not_listening(address: SocketAddr, limit: Duration) -> Result<Duration> {
    let what = format!("nothing listens at {address}");
    let look = || async { (!is_listening(address, None)?).then_some(()).context("still listening") };
    Ok(eventually(limit, &what, look).await?.1)
}

/// Whether something listens at `address`, or at its port on all addresses.
pub fn is_listening(address: SocketAddr, netns: Option<&Netns>) -> Result<bool> {
    // The process's own namespace is that of its first thread: this one may be in another.
    let read = || -> std::io::Result<String> {
        let v6 = std::fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
        Ok(std::fs::read_to_string("/proc/thread-self/net/tcp")? + &v6)
    };
    let table = match netns {
        Some(netns) => netns.enter(read)??,
        None => read()?,
    };
    const LISTEN: &str = "0A";
    let port = format!("{:04X}", address.port());
    let octets = match address.ip() {
        std::net::IpAddr::V4(ip) => format!("{:08X}", u32::from_le_bytes(ip.octets())),
        std::net::IpAddr::V6(_) => String::new(),
    };
    Ok(table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        let (host, at) = local.split_once(':').unwrap_or(("", ""));
        state == LISTEN && at == port && (host == octets || host.bytes().all(|b| b == b'0'))
    }))
}
