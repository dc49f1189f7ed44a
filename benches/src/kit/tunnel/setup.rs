//! Who takes part: the processes of each candidate, started once and kept for all rounds.

use crate::kit::children::Process;
use crate::kit::kariz::Kariz;
use crate::kit::pair::{self, Addresses, Kind, Pair, Plan};
use anyhow::{Context, Result};
use kariz_bench::load::wait_until_up;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Tunnel(Kind),
    KarizRelay,
    SpliceRelay,
}

impl Name {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Tunnel(kind) => kind.label(),
            Self::KarizRelay => "kariz relay",
            Self::SpliceRelay => "splice relay",
        }
    }
}

/// A running candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: Name,
    /// Where its visitors go.
    pub(super) entry: SocketAddr,
    /// The processes between visitor and target, whose CPU time counts.
    processes: Vec<Process>,
}

impl Candidate {
    /// CPU time of all its processes so far.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        self.processes.iter().map(Process::cpu_time).sum()
    }

    pub(super) fn obituary(&self) -> String {
        self.processes
            .iter()
            .map(Process::obituary)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Starts everybody in the order of their turns, and waits until each carries traffic.
pub(super) fn start_all(kariz: Option<&Kariz>, target: SocketAddr, folder: &Path) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for kind in Kind::all(kariz) {
        let plan = Plan::new(kind, Addresses::local(target)?, kariz, folder);
        let Pair { outer, inner } = plan.start()?;
        candidates.push(Candidate {
            name: Name::Tunnel(kind),
            entry: plan.addresses.entry,
            processes: vec![outer, inner],
        });
    }
    if let Some(kariz) = kariz {
        let entry = pair::local()?;
        candidates.push(Candidate {
            name: Name::KarizRelay,
            entry,
            processes: vec![kariz.relay(entry, target)?],
        });
    }
    let entry = pair::local()?;
    let processes = vec![pair::contender("splice", entry, target, folder)?];
    candidates.push(Candidate {
        name: Name::SpliceRelay,
        entry,
        processes,
    });
    for candidate in &candidates {
        wait_until_up(candidate.entry, pair::START_LIMIT)
            .with_context(|| format!("{} carries nothing; {}", candidate.name.label(), candidate.obituary()))?;
    }
    Ok(candidates)
}
