//! Configuration files, built key by key so that a test shows only what it is about.

use super::scene::Scene;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Token of the tests' services.
pub const TOKEN: &str = "correct horse battery staple";

/// Workers of the tests' processes: more than one, so that hand-over between workers is part of every test.
pub const WORKERS: i64 = 2;

/// A configuration file in the making.
#[derive(Debug, Clone, Default)]
pub struct Config(Table);

impl Config {
    /// `[runtime]` as most tests want it: the driver of the variant, JSON logs, two workers.
    pub fn new(scene: &Scene) -> Self {
        let mut config = Self::default();
        config
            .set("runtime.workers", WORKERS)
            .set("runtime.io", scene.variant().io);
        config.set("runtime.log_format", "json");
        config
    }

    /// A server in the scene's lane without services, with a heartbeat of one second.
    pub fn server(scene: &Scene, bind: SocketAddr) -> Self {
        let mut config = Self::new(scene);
        config
            .set("server.bind_addr", bind.to_string())
            .set("server.transport", scene.lane().transport());
        config.set("server.default_token", TOKEN).set("server.heartbeat", 1);
        config
    }

    /// A client in the scene's lane without services, with a heartbeat of one second.
    pub fn client(scene: &Scene, remote: SocketAddr) -> Self {
        let mut config = Self::new(scene);
        config
            .set("client.remote_addr", remote.to_string())
            .set("client.transport", scene.lane().transport());
        config.set("client.default_token", TOKEN).set("client.heartbeat", 1);
        config.set("client.default_retry_interval", 1);
        config
    }

    /// Sets the key at a dotted path; tables on the way are made.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.0;
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            let next = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            table = next.as_table_mut().expect("a path of a test leads through tables");
        }
        table.insert(key.to_owned(), value.into());
        self
    }

    /// The string at a dotted path; empty if there is none.
    pub fn get_str(&self, path: &str) -> String {
        let mut value = None;
        let mut table = Some(&self.0);
        for name in path.split('.') {
            value = table.and_then(|table| table.get(name));
            table = value.and_then(Value::as_table);
        }
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Removes the key or table at a dotted path.
    pub fn unset(&mut self, path: &str) -> &mut Self {
        let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.0;
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            let next = table.get_mut(name).and_then(Value::as_table_mut);
            table = next.expect("a path of a test leads through tables");
        }
        table.remove(key);
        self
    }

    /// A service of `[server]`.
    pub fn server_service(&mut self, name: &str, bind: SocketAddr) -> &mut Self {
        self.set(&format!("server.services.{name}.bind_addr"), bind.to_string())
    }

    /// A service of `[client]`.
    pub fn client_service(&mut self, name: &str, target: SocketAddr) -> &mut Self {
        self.set(&format!("client.services.{name}.local_addr"), target.to_string())
    }

    /// A service of `[relay]`.
    pub fn relay_service(&mut self, name: &str, bind: SocketAddr, remote: SocketAddr) -> &mut Self {
        self.set(&format!("relay.services.{name}.bind_addr"), bind.to_string());
        self.set(&format!("relay.services.{name}.remote_addr"), remote.to_string())
    }

    /// Writes the file under a name that was not used before.
    pub fn write(&self, scene: &Scene, name: &str) -> Result<PathBuf> {
        let path = scene.file(&format!("{name}.toml"));
        self.write_to(&path)?;
        Ok(path)
    }

    /// Writes the file to `path`, readable for its owner only because it holds a token.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let text = toml::to_string(&self.0).context("a test's configuration is valid TOML")?;
        std::fs::write(path, text)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(())
    }
}
