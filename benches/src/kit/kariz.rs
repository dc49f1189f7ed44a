//! Building `kariz` as it is shipped, and running it with configuration files made for a measurement.

use super::children::Process;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program under test and how it is set up.
#[derive(Debug, Clone)]
pub(crate) struct Kariz {
    program: PathBuf,
    workers: usize,
    io: String,
    folder: PathBuf,
}

/// How visitors cross the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// `transport = "tcp"`.
    Direct,
    /// `transport = "tcpmux"`.
    Mux,
}

/// Options of every command that runs Kariz.
#[derive(Debug, Clone, serde::Serialize, clap::Args)]
pub(crate) struct KarizOptions {
    /// The program to measure; without it the kit builds one with the profile `dist`.
    #[arg(long, value_name = "PATH")]
    pub(crate) kariz: Option<PathBuf>,
    /// Only the contenders of this kit, without Kariz.
    #[arg(long, conflicts_with = "kariz")]
    pub(crate) limits_only: bool,
    /// `[runtime] workers` of every Kariz process; the contenders have one thread each.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// `[runtime] io` of every Kariz process.
    #[arg(long, default_value = "auto")]
    pub(crate) io: String,
}

impl KarizOptions {
    /// Those that differ from the default, as on the command line; a path is no more than `PATH`.
    pub(crate) fn chosen(&self) -> Option<String> {
        let parts = [
            self.kariz.as_ref().map(|_| " --kariz PATH".to_owned()),
            self.limits_only.then(|| " --limits-only".to_owned()),
            (self.workers != 1).then(|| format!(" --workers {}", self.workers)),
            (self.io != "auto").then(|| format!(" --io {}", self.io)),
        ];
        let chosen: String = parts.into_iter().flatten().collect();
        (!chosen.is_empty()).then_some(chosen)
    }
}

/// More carriers than the default allows: in the direct lane each of the 9,000 idle visitors has one.
const MAX_CARRIERS: u32 = 20_000;

impl Kariz {
    /// Finds or builds the program, unless the options leave it out; files go to `folder`.
    pub(crate) fn prepare(options: &KarizOptions, folder: &Path) -> Result<Option<Self>> {
        if options.limits_only {
            return Ok(None);
        }
        Ok(Some(Self {
            program: program(options.kariz.as_deref())?,
            workers: options.workers,
            io: options.io.clone(),
            folder: folder.to_owned(),
        }))
    }

    /// Its executable.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn version(&self) -> String {
        version(&self.program)
    }

    /// The public end: takes visitors at `public`, carriers at `carriers`.
    pub(crate) fn server(&self, lane: Lane, public: SocketAddr, carriers: SocketAddr) -> Result<Process> {
        let text = format!(
            "[server]\nbind_addr = \"{carriers}\"\ntransport = \"{}\"\ndefault_token = \"{TOKEN}\"\nlog_level = \"warn\"\n\
             max_carriers = {MAX_CARRIERS}\n\n\
             [server.services.bench]\nbind_addr = \"{public}\"\n",
            lane.transport(),
        );
        self.start("server", &format!("server-{}", public.port()), &text)
    }

    /// The inner end: dials carriers at `carriers` and the target.
    pub(crate) fn client(&self, lane: Lane, carriers: SocketAddr, target: SocketAddr) -> Result<Process> {
        let text = format!(
            "[client]\nremote_addr = \"{carriers}\"\ntransport = \"{}\"\ndefault_token = \"{TOKEN}\"\nlog_level = \"warn\"\n\
             default_retry_interval = 1\nmax_carriers = {MAX_CARRIERS}\n\n\
             [client.services.bench]\nlocal_addr = \"{target}\"\n",
            lane.transport(),
        );
        self.start(
            "client",
            &format!("client-{}-{}", lane.transport(), carriers.port()),
            &text,
        )
    }

    /// One hop.
    pub(crate) fn relay(&self, public: SocketAddr, target: SocketAddr) -> Result<Process> {
        let text = format!("[relay.services.bench]\nbind_addr = \"{public}\"\nremote_addr = \"{target}\"\n");
        self.start("relay", &format!("relay-{}", public.port()), &text)
    }

    fn start(&self, role: &str, name: &str, text: &str) -> Result<Process> {
        let file = self.folder.join(format!("{name}.toml"));
        // Two pinned processes with one worker each would share the first core.
        let runtime = format!(
            "\n[runtime]\nworkers = {}\npin = {}\nio = \"{}\"\n",
            self.workers,
            self.workers > 1,
            self.io
        );
        std::fs::write(&file, format!("{text}{runtime}")).with_context(|| format!("writing {}", file.display()))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let mut command = Command::new(&self.program);
        command.arg(role).arg("-c").arg(&file);
        Process::start(command, &self.folder, name)
    }
}

/// Both ends run on this machine for the length of a measurement: the token protects nothing.
const TOKEN: &str = "a token for measurements only";

impl Lane {
    fn transport(self) -> &'static str {
        match self {
            Self::Direct => "tcp",
            Self::Mux => "tcpmux",
        }
    }
}

/// The given executable, or one that is built now.
pub(crate) fn program(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("no program at {}", path.display())),
        None => build(),
    }
}

/// What `kariz --version` says.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Builds `kariz` with fat LTO, as it is shipped, and returns where cargo put it.
fn build() -> Result<PathBuf> {
    eprintln!("building kariz with the profile dist");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "build",
            "--profile",
            "dist",
            "-p",
            "kariz",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("starting cargo (or give --kariz PATH)")?;
    if !output.status.success() {
        bail!("kariz does not build: {}", output.status);
    }
    executable(&String::from_utf8_lossy(&output.stdout)).context("cargo names no executable of kariz")
}

/// The executable of the binary `kariz` in cargo's messages, one JSON object per line.
fn executable(messages: &str) -> Option<PathBuf> {
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut kariz = built.filter(|message| message["target"]["name"] == "kariz");
    kariz.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"bytes\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"kariz\"},\"executable\":\"/somewhere/dist/kariz\"}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/somewhere/dist/kariz")));
        assert_eq!(executable("{}"), None);
    }
}
