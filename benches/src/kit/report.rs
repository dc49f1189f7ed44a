//! Results as JSON, with what one has to know to compare them, and verdicts on the terminal.

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine that a result was measured on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    kernel: String,
    congestion_control: String,
    /// Load average of the last minute before the measurement began: well above 0 spoils it.
    load_before: f64,
}

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

impl Machine {
    /// Reads what the kernel tells.
    pub(crate) fn of_this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|total| total.strip_suffix(" kB")?.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Warns if something else was running.
    pub(crate) fn warn_if_busy(&self) {
        if self.load_before > 0.5 {
            eprintln!(
                "the load average is {}: only ratios mean something, and they less",
                self.load_before
            );
        }
    }
}

impl fmt::Display for Machine {
    /// One line for a caption.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} CPUs, {} MiB, Linux {}, {}; load average {} before the start",
            self.cpu, self.cpus, self.memory_mib, self.kernel, self.congestion_control, self.load_before
        )
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

/// Writes a result file and returns where it is.
pub(crate) fn write(
    command: &str,
    kariz: String,
    options: &impl Serialize,
    machine: Machine,
    results: impl Serialize,
) -> Result<PathBuf> {
    let unix_time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("{command}-{unix_time}.json"));
    let report = Report {
        command: command.into(),
        unix_time,
        kit_version: env!("CARGO_PKG_VERSION").into(),
        commit: commit(),
        kariz,
        options,
        machine,
        results,
    };
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
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

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: Some CPU\nMemTotal:        1024 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("1024 kB"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn a_verdict_knows_its_direction() {
        assert!(Verdict::at_least("speed", 0.9, 0.85).pass);
        assert!(!Verdict::at_most("wait", 1.3, 1.25).pass);
    }
}
