//! The real core: configurations that a panel would send, and a second core in the role of the users.

use super::https::fixture;
use super::process::Kariz;
use super::provision;
use super::scene::Scene;
use super::tunnel::is_listening;
use super::visitor::{receive, send};
use super::wait::within;
use super::{Context, Pattern, Result, SOON, SocketAddr, bail, secs};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const USER_ID: &str = "9d0e6f6e-52ac-4a0f-8d0b-0f9c3c1f6a01";
const USER_PASSWORD: &str = "a password of the tests";
const METHOD: &str = "aes-256-gcm";

/// Where users connect.
#[derive(Debug, Clone, Copy)]
pub struct Inbounds {
    /// VLESS over TCP.
    pub vless: SocketAddr,
    /// Shadowsocks.
    pub shadowsocks: SocketAddr,
}

impl Inbounds {
    /// Two addresses of `scene`.
    pub fn new(scene: &Scene) -> Self {
        Self {
            vless: scene.address(),
            shadowsocks: scene.address(),
        }
    }

    /// The same without users, as panels send it that give the users apart.
    pub fn empty_config(&self) -> Value {
        let mut config = self.panel_config();
        for inbound in config["inbounds"].as_array_mut().into_iter().flatten() {
            if let Some(settings) = inbound["settings"].as_object_mut() {
                settings.remove("clients");
            }
        }
        config
    }

    /// The users of [`Users`] as such panels give them.
    pub fn users() -> [Value; 2] {
        let user = |email: &str, inbound: &str| {
            json!({
                "email": email, "id": USER_ID, "password": USER_PASSWORD, "method": METHOD, "inbounds": [inbound],
            })
        };
        [user("1.alice", "VLESS TCP"), user("2.bob", "Shadowsocks TCP")]
    }

    /// What a panel sends for these inbounds: with a stale API inbound of its own, as the real one does.
    pub fn panel_config(&self) -> Value {
        json!({
            "log": { "loglevel": "warning" },
            "inbounds": [
                {
                    "tag": "API_INBOUND", "listen": "127.0.0.1", "port": 1, "protocol": "dokodemo-door",
                    "settings": { "address": "127.0.0.1" },
                },
                {
                    "tag": "VLESS TCP", "listen": self.vless.ip(), "port": self.vless.port(), "protocol": "vless",
                    "settings": { "clients": [{ "id": USER_ID, "email": "1.alice" }], "decryption": "none" },
                    "streamSettings": { "network": "tcp", "security": "none" },
                },
                {
                    "tag": "Shadowsocks TCP", "listen": self.shadowsocks.ip(), "port": self.shadowsocks.port(),
                    "protocol": "shadowsocks",
                    "settings": {
                        "clients": [{ "password": USER_PASSWORD, "method": METHOD, "email": "2.bob" }],
                        "network": "tcp",
                    },
                },
            ],
            "outbounds": [{ "tag": "DIRECT", "protocol": "freedom" }],
            "policy": { "levels": { "0": { "statsUserUplink": true, "statsUserDownlink": true } } },
            "routing": { "domainStrategy": "AsIs", "rules": [] },
        })
    }
}

/// A second core in the role of two users: whoever connects to its doors reaches the target through the node's core.
#[derive(Debug)]
pub struct Users {
    process: Kariz,
    /// The door that leads through VLESS.
    pub vless: SocketAddr,
    /// The door that leads through Shadowsocks.
    pub shadowsocks: SocketAddr,
}

impl Users {
    /// Starts the users' core, and waits until both doors are open.
    pub async fn start(scene: &Scene, inbounds: Inbounds, target: SocketAddr) -> Result<Self> {
        let [vless, shadowsocks] = [scene.address(), scene.address()];
        let door = |tag: &str, at: SocketAddr| {
            json!({
                "tag": tag, "listen": at.ip(), "port": at.port(), "protocol": "dokodemo-door",
                "settings": { "address": target.ip(), "port": target.port(), "network": "tcp" },
            })
        };
        let config = json!({
            "log": { "loglevel": "warning" },
            "inbounds": [door("door-vless", vless), door("door-shadowsocks", shadowsocks)],
            "outbounds": [
                {
                    "tag": "vless", "protocol": "vless",
                    "settings": { "vnext": [{
                        "address": inbounds.vless.ip(), "port": inbounds.vless.port(),
                        "users": [{ "id": USER_ID, "encryption": "none" }],
                    }] },
                },
                {
                    "tag": "shadowsocks", "protocol": "shadowsocks",
                    "settings": { "servers": [{
                        "address": inbounds.shadowsocks.ip(), "port": inbounds.shadowsocks.port(),
                        "method": METHOD, "password": USER_PASSWORD,
                    }] },
                },
            ],
            "routing": { "rules": [
                { "type": "field", "inboundTag": ["door-vless"], "outboundTag": "vless" },
                { "type": "field", "inboundTag": ["door-shadowsocks"], "outboundTag": "shadowsocks" },
            ] },
        });
        let process = run(scene, &config)?;
        let mut users = Self {
            process,
            vless,
            shadowsocks,
        };
        users.open().await?;
        Ok(users)
    }

    async fn open(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + SOON;
        for door in [self.vless, self.shadowsocks] {
            while !is_listening(door, None)? {
                if self.process.exited()?.is_some() || tokio::time::Instant::now() > deadline {
                    bail!("the users' core opens no doors:\n{}", self.process.log());
                }
                tokio::time::sleep(super::millis(20)).await;
            }
        }
        Ok(())
    }

    /// Moves `count` bytes through each door to an echo and back, and compares them.
    pub async fn move_data(&self, scene: &Scene, count: u64) -> Result<()> {
        self.through_vless(scene, count).await?;
        self.through_shadowsocks(scene, count).await
    }

    /// The same through VLESS alone.
    pub async fn through_vless(&self, scene: &Scene, count: u64) -> Result<()> {
        through("VLESS", self.vless, scene, count).await
    }

    /// The same through Shadowsocks alone.
    pub async fn through_shadowsocks(&self, scene: &Scene, count: u64) -> Result<()> {
        through("Shadowsocks", self.shadowsocks, scene, count).await
    }
}

async fn through(name: &str, door: SocketAddr, scene: &Scene, count: u64) -> Result<()> {
    let moved = echo(door, scene.stream_seed(), count);
    within(secs(60), &format!("data through {name}"), moved)
        .await?
        .with_context(|| format!("through {name}"))
}

async fn echo(door: SocketAddr, seed: u64, count: u64) -> Result<()> {
    let (mut reader, mut writer) = TcpStream::connect(door).await?.into_split();
    let there = async move {
        send(&mut writer, &mut Pattern::new(seed), count).await?;
        writer.flush().await?;
        // Open until everything is back: what a proxy does with half of a connection is not what is tested.
        anyhow::Ok(writer)
    };
    let back = async move { receive(&mut reader, &mut Pattern::new(seed), count).await };
    tokio::try_join!(there, back)?;
    Ok(())
}

/// `xray run` on `config`.
pub(super) fn run(scene: &Scene, config: &Value) -> Result<Kariz> {
    let log = scene.file("users.log");
    let out = std::fs::File::create(&log)?;
    scene.keep_log(&log);
    let mut child = Command::new(provision::xray()?)
        .args(["run", "-config", "stdin:"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .context("starting the users' core")?;
    let mut stdin = child.stdin.take().context("the core has a standard input")?;
    stdin.write_all(config.to_string().as_bytes())?;
    drop(stdin);
    Ok(Kariz::adopt(child, log, fixture("")))
}
