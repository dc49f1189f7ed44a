//! What all candidates share: the target, the long path, and how long a turn takes.

use anyhow::{Context, Result, anyhow, ensure};
use kariz_bench::path::DelayedPath;
use kariz_bench::target::{Counters, Target};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Round trip of the long path.
pub(super) const LONG_RTT: Duration = Duration::from_millis(50);

/// Most that the long path lets through each way, in Mbit/s: what its forwarder carries easily on one core.
pub(super) const LONG_MBIT_PER_S: u32 = 300;

/// How long the connections of a turn may take to leave.
const CLEAR_LIMIT: Duration = Duration::from_secs(5);

/// How long things take.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// Before the clock of a turn starts.
    pub(super) warm_up: Duration,
    /// How long is measured.
    pub(crate) turn: Duration,
    /// The same two where windows have to open over the long path.
    pub(super) distant_warm_up: Duration,
    pub(super) distant_turn: Duration,
    /// Rest before each look at the memory.
    pub(super) rest: Duration,
}

pub(super) struct Stage {
    pub(super) target: Target,
    pub(super) timing: Timing,
    long: OnceCell<Result<LongPath, String>>,
}

/// A path between two network namespaces, and a target at its far end.
pub(super) struct LongPath {
    pub(super) path: DelayedPath,
    pub(super) target: Target,
}

impl Timing {
    pub(crate) fn usual() -> Self {
        Self {
            warm_up: Duration::from_millis(500),
            turn: Duration::from_secs(2),
            distant_warm_up: Duration::from_secs(2),
            distant_turn: Duration::from_secs(4),
            rest: Duration::from_secs(2),
        }
    }

    /// Tells whether it works, not how fast it is.
    pub(super) fn quick() -> Self {
        Self {
            warm_up: Duration::from_millis(200),
            turn: Duration::from_secs(1),
            distant_warm_up: Duration::from_secs(1),
            distant_turn: Duration::from_secs(2),
            rest: Duration::from_secs(1),
        }
    }
}

impl Stage {
    pub(super) fn new(timing: Timing) -> Result<Self> {
        Ok(Self {
            target: Target::start((Ipv4Addr::LOCALHOST, 0).into())?,
            timing,
            long: OnceCell::new(),
        })
    }

    /// Streams that brought wrong bytes to a target, so far.
    pub(super) fn mismatches(&self) -> u64 {
        self.sum(|counters| counters.mismatches.load(Ordering::Relaxed))
    }

    fn sum(&self, counter: fn(&Counters) -> u64) -> u64 {
        let long = self.long.get().and_then(|long| long.as_ref().ok());
        let targets = [Some(&self.target), long.map(|long| &long.target)];
        targets
            .into_iter()
            .flatten()
            .map(|target| counter(target.counters()))
            .sum()
    }

    /// Waits until all connections of a turn have left both targets, so that none weighs on the next turn.
    pub(super) fn clear(&self) -> Result<()> {
        let begin = Instant::now();
        while self.open() > 0 {
            ensure!(begin.elapsed() < CLEAR_LIMIT, "{} connections stay open", self.open());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Connections that are open at the targets.
    fn open(&self) -> u64 {
        self.sum(|counters| counters.open.load(Ordering::Relaxed))
    }

    /// Made when it is first asked for.
    pub(super) fn long_path(&self) -> Result<&LongPath> {
        let long = self
            .long
            .get_or_init(|| LongPath::new().map_err(|error| format!("{error:#}")));
        long.as_ref().map_err(|why| anyhow!("no long path: {why}"))
    }
}

impl LongPath {
    fn new() -> Result<Self> {
        let path = DelayedPath::new(LONG_RTT / 2).context("it needs root, /dev/net/tun and the command ip")?;
        path.cap(LONG_MBIT_PER_S).context("capping its bandwidth")?;
        let target = path.second.run(|| Target::start((Ipv4Addr::UNSPECIFIED, 0).into()))?;
        Ok(Self { path, target })
    }
}
