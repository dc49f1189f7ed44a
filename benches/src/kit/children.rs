//! Processes that a measurement starts, and ends with itself.

use anyhow::{Context, Result};
use kariz_bench::process::{self, Memory};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A started process; dropping it kills it. Everything that it prints goes to a file.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it in the network namespace of the calling thread; `name` is for the log file in `folder`.
    ///
    /// It is ended by the kernel when that thread ends, however the kit ends.
    pub(crate) fn start(command: Command, folder: &Path, name: &str) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut led = led(&command)?;
        led.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = led
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.child.id()).with_context(|| self.obituary())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        process::memory(self.child.id()).with_context(|| self.obituary())
    }

    pub(crate) fn peak_rss(&self) -> Result<u64> {
        process::peak_rss(self.child.id()).with_context(|| self.obituary())
    }

    pub(crate) fn descriptors(&self) -> Result<usize> {
        process::descriptors(self.child.id()).with_context(|| self.obituary())
    }

    /// Kills it with SIGKILL, and waits until the kernel has closed its sockets.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Everything that it has printed so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it printed last, for an error message.
    pub(crate) fn obituary(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        let log = self.log.file_name().unwrap_or_default();
        format!("{} said last:\n{tail}", log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of this very program.
pub(crate) fn own(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(arguments);
    Ok(command)
}

/// The same command by way of `kariz-bench lead`, which has the kernel end it with its parent.
fn led(command: &Command) -> Result<Command> {
    let mut led = own(&["lead", "--"])?;
    led.arg(command.get_program()).args(command.get_args());
    led.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(led)
}
