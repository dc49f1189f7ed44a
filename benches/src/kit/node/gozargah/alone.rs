//! The core without a node, with the configuration that a node would give it: what no start can be faster than.

use super::config::Config;
use crate::kit::children::Process;
use crate::kit::node::loopback;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts of which the middle one counts: one alone differs by more than what a node adds to it.
const STARTS: usize = 3;

/// How long a core may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Time between two looks at what it has said.
const POLL: Duration = Duration::from_millis(1);

/// How long `core` takes until it says that it has started, files in `folder`.
pub(crate) fn core_alone(folder: &Path, core: &Path) -> Result<Duration> {
    let mut times = [Duration::ZERO; STARTS];
    for time in &mut times {
        *time = start(folder, core)?;
    }
    times.sort();
    Ok(times[STARTS / 2])
}

fn start(folder: &Path, core: &Path) -> Result<Duration> {
    let file = folder.join("core-alone.json");
    std::fs::write(&file, Config::new()?.of_core(loopback()?)).context("writing the core's configuration")?;
    let mut command = Command::new(core);
    command.args(["run", "-config"]).arg(&file);
    let begin = Instant::now();
    let mut process = Process::start(command, folder, "core-alone")?;
    while !process.log().lines().any(is_start) {
        ensure!(
            begin.elapsed() < LIMIT && !process.has_ended()?,
            "the core does not start: {}",
            process.obituary()
        );
        std::thread::sleep(POLL);
    }
    Ok(begin.elapsed())
}

/// Whether a core says there that it runs.
fn is_start(line: &str) -> bool {
    line.contains("core: Xray ") && line.ends_with(" started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_start_is_known() {
        assert!(is_start(
            "2026/11/25 15:58:37.511534 [Warning] core: Xray 26.3.27 started"
        ));
        assert!(!is_start("Xray 26.3.27 (Xray, Penetrates Everything.)"));
    }
}
