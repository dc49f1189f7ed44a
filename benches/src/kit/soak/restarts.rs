//! Many restarts of a core leave nothing behind in its node.

use crate::kit::node::{Core, Node, PanelConfig, Place, Program, loopback};
use crate::kit::programs::Programs;
use crate::kit::report::Verdict;
use anyhow::{Context, Result};
use kariz_bench::process;
use std::path::Path;
use std::time::{Duration, Instant};

/// Resident memory after all restarts, at most this many times that after the first tenth.
const RSS_FACTOR: f64 = 1.05;

/// How long threads and descriptors may take to come down to where they were.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// What could grow.
#[derive(Debug, Clone, Copy)]
struct Look {
    threads: usize,
    descriptors: usize,
    zombies: usize,
    rss: u64,
}

impl Look {
    fn at(node: &Node<'_>) -> Result<Self> {
        let pid = node.process.id();
        let children = process::children(pid)?;
        Ok(Self {
            threads: process::threads(pid)?,
            descriptors: node.process.descriptors()?,
            zombies: children.into_iter().filter(|child| !process::runs(*child)).count(),
            rss: node.process.memory()?.rss,
        })
    }

    fn has_more_than(&self, before: &Self) -> bool {
        self.threads > before.threads || self.descriptors > before.descriptors || self.zombies > before.zombies
    }
}

pub(super) fn run(programs: &Programs, core: &Path, restarts: u32) -> Result<Vec<Verdict>> {
    eprintln!("node: {restarts} restarts of its core");
    let place = Place::prepare(programs.kariz()?.program(), programs.folder())?;
    let program = Program::Kariz(programs.kariz()?.program().to_owned());
    let node = place.start(&program, Core::Real(core))?;
    let mut panel = node.connect()?;
    let inbounds = [loopback()?, loopback()?, loopback()?];
    let config = PanelConfig {
        users: 100,
        inbounds: &inbounds,
    }
    .text();
    let request = panel.run_request("/restart", &config);
    let mut restart = |times: u32| -> Result<()> {
        (0..times).try_for_each(|round| panel.run(&request).with_context(|| format!("restart {round}")))
    };
    // The first tenth fills pools and the allocator: what grows after it, grows for ever.
    restart(restarts / 10 + 1)?;
    std::thread::sleep(Duration::from_secs(1));
    let before = Look::at(&node)?;
    restart(restarts)?;
    let begin = Instant::now();
    let mut after = Look::at(&node)?;
    while after.has_more_than(&before) && begin.elapsed() < SETTLE_LIMIT {
        std::thread::sleep(Duration::from_millis(500));
        after = Look::at(&node)?;
    }
    let what = |figure| format!("node, after {restarts} restarts of its core, {figure}");
    let more = |figure, before: usize, after: usize| Verdict::at_most(what(figure), after as f64 - before as f64, 0.0);
    Ok(vec![
        more("threads more", before.threads, after.threads),
        more("descriptors more", before.descriptors, after.descriptors),
        more("zombies", before.zombies, after.zombies),
        Verdict::at_most(what("RSS ratio"), after.rss as f64 / before.rss as f64, RSS_FACTOR),
    ])
}
