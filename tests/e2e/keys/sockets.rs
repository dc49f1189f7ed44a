//! Keys that are socket options: read from the running process's own sockets.

use super::{Row, direct, place};
use crate::harness::sockets::Borrowed;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::talk;
use crate::harness::*;
use socket2::Socket;
use tokio::net::TcpStream;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (key, side) in [
        ("server.so_rcvbuf", Side::ServerCarrier),
        ("client.so_rcvbuf", Side::ClientCarrier),
    ] {
        // The kernel doubles what is asked for, for its own bookkeeping.
        rows.push(option(
            key,
            side,
            300_000,
            |socket| Ok(socket.recv_buffer_size()? as u64),
            600_000,
        ));
    }
    for (key, side) in [
        ("server.so_sndbuf", Side::ServerCarrier),
        ("client.so_sndbuf", Side::ClientCarrier),
    ] {
        rows.push(option(
            key,
            side,
            200_000,
            |socket| Ok(socket.send_buffer_size()? as u64),
            400_000,
        ));
    }
    for (key, side) in [
        ("server.keep_alive", Side::ServerCarrier),
        ("client.keep_alive", Side::ClientCarrier),
        ("server.default_keep_alive", Side::Visitor),
        ("client.default_keep_alive", Side::Target),
        ("server.services.NAME.keep_alive", Side::Visitor),
        ("client.services.NAME.keep_alive", Side::Target),
        ("relay.services.NAME.keep_alive", Side::Relay),
    ] {
        rows.push(option(key, side, 77, keep_alive, 77));
    }
    for (key, side) in [
        ("server.disable_nodelay", Side::ServerCarrier),
        ("client.disable_nodelay", Side::ClientCarrier),
        ("server.default_disable_nodelay", Side::Visitor),
        ("client.default_disable_nodelay", Side::Target),
        ("server.services.NAME.disable_nodelay", Side::Visitor),
        ("client.services.NAME.disable_nodelay", Side::Target),
        ("relay.services.NAME.disable_nodelay", Side::Relay),
    ] {
        rows.push(option(
            key,
            side,
            true,
            |socket| Ok(u64::from(socket.tcp_nodelay()?)),
            0,
        ));
    }
    rows.push(direct("server.mss", |scene| {
        mss(scene, "server.mss", Side::ServerCarrier)
    }));
    rows.push(direct("client.mss", |scene| {
        mss(scene, "client.mss", Side::ClientCarrier)
    }));
    rows
}

/// Whose sockets carry the option.
#[derive(Clone, Copy)]
enum Side {
    ServerCarrier,
    ClientCarrier,
    Visitor,
    Target,
    Relay,
}

/// Reads an option as a number.
type Read = fn(&Socket) -> Result<u64>;

fn option<V: Into<toml::Value> + Copy + Send + Sync + 'static>(
    key: &'static str,
    side: Side,
    value: V,
    read: Read,
    expected: u64,
) -> Row {
    direct(key, move |scene| async move {
        let plain = values(&scene, side, None, read).await?;
        ensure!(
            !plain.contains(&expected),
            "{key} not set gives {plain:?}, too: the row shows nothing"
        );
        let set = values(&scene, side, Some((key, value.into())), read).await?;
        ensure!(
            set.iter().all(|&seen| seen == expected),
            "{key}: the sockets have {set:?} instead of {expected}"
        );
        Ok(())
    })
}

fn keep_alive(socket: &Socket) -> Result<u64> {
    ensure!(socket.keepalive()?, "keep-alive is off");
    Ok(socket.tcp_keepalive_time()?.as_secs())
}

async fn mss(scene: Scene, key: &'static str, side: Side) -> Result<()> {
    let read: Read = |socket| Ok(u64::from(socket.tcp_mss()?));
    let plain = values(&scene, side, None, read).await?;
    let set = values(&scene, side, Some((key, 1_000.into())), read).await?;
    // The timestamp option comes out of it. Some sockets may be older than the option, none larger.
    ensure!(plain.iter().all(|&seen| seen > 1_000), "{key} not set gives {plain:?}");
    ensure!(
        set.iter().all(|&seen| (900..=1_000).contains(&seen)),
        "{key}: the sockets have {set:?}"
    );
    Ok(())
}

/// The option on every connected socket of `side`, with a visitor inside.
async fn values(scene: &Scene, side: Side, set: Option<(&str, toml::Value)>, read: Read) -> Result<Vec<u64>> {
    let target = Target::echo(scene)?;
    let (carrier, public) = (scene.address(), scene.address());
    let mut config = Config::server(scene, carrier);
    config.server_service(SERVICE, public);
    config
        .set("client.remote_addr", carrier.to_string())
        .set("client.transport", scene.lane().transport());
    config
        .set("client.default_token", config::TOKEN)
        .client_service(SERVICE, target.address());
    let relay = scene.address();
    config.relay_service(SERVICE, relay, target.address());
    if let Some((key, value)) = set {
        config.set(&place(key), value);
    }
    let [server, client, forwarder] = ["server", "client", "relay"].map(|role| Kariz::start(scene, role, &config));
    let (server, client, forwarder) = (server?, client?, forwarder?);
    let entrance = if matches!(side, Side::Relay) { relay } else { public };
    listening(entrance, None, SOON).await?;
    let mut visitor = TcpStream::connect(entrance).await?;
    within(SOON, "a talk", talk(&mut visitor, b"hello")).await??;
    let sockets: Vec<Borrowed> = match side {
        Side::ServerCarrier => server.connections(carrier)?,
        Side::ClientCarrier => client.connections(carrier)?,
        Side::Visitor => server.connections(public)?,
        Side::Target => client.connections(target.address())?,
        Side::Relay => {
            let mut both = forwarder.connections(relay)?;
            both.extend(forwarder.connections(target.address())?);
            both
        }
    };
    ensure!(!sockets.is_empty(), "no socket is connected");
    sockets.iter().map(|borrowed| read(&borrowed.socket)).collect()
}
