//! Who takes part: the processes of each candidate, started once and kept for all rounds.

use crate::kit::children::{self, Process};
use crate::kit::kariz::{Kariz, Lane};
use anyhow::{Context, Result};
use kariz_bench::load::{free_port, wait_until_up};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// How long a candidate may take until its first visitor gets an answer.
const START_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Name {
    KarizDirect,
    KarizMux,
    KarizRelay,
    SplicePair,
    FramingPair,
    SpliceRelay,
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
    if let Some(kariz) = kariz {
        for (name, lane) in [(Name::KarizDirect, Lane::Direct), (Name::KarizMux, Lane::Mux)] {
            let (entry, carriers) = (local()?, local()?);
            let processes = vec![
                kariz.server(lane, entry, carriers)?,
                kariz.client(lane, carriers, target)?,
            ];
            candidates.push(Candidate { name, entry, processes });
        }
        let entry = local()?;
        candidates.push(Candidate {
            name: Name::KarizRelay,
            entry,
            processes: vec![kariz.relay(entry, target)?],
        });
    }
    let contender = |kind: &str, from: SocketAddr, to: SocketAddr| {
        let command = children::own(&["contend", kind, &from.to_string(), &to.to_string()])?;
        Process::start(command, folder, &format!("{kind}-{}", from.port()))
    };
    for (name, first, second) in [
        (Name::SplicePair, "splice", "splice"),
        (Name::FramingPair, "frame-entry", "frame-exit"),
    ] {
        let (entry, exit) = (local()?, local()?);
        let processes = vec![contender(second, exit, target)?, contender(first, entry, exit)?];
        candidates.push(Candidate { name, entry, processes });
    }
    let entry = local()?;
    let processes = vec![contender("splice", entry, target)?];
    candidates.push(Candidate {
        name: Name::SpliceRelay,
        entry,
        processes,
    });
    for candidate in &candidates {
        wait_until_up(candidate.entry, START_LIMIT)
            .with_context(|| format!("{:?} carries nothing; {}", candidate.name, candidate.obituary()))?;
    }
    Ok(candidates)
}

fn local() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port().context("finding a free port")?).into())
}
