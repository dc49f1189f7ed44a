//! `compare`: Kariz and its peers do the same work in turns (A B C A B C), and are compared within each round.

pub(crate) mod results;
pub(crate) mod work;

mod candidate;
mod stage;
mod table;
mod targets;
mod turn;

use super::contestant::{Contestant, Hop};
use super::kariz::KarizOptions;
use super::peers::{Peer, Peers};
use super::programs::Programs;
use super::report::{self, Machine, Verdict};
use anyhow::Result;
use candidate::Candidate;
use clap::ValueEnum;
use results::{Failure, Results};
use stage::{LONG_MBIT_PER_S, LONG_RTT, Stage, Timing};
use std::path::PathBuf;
use work::{Group, Work};

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
    peers_dir: Option<PathBuf>,
    /// Another build of Kariz, for a comparison of before and after.
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Short turns and two rounds: tells whether it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// How often everybody has a turn at every work.
    #[arg(long)]
    rounds: Option<usize>,
    #[command(flatten)]
    kariz: KarizOptions,
}

/// What the result file says about how it was made.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Conditions {
    /// The options that choose who does what and how long, as on the command line, each with a space before it.
    pub(crate) chosen: String,
    pub(crate) rounds: usize,
    pub(crate) timing: Timing,
    pub(crate) kariz_workers: usize,
    kariz_pinned: bool,
    pub(crate) kariz_io: String,
    contender_threads: usize,
    pub(crate) long_path_rtt_ms: u128,
    pub(crate) long_path_mbit_per_s: u32,
}

/// A result file of this command.
pub(crate) type Report = report::Report<Conditions, Results>;

/// Its name in result files.
pub(crate) const COMMAND: &str = "compare";

pub(crate) fn run(options: &Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 }).max(1);
    let timing = if options.quick {
        Timing::quick()
    } else {
        Timing::usual()
    };
    let peers = Peers::find(&or_all(&options.peers), options.peers_dir.as_deref());
    for (peer, why) in peers.missing() {
        println!("missing: {peer}: {why}");
    }
    let folder = tempfile::tempdir()?;
    let mut programs = Programs::prepare(&options.kariz, peers, folder.path())?;
    if let Some(before) = &options.before {
        programs.add_before(before, &options.kariz)?;
    }
    let mut works: Vec<Work> = or_all(&options.works).into_iter().flat_map(Work::of).collect();
    let mut candidates = contestants(&programs)
        .into_iter()
        .map(|contestant| Candidate::new(contestant, &programs))
        .collect::<Vec<_>>();
    let mut results = Results {
        versions: programs.peers().versions(),
        missing: programs.peers().missing().clone(),
        ..Results::default()
    };
    let stage = Stage::new(timing)?;
    if works.iter().any(|work| matches!(work, Work::Distant { .. }))
        && let Err(error) = stage.long_path()
    {
        println!("missing: {error:#}");
        results.missing.insert("long path".into(), format!("{error:#}"));
        works.retain(|work| !matches!(work, Work::Distant { .. }));
    }
    let machine = Machine::of_this();
    machine.warn_if_busy();
    for round in 0..rounds {
        for work in works.iter().filter(|work| round < work.rounds(rounds)) {
            eprintln!("round {} of {rounds}: {}", round + 1, work.key());
            play(&mut candidates, &stage, *work, round, &mut results);
        }
        // Nobody comes always first, or always after the same one's leftovers.
        let step = (candidates.len() / rounds).max(1);
        candidates.rotate_left(step);
    }
    results.verdicts = targets::verdicts(&results, &works);
    table::print(&results);
    Verdict::print_all(&results.verdicts);
    let conditions = Conditions {
        chosen: options.chosen(),
        rounds,
        timing,
        kariz_workers: options.kariz.workers,
        kariz_pinned: options.kariz.workers > 1,
        kariz_io: options.kariz.io.clone(),
        contender_threads: 1,
        long_path_rtt_ms: LONG_RTT.as_millis(),
        long_path_mbit_per_s: LONG_MBIT_PER_S,
    };
    let path = report::write(COMMAND, programs.kariz_version(), &conditions, machine, &results)?;
    println!("written to {}", path.display());
    Ok(())
}

impl Options {
    /// See [`Conditions::chosen`].
    fn chosen(&self) -> String {
        let quick = self.quick.then(|| " --quick".to_owned());
        let rounds = self.rounds.map(|rounds| format!(" --rounds {rounds}"));
        let peers = list("peers", &self.peers);
        [quick, rounds, peers, list("works", &self.works)]
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

/// Everybody who can take part.
fn contestants(programs: &Programs) -> Vec<Contestant> {
    let mut contestants = Vec::new();
    if programs.has_kariz() {
        contestants.extend(Contestant::LANES);
        contestants.push(Contestant::Relay(Hop::Kariz));
    }
    if programs.has_before() {
        contestants.extend(Contestant::BEFORE);
    }
    contestants.extend(programs.peers().available().flat_map(Peer::contestants));
    contestants.push(Contestant::Bare);
    contestants
}

/// Gives every candidate its turn; who fails is noted, and starts afresh next time.
fn play(candidates: &mut [Candidate], stage: &Stage, work: Work, round: usize, results: &mut Results) {
    for candidate in candidates {
        let who = candidate.contestant;
        if !work.suits(who) {
            continue;
        }
        match turn::take(candidate, stage, work) {
            Ok(outcome) => {
                results.record(who, work, round, &outcome.figures);
                if outcome.answer_lost {
                    results.answers_lost.insert(who.label());
                }
            }
            Err(error) => {
                eprintln!("{} failed at {}: {error:#}", who.label(), work.key());
                results.failures.push(Failure {
                    name: who.label(),
                    work: work.key(),
                    round: round + 1,
                    why: format!("{error:#}").lines().next().unwrap_or_default().into(),
                });
                candidate.dismiss();
            }
        }
    }
}
