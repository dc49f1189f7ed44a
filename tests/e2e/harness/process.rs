//! The real binary as a child process that does not outlive its test.

use super::config::Config;
use super::netns::Netns;
use super::scene::Scene;
use super::wait::eventually;
use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The binary that is tested: the one built with the tests, or that of `KARIZ_E2E_BINARY` (a release, a package).
pub fn binary() -> String {
    std::env::var("KARIZ_E2E_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kariz").to_owned())
}

/// A running `kariz`. Killed by its pid when dropped.
#[derive(Debug)]
pub struct Kariz {
    child: Child,
    log: PathBuf,
    file: PathBuf,
    exited: Option<ExitStatus>,
}

/// What is special about the process that a test starts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Setting<'a> {
    /// Network namespace; the machine's own without.
    pub netns: Option<&'a Netns>,
    /// Descriptor limit, soft and hard.
    pub nofile: Option<u32>,
    /// A file that the process sees as `/etc/hosts`. Needs root.
    pub hosts: Option<&'a Path>,
}

impl Kariz {
    /// Writes `config` and runs `kariz ROLE -c FILE` on it.
    pub fn start(scene: &Scene, role: &str, config: &Config) -> Result<Self> {
        Self::start_with(scene, role, config, Setting::default())
    }

    /// Like [`Kariz::start`], in a special setting.
    pub fn start_with(scene: &Scene, role: &str, config: &Config, setting: Setting<'_>) -> Result<Self> {
        let file = config.write(scene, role)?;
        Self::run_file(scene, role, &file, setting)
    }

    /// Runs `kariz ROLE -c FILE` on a file that exists.
    pub fn run_file(scene: &Scene, role: &str, file: &Path, setting: Setting<'_>) -> Result<Self> {
        let log = scene.file(&format!("{role}.log"));
        let out = std::fs::File::create(&log)?;
        scene.keep_log(&log);
        let mut command = match (setting.nofile, setting.hosts) {
            (None, None) => Command::new(binary()),
            // The shell prepares the setting and then becomes the program: the pid stays.
            (Some(limit), _) => shell(&format!("ulimit -n {limit}")),
            (None, Some(hosts)) => {
                let mut command = Command::new("unshare");
                let bind = format!("mount --bind '{}' /etc/hosts", hosts.display());
                command
                    .arg("--mount")
                    .args(["sh", "-c", &format!("{bind} && exec \"$@\""), "sh", &binary()]);
                command
            }
        };
        command.arg(role).arg("-c").arg(file);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = match setting.netns {
            Some(netns) => netns.enter(move || command.spawn())?,
            None => command.spawn(),
        };
        let child = child.with_context(|| format!("starting kariz {role}"))?;
        Ok(Self::adopt(child, log, file.to_owned()))
    }

    /// Takes care of a process that was started in another way; `log` is what it writes, `file` what it runs on.
    pub fn adopt(child: Child, log: PathBuf, file: PathBuf) -> Self {
        Self {
            child,
            log,
            file,
            exited: None,
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file that it runs on.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Everything that it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a pid is positive")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {pid:?}"))
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.exited = Some(self.child.wait()?);
        Ok(())
    }

    /// Its status, if it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait()?;
        }
        Ok(self.exited)
    }

    /// Waits for its end.
    pub async fn exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("process {} did not exit within {limit:?}", self.child.id());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the log has a line with `text`.
    pub async fn logs(&self, limit: Duration, text: &str) -> Result<()> {
        let what = format!("a log line with {text:?}");
        let look = || async { self.log().contains(text).then_some(()).context("not in the log") };
        eventually(limit, &what, look).await.map(drop)
    }
}

/// The binary after a shell command.
fn shell(first: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first} && exec \"$@\""), "sh", &binary()]);
    shell
}

impl Drop for Kariz {
    fn drop(&mut self) {
        if self.exited.is_none() {
            // It may have ended by itself: then there is nothing to kill, and only the status is collected.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
