//! Keys of the mux lane: seen in the number of carriers, in the bytes between both ends, and in what is buffered.

use super::{Row, place, row};
use crate::harness::tap::{Tap, Way, untouched};
use crate::harness::visitor::talk;
use crate::harness::*;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(super) fn rows() -> Vec<Row> {
    let mux = Lane::Mux;
    let mut rows = Vec::new();
    for key in ["server.default_mux_concurrency", "server.services.NAME.mux_concurrency"] {
        rows.push(row(key, mux, move |scene| concurrency(scene, key)));
    }
    for key in ["client.default_mux_concurrency", "client.services.NAME.mux_concurrency"] {
        rows.push(row(key, mux, move |scene| concurrency(scene, key)));
    }
    for key in [
        "server.default_mux_version",
        "server.services.NAME.mux_version",
        "client.default_mux_version",
        "client.services.NAME.mux_version",
    ] {
        rows.push(row(key, mux, move |scene| version(scene, key)));
    }
    for (key, way) in [
        ("server.default_mux_framesize", Way::ToClient),
        ("server.services.NAME.mux_framesize", Way::ToClient),
        ("client.default_mux_framesize", Way::ToServer),
        ("client.services.NAME.mux_framesize", Way::ToServer),
    ] {
        rows.push(row(key, mux, move |scene| frame_size(scene, key, way)));
    }
    for key in [
        "server.default_mux_streambuffer",
        "server.services.NAME.mux_streambuffer",
        "client.default_mux_streambuffer",
        "client.services.NAME.mux_streambuffer",
    ] {
        rows.push(row(key, mux, move |scene| stream_buffer(scene, key)));
    }
    for key in [
        "server.default_mux_recievebuffer",
        "server.default_mux_receivebuffer",
        "server.services.NAME.mux_recievebuffer",
        "server.services.NAME.mux_receivebuffer",
        "client.default_mux_recievebuffer",
        "client.default_mux_receivebuffer",
        "client.services.NAME.mux_recievebuffer",
        "client.services.NAME.mux_receivebuffer",
    ] {
        rows.push(row(key, mux, move |scene| receive_buffer(scene, key)));
    }
    rows.push(row("server.services.NAME.priority", mux, |scene| {
        priority(scene, "server.services.NAME.priority")
    }));
    rows
}

/// One worker and one carrier at rest, so that carriers can be counted; and a key, on the end that it belongs to.
fn arrange(server: &mut Config, client: &mut Config, key: &str, value: Option<i64>) {
    for config in [&mut *server, &mut *client] {
        config.set("runtime.workers", 1);
    }
    client.set("client.default_connection_pool", 1);
    if let Some(value) = value {
        let owner = if key.starts_with("server") { server } else { client };
        owner.set(&place(key), value);
    }
}

async fn concurrency(scene: Scene, key: &'static str) -> Result<()> {
    const VISITORS: usize = 8;
    let target = Target::echo(&scene)?;
    let mut counts = Vec::new();
    for value in [None, Some(2)] {
        let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
            arrange(server, client, key, value)
        });
        let tunnel = tunnel.await?;
        let mut visitors = Vec::new();
        for _ in 0..VISITORS {
            let mut visitor = TcpStream::connect(tunnel.public).await?;
            within(SOON, "a talk", talk(&mut visitor, b"hello")).await??;
            visitors.push(visitor);
        }
        tokio::time::sleep(secs(1)).await;
        counts.push(tunnel.server.connections(tunnel.carrier)?.len());
    }
    // The control carrier is one of them.
    let [plain, set] = counts[..] else {
        bail!("two measurements")
    };
    ensure!(set > VISITORS / 2, "8 visitors, 2 on a carrier: {set} carriers");
    ensure!(
        plain < set,
        "8 visitors, 16 on a carrier: {plain} carriers, with 2 on a carrier {set}"
    );
    Ok(())
}

/// Sends a long run of one byte that no header is made of, and gives the recorded bytes of the carrier that bore it.
async fn recorded_run(scene: &Scene, key: &'static str, value: Option<i64>, way: Way) -> Result<Vec<u8>> {
    const RUN: usize = 600_000;
    let target = Target::serve(scene, |mut stream| async move {
        let mut all = vec![0; RUN];
        if stream.read_exact(&mut all).await.is_ok() {
            let _ = stream.write_all(&all).await;
            let _ = stream.read(&mut all).await;
        }
    })?;
    let arranged = |server: &mut Config, client: &mut Config| arrange(server, client, key, value);
    let (tunnel, tap): (Tunnel, Tap) = Tunnel::start_tapped(scene, target.address(), untouched(), arranged).await?;
    let mut visitor = from_a_long_port(tunnel.public).await?;
    visitor.write_all(&vec![MARK; RUN]).await?;
    let mut back = vec![0; RUN];
    within(SOON, "the run comes back", visitor.read_exact(&mut back)).await??;
    ensure!(back.iter().all(|&byte| byte == MARK), "the run came back changed");
    let carriers = tap.bytes(way);
    let bearer = carriers
        .into_iter()
        .max_by_key(|bytes| bytes.iter().filter(|&&byte| byte == MARK).count());
    bearer.context("no carrier was recorded")
}

const MARK: u8 = 0xa5;

/// Connects from a port that takes three bytes in Open, whatever ports the machine gives out: runs have equal lengths.
async fn from_a_long_port(address: SocketAddr) -> Result<TcpStream> {
    loop {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        if socket.local_addr()?.port() >= 1 << 14 {
            return Ok(socket.connect(address).await?);
        }
    }
}

/// Every header in front of a payload of marks, as `(version, length)`; see `spec/smux.md` for its eight bytes.
fn headers(bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 8 < bytes.len() {
        let length = usize::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]));
        let payload = bytes.get(at + 8..at + 8 + length);
        let is_push = bytes[at + 1] == 2 && length > 0;
        if is_push && payload.is_some_and(|payload| payload.iter().all(|&byte| byte == MARK)) {
            found.push((bytes[at], length));
            at += 8 + length;
        } else {
            at += 1;
        }
    }
    found
}

async fn version(scene: Scene, key: &'static str) -> Result<()> {
    for (value, expected) in [(None, 2), (Some(1), 1)] {
        for way in [Way::ToServer, Way::ToClient] {
            let headers = headers(&recorded_run(&scene, key, value, way).await?);
            ensure!(!headers.is_empty(), "no frame was recognized");
            let right = headers.iter().all(|&(version, _)| version == expected);
            ensure!(
                right,
                "{key} = {value:?}: not all frames have version {expected}: {headers:?}"
            );
        }
    }
    Ok(())
}

async fn frame_size(scene: Scene, key: &'static str, way: Way) -> Result<()> {
    const SIZE: usize = 5_000;
    let plain = headers(&recorded_run(&scene, key, None, way).await?);
    ensure!(
        plain.iter().any(|&(_, length)| length > SIZE),
        "frames are small without {key}, too: {plain:?}"
    );
    ensure!(
        plain.iter().all(|&(_, length)| length <= 32_768),
        "a frame is above the default size"
    );
    let set = headers(&recorded_run(&scene, key, Some(SIZE as i64), way).await?);
    let whole: usize = set.iter().map(|&(_, length)| length).sum();
    ensure!(whole > 500_000, "only {whole} bytes were recognized in frames");
    ensure!(
        set.iter().all(|&(_, length)| length <= SIZE),
        "a frame is above {SIZE}: {set:?}"
    );
    Ok(())
}

/// The gauge `mux_buffered` of the end that `key` belongs to, while `stalled` streams are not read there.
async fn buffered(scene: &Scene, key: &'static str, set: &[(&str, i64)], stalled: usize) -> Result<u64> {
    // A source that sends for ever, and never reads.
    let target = Target::serve(scene, |mut stream| async move {
        let mut first = [0; 1];
        if stream.read_exact(&mut first).await.is_ok() && first == *b"s" {
            let junk = vec![MARK; 64 * 1024];
            while stream.write_all(&junk).await.is_ok() {}
        }
        tokio::time::sleep(secs(600)).await;
    })?;
    let arranged = |server: &mut Config, client: &mut Config| {
        arrange(server, client, key, None);
        for (key, value) in set {
            let owner = if key.starts_with("server") {
                &mut *server
            } else {
                &mut *client
            };
            owner.set(&place(key), *value);
        }
    };
    let tunnel = Tunnel::start_with(scene, target.address(), arranged).await?;
    let mut visitors = Vec::new();
    for _ in 0..stalled {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        if key.starts_with("server") {
            // The server buffers for visitors that do not read.
            visitor.write_all(b"s").await?;
        } else {
            // The client buffers for targets that do not read.
            let pump = tokio::time::timeout(secs(2), async {
                let junk = vec![MARK; 64 * 1024];
                while visitor.write_all(&junk).await.is_ok() {}
            });
            let _ = pump.await;
        }
        visitors.push(visitor);
    }
    tokio::time::sleep(secs(3)).await;
    let process = if key.starts_with("server") {
        &tunnel.server
    } else {
        &tunnel.client
    };
    let sums = process.counter_lines(1).await?;
    sums.first()
        .and_then(|line| line.get("mux_buffered").copied())
        .context("there is no gauge mux_buffered")
}

async fn stream_buffer(scene: Scene, key: &'static str) -> Result<()> {
    const SIZE: i64 = 100_000;
    let plain = buffered(&scene, key, &[], 1).await?;
    let set = buffered(&scene, key, &[(key, SIZE)], 1).await?;
    ensure!(
        set > 0 && set <= SIZE as u64,
        "{key} = {SIZE}: {set} bytes are buffered for a stream that is not read"
    );
    ensure!(
        plain > SIZE as u64,
        "{plain} bytes are buffered without {key}: the row shows nothing"
    );
    Ok(())
}

async fn receive_buffer(scene: Scene, key: &'static str) -> Result<()> {
    const STREAMS: usize = 4;
    /// Room for as many streams on one carrier, each with 128 KiB, and not for much more.
    const SIZE: i64 = 600_000;
    /// One more frame may arrive after the last one that fitted.
    const FRAME: u64 = 65_535;
    let stream = key
        .replace("recievebuffer", "streambuffer")
        .replace("receivebuffer", "streambuffer");
    let plain = buffered(&scene, key, &[(&stream, SIZE)], STREAMS).await?;
    let set = buffered(&scene, key, &[(&stream, SIZE), (key, SIZE)], STREAMS).await?;
    ensure!(
        set > 0 && set <= SIZE as u64 + FRAME,
        "{key} = {SIZE}: {set} bytes are buffered on one carrier"
    );
    ensure!(
        plain > SIZE as u64 + FRAME,
        "{plain} bytes are buffered without {key}: the row shows nothing"
    );
    Ok(())
}

/// Open tells the client the priority in clear (`proto/SESSION.md`): a zero is not written, so the carrier's bytes in
/// front of the visitor's are fewer. What priorities do to each other is shown in `fairness`.
async fn priority(scene: Scene, key: &'static str) -> Result<()> {
    let mut lengths = Vec::new();
    for value in [3, 0] {
        let carried = recorded_run(&scene, key, Some(value), Way::ToClient).await?;
        // One such byte alone may be part of something random.
        let first = carried
            .windows(64)
            .position(|bytes| bytes.iter().all(|&byte| byte == MARK))
            .context("the run was not recorded")?;
        lengths.push(first);
    }
    ensure!(
        lengths[0] == lengths[1] + 2,
        "bytes before the visitor's with priority 3 and 0: {lengths:?}"
    );
    Ok(())
}
