//! Results as JSON, with what one has to know to compare them, and verdicts on the terminal.

use super::machine::Machine;
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One result file, with the options `O` and the results `R` of its command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report<O, R> {
    pub(crate) command: String,
    pub(crate) unix_time: u64,
    pub(crate) kit_version: String,
    /// Of the sources that the kit was built in.
    pub(crate) commit: String,
    /// What the measured program says that it is.
    pub(crate) kariz: String,
    pub(crate) options: O,
    pub(crate) machine: Machine,
    pub(crate) results: R,
}

/// A target of the project, and whether it was reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// What was compared.
    pub(crate) what: String,
    /// What came out.
    pub(crate) value: f64,
    /// The bound.
    pub(crate) bound: f64,
    /// Whether `bound` is the least or the most allowed.
    pub(crate) at_least: bool,
    /// Whether it holds.
    pub(crate) pass: bool,
}

impl Verdict {
    pub(crate) fn at_least(what: impl Into<String>, value: f64, bound: f64) -> Self {
        Self {
            what: what.into(),
            value,
            bound,
            at_least: true,
            pass: value >= bound,
        }
    }

    pub(crate) fn at_most(what: impl Into<String>, value: f64, bound: f64) -> Self {
        Self {
            what: what.into(),
            value,
            bound,
            at_least: false,
            pass: value <= bound,
        }
    }

    pub(crate) fn print_all(verdicts: &[Self]) {
        for verdict in verdicts {
            let (mark, sign) = (
                if verdict.pass { "pass" } else { "MISS" },
                if verdict.at_least { ">=" } else { "<=" },
            );
            println!(
                "{mark}  {:<58} {:>9.3}  ({sign} {})",
                verdict.what, verdict.value, verdict.bound
            );
        }
    }
}

/// The folder of the result files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// Reads a result file of `command`.
pub(crate) fn read<O: DeserializeOwned, R: DeserializeOwned>(path: &Path, command: &str) -> Result<Report<O, R>> {
    let named = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    let made_by: MadeBy = serde_json::from_str(&text).with_context(named)?;
    ensure!(
        made_by.command == command,
        "{} is a result of `{}`, not of `{command}`",
        path.display(),
        made_by.command
    );
    serde_json::from_str(&text).with_context(named)
}

/// What every result file says, whichever command made it.
#[derive(Deserialize)]
struct MadeBy {
    command: String,
}

/// A result file in the making. It can be written again and again: a run that is broken off leaves what it had by then.
#[derive(Debug)]
pub(crate) struct Record {
    command: &'static str,
    unix_time: u64,
    commit: String,
    path: PathBuf,
}

impl Record {
    /// Its name has the time in it, and the commit is that of now: sources may change while a long run goes on.
    pub(crate) fn begin(command: &'static str) -> Self {
        let unix_time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        Self {
            command,
            unix_time,
            commit: commit(),
            path: folder().join(format!("{command}-{unix_time}.json")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes everything that is known so far.
    pub(crate) fn write(
        &self,
        kariz: String,
        options: &impl Serialize,
        machine: &Machine,
        results: &impl Serialize,
    ) -> Result<()> {
        let report = Report {
            command: self.command.into(),
            unix_time: self.unix_time,
            kit_version: env!("CARGO_PKG_VERSION").into(),
            commit: self.commit.clone(),
            kariz,
            options,
            machine: machine.clone(),
            results,
        };
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        let folder = folder();
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        // What is there stays until the new one is complete.
        let mut file = tempfile::NamedTempFile::new_in(&folder).context("creating a result file")?;
        file.write_all(text.as_bytes()).context("writing a result file")?;
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.persist(&self.path)
            .with_context(|| format!("writing {}", self.path.display()))?;
        Ok(())
    }
}

fn commit() -> String {
    let output = std::process::Command::new("git")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_knows_its_direction() {
        assert!(Verdict::at_least("speed", 0.9, 0.85).pass);
        assert!(!Verdict::at_most("wait", 1.3, 1.25).pass);
    }
}
