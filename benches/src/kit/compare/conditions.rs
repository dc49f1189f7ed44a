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
    pub(crate) rounds: usize,
    pub(crate) timing: Timing,
    pub(crate) kariz_workers: usize,
    kariz_pinned: bool,
    pub(crate) kariz_io: String,
    contender_threads: usize,
    pub(crate) long_path_rtt_ms: u128,
    pub(crate) long_path_mbit_per_s: u32,
    #[serde(default)]
    pub(crate) network: Network,
}

/// Whose settings the kernel's network had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Network {
    /// The host's, as it is tuned.
    #[default]
    Host,
    /// The kernel's defaults, in a namespace of its own.
    Own,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host's network",
            Self::Own => "a network namespace with the kernel's defaults",
        })
    }
}

impl Conditions {
    pub(super) fn of(options: &Options, network: Network) -> Self {
        Self {
            chosen: options.chosen(),
            rounds: options.rounds(),
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
