//! The programs: `kariz node`, those that it replaces, and the core that all of them run.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How Kariz is called in results.
pub(super) const KARIZ: &str = "kariz";

/// How the original is called in results.
const ORIGINAL: &str = "marzban-node";

/// How the Go node is called in results.
const GO_NODE: &str = "PasarGuard node";

/// Another limit that results show: the core without any node.
pub(super) const CORE_ALONE: &str = "core alone (limit)";

/// The limit that results show, too: what nobody can be faster than: bytes there and back over TCP, no TLS, no HTTP.
pub(super) const BARE_ECHO: &str = "bare echo (limit)";

/// All of them, as results are shown.
pub(super) const IN_ORDER: [&str; 5] = [KARIZ, ORIGINAL, GO_NODE, CORE_ALONE, BARE_ECHO];

/// Those that Kariz replaces.
pub(super) const REPLACED: [&str; 2] = [ORIGINAL, GO_NODE];

/// A program that is a node.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// This executable, as `kariz node`.
    Kariz(PathBuf),
    /// The original: an interpreter, and `main.py` of its checkout.
    Original(PathBuf, PathBuf),
    /// The node of Gozargah and PasarGuard panels, an executable.
    Go(PathBuf),
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kariz(_) => KARIZ,
            Self::Original(..) => ORIGINAL,
            Self::Go(_) => GO_NODE,
        }
    }

    /// What starts it; everything else is in the environment.
    pub(super) fn command(&self) -> Command {
        match self {
            Self::Kariz(executable) => {
                let mut command = Command::new(executable);
                command.arg("node");
                command
            }
            Self::Original(python, main) => {
                let mut command = Command::new(python);
                command.arg(main);
                command
            }
            Self::Go(executable) => Command::new(executable),
        }
    }
}

/// Where the original is.
#[derive(Debug, clap::Args)]
pub(crate) struct Original {
    /// Checkout of marzban-node to measure beside Kariz (its folder with `main.py`).
    #[arg(long, value_name = "FOLDER")]
    original: Option<PathBuf>,
    /// Interpreter that has what the original's requirements.txt asks for.
    #[arg(long, value_name = "PATH", default_value = "python3", requires = "original")]
    python: PathBuf,
}

impl Original {
    /// The original, if the options name it.
    pub(super) fn program(&self) -> Result<Option<Program>> {
        let Some(folder) = &self.original else {
            return Ok(None);
        };
        let main = folder.join("main.py");
        let main = main
            .canonicalize()
            .with_context(|| format!("no program at {}", main.display()))?;
        let python =
            which::which(&self.python).with_context(|| format!("no interpreter at {}", self.python.display()))?;
        Ok(Some(Program::Original(python, main)))
    }
}

/// The Go node, if it is named.
pub(super) fn go_node(given: Option<&Path>) -> Result<Option<Program>> {
    let found = |path: &Path| {
        path.canonicalize()
            .with_context(|| format!("no node at {}", path.display()))
    };
    Ok(given.map(found).transpose()?.map(Program::Go))
}

/// The core: as given, or as the environment names it, or on PATH.
pub(crate) fn xray(given: Option<&Path>) -> Result<PathBuf> {
    let named = given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("XRAY_EXECUTABLE_PATH").map(PathBuf::from));
    match named {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("no core at {}", path.display())),
        None => which::which("xray").or_else(|_| bail!("there is no xray on PATH: give --xray PATH")),
    }
}

/// The first line of `xray version`.
pub(super) fn version_of_core(core: &Path) -> Result<String> {
    let output = Command::new(core)
        .arg("version")
        .output()
        .with_context(|| format!("running {}", core.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    ensure!(
        first.starts_with("Xray "),
        "{} says {first:?} of its version",
        core.display()
    );
    Ok(first.to_owned())
}
