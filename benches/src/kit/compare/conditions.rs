//! How a result was made.

use super::options::Options;
use super::stage::{LONG_MBIT_PER_S, LONG_RTT, Timing};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the result file says about how it was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// See [`Options::chosen`].
    pub(crate) chosen: String,
    /// That were played to their end. Some works take part in fewer: see [`super::work::Work::rounds`].
    pub(crate) rounds: usize,
    pub(crate) timing: Timing,
    pub(crate) kariz_workers: usize,
    kariz_pinned: bool,
    pub(crate) kariz_io: String,
    contender_threads: usize,
    pub(crate) long_path_rtt_ms: u128,
    pub(crate) long_path_mbit_per_s: u32,
    pub(crate) network: Network,
}

/// Whose settings the kernel's network had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Network {
    /// The host's, as it is tuned.
    Host,
    /// Those of a new namespace: see [`kariz_bench::path::enter_namespace`].
    Own,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host's network",
            Self::Own => "a network namespace of its own",
        })
    }
}

impl Conditions {
    pub(super) fn of(options: &Options, network: Network) -> Self {
        Self {
            chosen: options.chosen(),
            rounds: 0,
            timing: options.timing(),
            kariz_workers: options.kariz.workers,
            kariz_pinned: options.kariz.workers > 1,
            kariz_io: options.kariz.io.clone(),
            contender_threads: 1,
            long_path_rtt_ms: LONG_RTT.as_millis(),
            long_path_mbit_per_s: LONG_MBIT_PER_S,
            network,
        }
    }
}

impl Network {
    /// Moves the calling thread, and what it starts from now on, into a namespace of its own where that is possible.
    pub(super) fn enter(host: bool) -> Self {
        if host {
            return Self::Host;
        }
        match kariz_bench::path::enter_namespace() {
            Ok(()) => Self::Own,
            Err(error) => {
                println!("missing: a network namespace of its own: {error}; the host's network settings take part");
                Self::Host
            }
        }
    }
}
