//! `kariz node` as a child process, with the environment of the specification and nothing else of this machine.

use super::fake_core::FakeCore;
use super::https::{Https, Login, fixture};
use super::process::{Kariz, binary};
use super::scene::Scene;
use super::tunnel::is_listening;
use super::wait::{eventually, within};
use super::{BACK, Context, Duration, Result, SOON, SocketAddr, bail, ensure};
pub use kariz_bench::process::runs;
use kariz_bench::process::{children, threads};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A node before its start: variables, files, working directory.
#[derive(Debug, Clone)]
pub struct Setup {
    scene: Scene,
    variables: BTreeMap<String, String>,
    directory: PathBuf,
    address: SocketAddr,
    api: SocketAddr,
}

/// A running node. Killed when dropped, and its core with it.
#[derive(Debug)]
pub struct Node {
    /// The process; its log is what it wrote to standard error.
    pub process: Kariz,
    /// Where panels connect.
    pub address: SocketAddr,
    /// Where the core's API is.
    pub api: SocketAddr,
    out: PathBuf,
}

impl Setup {
    /// A node that runs `core`, trusts [`Login::panel`] and shows a P-256 certificate, all on addresses of `scene`.
    pub fn new(scene: &Scene, core: &Path) -> Result<Self> {
        let directory = scene.file("node");
        std::fs::create_dir_all(directory.join("assets"))?;
        let [address, api] = [scene.address(), scene.address()];
        let mut setup = Self {
            scene: scene.clone(),
            variables: BTreeMap::new(),
            directory,
            address,
            api,
        };
        setup
            .set("SERVICE_HOST", address.ip())
            .set("SERVICE_PORT", address.port());
        setup.set("XRAY_API_HOST", api.ip()).set("XRAY_API_PORT", api.port());
        setup.set("XRAY_EXECUTABLE_PATH", core.display());
        let own = |name: &str| setup.directory.join(name).display().to_string();
        let files = [
            ("XRAY_ASSETS_PATH", own("assets")),
            ("SSL_CERT_FILE", own("ssl_cert.pem")),
            ("SSL_KEY_FILE", own("ssl_key.pem")),
            ("SSL_CLIENT_CERT_FILE", own("panels.pem")),
        ];
        for (name, file) in files {
            setup.set(name, file);
        }
        setup.show("node-v3-p256.pem", "node-p256.key")?;
        setup.trust(&["panel-v1-rsa.pem"])?;
        Ok(setup)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Leaves a variable out.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// A variable as it is.
    pub fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// The node's working directory, where its files are, too.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Works in another directory from now on; files stay where they are.
    pub fn work_in(&mut self, directory: &Path) -> &mut Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows these fixtures to whoever connects.
    pub fn show(&mut self, certificate: &str, key: &str) -> Result<&mut Self> {
        std::fs::copy(fixture(certificate), self.get("SSL_CERT_FILE"))?;
        std::fs::copy(fixture(key), self.get("SSL_KEY_FILE"))?;
        Ok(self)
    }

    /// Trusts these fixtures, all in one file.
    pub fn trust(&mut self, certificates: &[&str]) -> Result<&mut Self> {
        let texts: Result<Vec<_>, _> = certificates
            .iter()
            .map(|name| std::fs::read_to_string(fixture(name)))
            .collect();
        std::fs::write(self.get("SSL_CLIENT_CERT_FILE"), texts?.concat())?;
        Ok(self)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(&self.directory).env_clear();
        // What is on PATH must not matter, but a sanitizer or a coverage tool may need its own.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(&self.variables);
        command
    }

    /// Starts `kariz node` without waiting for anything.
    pub fn spawn(&self) -> Result<Node> {
        let out = self.scene.file("node.out");
        self.spawn_to(std::fs::File::create(&out)?.into(), out)
    }

    /// The same with another standard output; `out` is where [`Node::out`] looks.
    pub fn spawn_to(&self, stdout: Stdio, out: PathBuf) -> Result<Node> {
        let log = self.scene.file("node.log");
        let mut command = self.command(&["node"]);
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(std::fs::File::create(&log)?);
        self.scene.keep_log(&log);
        let child = command.spawn().context("starting kariz node")?;
        Ok(Node {
            process: Kariz::adopt(child, log, self.directory.clone()),
            address: self.address,
            api: self.api,
            out,
        })
    }

    /// Starts the node, and waits until it listens.
    pub async fn start(&self) -> Result<Node> {
        self.spawn()?.listening().await
    }

    /// Runs the node when it is to end by itself.
    pub async fn run(&self) -> Result<Output> {
        self.run_with(&["node"]).await
    }

    /// Runs another command of the binary in this environment.
    pub async fn run_with(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        Ok(within(SOON, &format!("kariz {arguments:?} ends"), output).await??)
    }
}

impl Node {
    /// A node with a core of the tests.
    pub async fn start(scene: &Scene, script: &str) -> Result<(Self, FakeCore)> {
        let core = FakeCore::new(scene, script)?;
        let node = Setup::new(scene, &core.executable())?.start().await?;
        Ok((node, core))
    }

    /// Waits until it listens.
    pub async fn listening(mut self) -> Result<Self> {
        let deadline = tokio::time::Instant::now() + SOON;
        while !is_listening(self.address, None)? {
            if let Some(status) = self.process.exited()? {
                bail!(
                    "the node ended with {status} instead of listening:\n{}",
                    self.process.log()
                );
            }
            if tokio::time::Instant::now() > deadline {
                bail!("the node does not listen at {}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(self)
    }

    /// What it wrote to standard output.
    pub fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until the answers have the core's version: it is asked for while the node already listens.
    pub async fn knows_version(&self) -> Result<()> {
        let login = Login::panel()?;
        let look = || async {
            let mut connection = Https::open(self.address, &login).await?;
            let answer = connection
                .ask(b"POST / HTTP/1.1\r\nhost: node.test\r\ncontent-length: 0\r\n\r\n")
                .await?;
            let version = answer.json()?["core_version"].is_string();
            version.then_some(()).context("the version is null")
        };
        eventually(SOON, "the core's version", look).await.map(drop)
    }

    /// Its children that still run.
    pub fn children(&self) -> Result<Vec<u32>> {
        let all = children(self.process.pid())?;
        Ok(all.into_iter().filter(|pid| runs(*pid)).collect())
    }

    /// Its children that have ended and were not waited for.
    pub fn zombies(&self) -> Result<Vec<u32>> {
        let all = children(self.process.pid())?;
        Ok(all.into_iter().filter(|pid| !runs(*pid)).collect())
    }

    /// The core's process.
    pub fn core(&self) -> Result<u32> {
        match self.children()?.as_slice() {
            [core] => Ok(*core),
            others => bail!("one core was expected, the children are {others:?}"),
        }
    }

    /// The core's process when it is another one than `last`, which was to end.
    pub async fn core_after(&self, last: u32) -> Result<u32> {
        let look = || async {
            let core = self.core()?;
            ensure!(core != last, "it is still the same");
            Ok(core)
        };
        Ok(eventually(BACK, "another core", look).await?.0)
    }

    /// Threads of the process.
    pub fn threads(&self) -> Result<usize> {
        Ok(threads(self.process.pid())?)
    }
}

/// Sends a signal to a process, which is none of the harness' own children.
pub fn signal(process: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(process.try_into()?).context("a pid is positive")?;
    kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {process}"))
}

/// Waits until a process is gone.
pub async fn gone(pid: u32, limit: Duration) -> Result<Duration> {
    let look = || async { (!runs(pid)).then_some(()).context("it still runs") };
    Ok(eventually(limit, &format!("process {pid} is gone"), look).await?.1)
}
