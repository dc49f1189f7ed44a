//! A second core in the role of many users: each has a door of his own, which leads through the node's core to wherever the
//! visitor asks (SOCKS5).

use super::process::Kariz;
use super::protocol::{Member, Server};
use super::scene::Scene;
use super::tunnel::is_listening;
use super::visitor::{receive, send};
use super::wait::within;
use super::xray;
use super::{Context, Duration, Instant, IpAddr, Pattern, Result, SOON, SocketAddr, bail, ensure, millis};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Small enough to go along with a request.
const FIRST_BYTES: u64 = 1_000;

/// The running core; its doors are shut when it is dropped.
#[derive(Debug)]
pub struct Doors {
    process: Kariz,
    doors: Vec<Door>,
}

/// The way of one user through one inbound.
#[derive(Debug, Clone, Copy)]
pub struct Door(SocketAddr);

/// A connection to an echo that stays open.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    sent: Pattern,
    received: Pattern,
}

impl Doors {
    /// Opens a door for each of `ways`, in their order.
    pub async fn start(scene: &Scene, ways: &[(&Member, Server)]) -> Result<Self> {
        Self::with(scene, ways, None).await
    }

    /// The same, and the users come from `source`: the core counts nobody from 127.0.0.1 as online.
    pub async fn start_from(scene: &Scene, source: IpAddr, ways: &[(&Member, Server)]) -> Result<Self> {
        Self::with(scene, ways, Some(source)).await
    }

    async fn with(scene: &Scene, ways: &[(&Member, Server)], source: Option<IpAddr>) -> Result<Self> {
        let doors: Vec<Door> = ways.iter().map(|_| Door(scene.address())).collect();
        let inbound = |(number, Door(at)): (usize, &Door)| json!({ "tag": format!("door-{number}"), "listen": at.ip(), "port": at.port(), "protocol": "socks" });
        let outbound = |(number, (member, server)): (usize, &(&Member, Server))| {
            let mut outbound = server.outbound(member);
            outbound["tag"] = format!("way-{number}").into();
            if let Some(source) = source {
                outbound["sendThrough"] = source.to_string().into();
            }
            outbound
        };
        let rule = |number: usize| {
            json!({
                "type": "field", "inboundTag": [format!("door-{number}")], "outboundTag": format!("way-{number}"),
            })
        };
        let config = json!({
            "log": { "loglevel": "warning", "access": "none" },
            "inbounds": doors.iter().enumerate().map(inbound).collect::<Vec<Value>>(),
            "outbounds": ways.iter().enumerate().map(outbound).collect::<Vec<Value>>(),
            "routing": { "rules": (0..ways.len()).map(rule).collect::<Vec<Value>>() },
        });
        let process = xray::run(scene, &config)?;
        let mut doors = Self { process, doors };
        doors.opened().await?;
        Ok(doors)
    }

    async fn opened(&mut self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        for Door(address) in &self.doors {
            while !is_listening(*address, None)? {
                if self.process.exited()?.is_some() || Instant::now() > deadline {
                    bail!("the users' core opens no doors:\n{}", self.process.log());
                }
                tokio::time::sleep(millis(20)).await;
            }
        }
        Ok(())
    }

    /// The door of the way with this number.
    pub fn door(&self, number: usize) -> Door {
        self.doors[number]
    }

    /// All of them.
    pub fn all(&self) -> &[Door] {
        &self.doors
    }
}

impl Door {
    /// Asks to be connected with `host`, which may be a name. The door says yes before it knows whether the node lets anybody in.
    pub async fn connect(self, host: &str, port: u16) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.0).await.context("connecting to a door")?;
        stream.write_all(&[5, 1, 0]).await?;
        let mut method = [0; 2];
        stream.read_exact(&mut method).await.context("the door's method")?;
        let mut request = vec![5, 1, 0, 3, u8::try_from(host.len())?];
        request.extend_from_slice(host.as_bytes());
        request.extend_from_slice(&port.to_be_bytes());
        stream.write_all(&request).await?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await.context("the door's answer")?;
        ensure!(
            method == [5, 0] && answer[..2] == [5, 0],
            "the door refuses: {answer:?}"
        );
        Ok(stream)
    }

    /// Moves `count` bytes to an echo and back, and compares them.
    pub async fn move_data(self, scene: &Scene, echo: SocketAddr, count: u64) -> Result<()> {
        Held::open(self, scene, echo).await?.move_data(count).await
    }

    /// Expects that the node lets nobody in here: the connection ends, and nothing comes back from the echo.
    ///
    /// The visitor knocks again and again: a server may read on for a while before it closes to a stranger, and the users'
    /// core may see that it has closed only when it writes.
    pub async fn expect_shut(self, echo: SocketAddr) -> Result<()> {
        const KNOCK: [u8; 4 << 10] = [7; 4 << 10];
        const PAUSE: Duration = millis(40);
        let mut stream = self.connect(&echo.ip().to_string(), echo.port()).await?;
        let knocking = async {
            let mut answer = [0; 1];
            while stream.write_all(&KNOCK).await.is_ok() {
                match tokio::time::timeout(PAUSE, stream.read(&mut answer)).await {
                    Ok(Ok(1..)) => bail!("somebody got in who should be kept out"),
                    Ok(Ok(0) | Err(_)) => break,
                    Err(_) => {}
                }
            }
            Ok(())
        };
        within(SOON, "the end of a connection of somebody who is not let in", knocking).await?
    }
}

impl Held {
    /// A connection through `door`.
    pub async fn open(door: Door, scene: &Scene, echo: SocketAddr) -> Result<Self> {
        let stream = door.connect(&echo.ip().to_string(), echo.port()).await?;
        let sent = Pattern::new(scene.stream_seed());
        let received = sent.clone();
        Ok(Self { stream, sent, received })
    }

    /// Moves `count` more bytes to the echo and back.
    pub async fn move_data(&mut self, count: u64) -> Result<()> {
        // The users' core fails over a first piece that does not fit into one buffer together with a request of Trojan.
        let first = if self.moved() == 0 { count.min(FIRST_BYTES) } else { 0 };
        self.exchange(first).await?;
        self.exchange(count - first).await
    }

    async fn exchange(&mut self, count: u64) -> Result<()> {
        let (mut reader, mut writer) = self.stream.split();
        let there = send(&mut writer, &mut self.sent, count);
        let back = receive(&mut reader, &mut self.received, count);
        let moved = within(SOON, "data comes back", async { tokio::try_join!(there, back) });
        moved.await?.map(drop)
    }

    /// What has gone there, and what has come back.
    pub fn moved(&self) -> u64 {
        self.received.offset()
    }
}
