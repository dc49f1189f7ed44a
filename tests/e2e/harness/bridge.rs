//! A panel that drives its node through the libraries of Gozargah and PasarGuard (`tests/python/bridge.py`).

use super::https::fixture;
use super::node::{Node, Setup};
use super::scene::Scene;
use super::trial::Missing;
use super::wait::within;
use super::{Context, Result, SocketAddr, bail, ensure, provision, secs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The key that nodes of these tests take.
pub const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// A library and how it speaks.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub library: Library,
    /// `grpc` or `rest`.
    pub transport: &'static str,
}

/// A panel's library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// The one of Gozargah panels that show a certificate, and have a session.
    GozargahSessions,
    /// The last one of Gozargah panels.
    Gozargah,
    /// The one of PasarGuard panels that streams users one by one.
    PasarGuard08,
    /// A later one, which sends all of them in chunks.
    PasarGuard,
}

impl Library {
    /// Its name in the script.
    fn name(self) -> &'static str {
        match self {
            Self::GozargahSessions => "sessions",
            Self::Gozargah => "gozargah",
            Self::PasarGuard08 | Self::PasarGuard => "pasarguard",
        }
    }

    /// A Python interpreter that has it.
    fn python(self) -> Result<PathBuf> {
        match self {
            Self::Gozargah | Self::PasarGuard => provision::bridge(),
            Self::PasarGuard08 => provision::old_bridge(),
            Self::GozargahSessions => provision::session_bridge(),
        }
    }

    /// Has `setup` take what it shows, with a certificate for the node's address, which is returned: these panels check the name.
    fn set_up(self, setup: &mut Setup) -> Result<PathBuf> {
        match self {
            Self::GozargahSessions => for_its_address(setup.unset("SERVICE_PROTOCOL")),
            _ => keyed(setup),
        }
    }
}

/// A way to tell a node of its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// These and no others (`SyncUsers`).
    Replace,
    /// Changes, in chunks (`SyncUsersChunked`).
    Chunked,
    /// Changes, one by one (`SyncUser`).
    Each,
}

/// A running panel.
#[derive(Debug)]
pub struct Bridge {
    // Killed when dropped.
    _process: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Has `setup` take [`KEY`], with a certificate for its address, which is returned: these panels check the name.
pub fn keyed(setup: &mut Setup) -> Result<PathBuf> {
    setup
        .set("API_KEY", KEY)
        .unset("SSL_CLIENT_CERT_FILE")
        .unset("SERVICE_PROTOCOL");
    for_its_address(setup)
}

/// Makes a certificate for the node's address.
fn for_its_address(setup: &mut Setup) -> Result<PathBuf> {
    let Some(openssl) = provision::on_path("openssl") else {
        bail!(Missing("openssl is missing"));
    };
    let certificate = PathBuf::from(setup.get("SSL_CERT_FILE"));
    let mut make = std::process::Command::new(openssl);
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    make.args([
        "-subj",
        "/CN=node",
        "-addext",
        &format!("subjectAltName=IP:{}", setup.address().ip()),
    ]);
    make.arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(setup.get("SSL_KEY_FILE"));
    let made = make.output().context("running openssl")?;
    ensure!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(certificate)
}

impl Bridge {
    /// Starts a node with the real core, and its panel.
    pub async fn with_node(scene: &Scene, dialect: Dialect) -> Result<(Node, Self)> {
        let mut setup = Setup::new(scene, &provision::xray()?)?;
        let certificate = dialect.library.set_up(&mut setup)?;
        let node = setup.start().await?;
        let panel = Self::start(scene, dialect, node.address, &certificate)?;
        Ok((node, panel))
    }

    /// Starts a panel for the node at `address`, which shows `certificate`.
    pub fn start(scene: &Scene, dialect: Dialect, address: SocketAddr, certificate: &Path) -> Result<Self> {
        let log = scene.file("bridge.log");
        scene.keep_log(&log);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/bridge.py");
        let mut command = Command::new(dialect.library.python()?);
        command.arg("-u").arg(script);
        command.args([
            "--library",
            dialect.library.name(),
            "--transport",
            dialect.transport,
            "--key",
            KEY,
        ]);
        command.args([
            "--host",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
        ]);
        command.arg("--ca").arg(certificate);
        // The panel that nodes of the tests trust.
        command.arg("--client-cert").arg(fixture("panel-v1-rsa.pem"));
        command.arg("--client-key").arg(fixture("panel-rsa.key"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?);
        let mut process = command.kill_on_drop(true).spawn().context("starting the panel")?;
        let stdin = process.stdin.take().context("the panel has a standard input")?;
        let stdout = process.stdout.take().context("the panel has a standard output")?;
        Ok(Self {
            _process: process,
            stdin,
            answers: BufReader::new(stdout).lines(),
        })
    }

    /// Has it do something; what it answers, whether it went well or not.
    pub async fn ask(&mut self, what: &Value) -> Result<Value> {
        self.stdin.write_all(format!("{what}\n").as_bytes()).await?;
        let line = within(secs(60), "the panel's answer", self.answers.next_line()).await??;
        let line = line.context("the panel is gone")?;
        serde_json::from_str(&line).with_context(|| format!("the panel answers JSON: {line:?}"))
    }

    /// Has it do something that goes well.
    pub async fn ok(&mut self, what: Value) -> Result<Value> {
        let mut answer = self.ask(&what).await?;
        ensure!(answer.get("error").is_none(), "{}: {answer}", what["do"]);
        Ok(answer["ok"].take())
    }

    /// Has it tell the node of users, all of whom the node accepts.
    pub async fn sync(&mut self, how: Sync, users: &[Value]) -> Result<()> {
        let what = match how {
            Sync::Replace => "replace",
            Sync::Chunked => "chunked",
            Sync::Each => "each",
        };
        let answer = self.ok(json!({ "do": what, "users": users })).await?;
        let failed = answer["failed"].as_array();
        ensure!(
            failed.is_none_or(Vec::is_empty),
            "{how:?}: the node does not accept {answer}"
        );
        Ok(())
    }

    /// Has it do something that the node refuses: code and text.
    pub async fn refused(&mut self, what: Value) -> Result<(i64, String)> {
        let answer = self.ask(&what).await?;
        let error = answer
            .get("error")
            .with_context(|| format!("{} went well: {answer}", what["do"]))?;
        let code = error["code"].as_i64().context("a code is a number")?;
        Ok((code, error["detail"].as_str().unwrap_or_default().to_owned()))
    }
}
