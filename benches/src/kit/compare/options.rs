//! Options of `compare`, and what a result file tells of them.

use super::stage::Timing;
use super::work::{Group, Work};
use crate::kit::kariz::KarizOptions;
use crate::kit::peers::Peer;
use clap::ValueEnum;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Who takes part beside Kariz; without it everybody.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// What they do; without it everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    works: Vec<Group>,
    /// A folder with the programs of peers that no registry carries (frps, frpc, backhaul, realm).
    #[arg(long, value_name = "DIR")]
    pub(super) peers_dir: Option<PathBuf>,
    /// Another build of Kariz, for a comparison of before and after.
    #[arg(long, value_name = "PATH")]
    pub(super) before: Option<PathBuf>,
    /// Turns of 1 s, and two rounds if `--rounds` says nothing else.
    #[arg(long)]
    quick: bool,
    /// Measure in the host's network, with its settings; without it in a network namespace of its own, which needs root.
    #[arg(long)]
    pub(super) host_network: bool,
    /// How often everybody has a turn at every work.
    #[arg(long)]
    rounds: Option<usize>,
    #[command(flatten)]
    pub(super) kariz: KarizOptions,
}

impl Options {
    /// Everybody who is wanted.
    pub(super) fn peers(&self) -> Vec<Peer> {
        or_all(&self.peers)
    }

    /// Everything that is to be done, in the order of the turns.
    pub(super) fn works(&self) -> Vec<Work> {
        or_all(&self.works).into_iter().flat_map(Work::of).collect()
    }

    pub(super) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }).max(1)
    }

    pub(super) fn timing(&self) -> Timing {
        if self.quick { Timing::quick() } else { Timing::usual() }
    }

    /// Those that matter for the figures, as on the command line, each with a space before it; no paths.
    pub(super) fn chosen(&self) -> String {
        let quick = self.quick.then(|| " --quick".to_owned());
        let rounds = self.rounds.map(|rounds| format!(" --rounds {rounds}"));
        let host = self.host_network.then(|| " --host-network".to_owned());
        let before = self.before.as_ref().map(|_| " --before PATH".to_owned());
        let (peers, works) = (list("peers", &self.peers), list("works", &self.works));
        [quick, rounds, peers, works, host, before, self.kariz.chosen()]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A list option as on the command line; `None` of nothing.
fn list<T: ValueEnum>(option: &str, chosen: &[T]) -> Option<String> {
    let names: Vec<String> = chosen
        .iter()
        .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
        .collect();
    (!names.is_empty()).then(|| format!(" --{option} {}", names.join(",")))
}

fn or_all<T: ValueEnum + Clone>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() {
        T::value_variants().to_vec()
    } else {
        chosen.to_vec()
    }
}
