//! The core without a node, with the configuration that a node would give it: what no node can be faster than.

use super::config::Config;
use super::figure::Figure;
use super::grpc::Caller;
use super::turn::{LOOKS, REST, check_counters};
use super::visitor;
use crate::kit::children::Process;
use crate::kit::node::loopback;
use crate::kit::node::table::Figures;
use crate::kit::node::units::{middle, millis};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts of which the middle one counts: one alone differs by more than what a node adds to it.
const STARTS: usize = 3;

/// How long a core may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Time between two looks at what it has said.
const POLL: Duration = Duration::from_millis(1);

/// What `core` takes until it says that it has started, and for the question that GetStats asks it; files in `folder`.
pub(crate) fn core_alone(folder: &Path, core: &Path) -> Result<Figures<Figure>> {
    let start = middle::<STARTS>(|| Ok(Alone::start(folder, core)?.started_after))?;
    let stats = Alone::start(folder, core)?.stats()?;
    Ok([(Figure::StartMs, millis(start)), (Figure::StatsMs, millis(stats))].into())
}

/// A core that runs.
struct Alone {
    process: Process,
    config: Config,
    api: SocketAddr,
    started_after: Duration,
}

impl Alone {
    fn start(folder: &Path, core: &Path) -> Result<Self> {
        let file = folder.join("core-alone.json");
        let (config, api) = (Config::new()?, loopback()?);
        std::fs::write(&file, config.of_core(api)).context("writing the core's configuration")?;
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
        Ok(Self {
            started_after: begin.elapsed(),
            process,
            config,
            api,
        })
    }

    /// How long the question for all users' counters takes.
    fn stats(&self) -> Result<Duration> {
        visitor::all_once(0, self.config.vless()).with_context(|| self.process.obituary())?;
        std::thread::sleep(REST);
        let mut api = Caller::to_core(self.api)?;
        middle::<LOOKS>(|| {
            let begin = Instant::now();
            let counters = api.counters("user>>>")?;
            let time = begin.elapsed();
            check_counters(counters.stat.len())?;
            Ok(time)
        })
    }
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
