//! `compare`: Kariz and its peers do the same work in turns (A B C A B C), and are compared within each round.

pub(crate) mod results;
pub(crate) mod work;

mod candidate;
mod conditions;
mod options;
mod stage;
mod table;
mod targets;
mod turn;

pub(crate) use conditions::Conditions;
pub(crate) use options::Options;

use super::contestant::{Contestant, Hop};
use super::machine::Machine;
use super::peers::{Peer, Peers};
use super::programs::Programs;
use super::report::{self, Record, Verdict};
use anyhow::Result;
use candidate::Candidate;
use conditions::Network;
use results::{Failure, Results};
use stage::Stage;
use work::Work;

/// A result file of this command.
pub(crate) type Report = report::Report<Conditions, Results>;

/// Its name in result files.
pub(crate) const COMMAND: &str = "compare";

/// Descriptors that a process may have open where that can be arranged: realm takes six for each of 9,000 visitors.
const DESCRIPTORS: u64 = 65_536;

pub(crate) fn run(options: &Options) -> Result<()> {
    let rounds = options.rounds();
    let peers = Peers::find(&options.peers(), options.peers_dir.as_deref());
    for (peer, why) in peers.missing() {
        println!("missing: {peer}: {why}");
    }
    peers.warn_of_others();
    kariz_bench::process::lift_descriptor_limit(DESCRIPTORS);
    let folder = tempfile::tempdir()?;
    let mut programs = Programs::prepare(&options.kariz, peers, folder.path())?;
    if let Some(before) = &options.before {
        programs.add_before(before, &options.kariz)?;
    }
    // Not before everything is built and installed: it may have to be fetched.
    let network = Network::enter(options.host_network);
    let mut works = options.works();
    let mut candidates = contestants(&programs)
        .into_iter()
        .map(|contestant| Candidate::new(contestant, &programs))
        .collect::<Vec<_>>();
    let mut results = Results {
        versions: programs.peers().versions(),
        missing: programs.peers().missing().clone(),
        ..Results::default()
    };
    let stage = Stage::new(options.timing())?;
    if works.iter().any(|work| matches!(work, Work::Distant { .. }))
        && let Err(error) = stage.long_path()
    {
        println!("missing: {error:#}");
        results.missing.insert("long path".into(), format!("{error:#}"));
        works.retain(|work| !matches!(work, Work::Distant { .. }));
    }
    let machine = Machine::of_this();
    machine.warn_if_busy();
    let mut conditions = Conditions::of(options, network);
    let record = Record::begin(COMMAND);
    for round in 0..rounds {
        for work in works.iter().filter(|work| round < work.rounds(rounds)) {
            eprintln!("round {} of {rounds}: {}", round + 1, work.key());
            play(&mut candidates, &stage, *work, round, &mut results);
        }
        // Nobody comes always first, or always after the same one's leftovers.
        let step = (candidates.len() / rounds).max(1);
        candidates.rotate_left(step);
        candidates.reverse();
        conditions.rounds = round + 1;
        results.verdicts = targets::verdicts(&results, &works);
        record.write(programs.kariz_version(), &conditions, &machine, &results)?;
    }
    table::print(&results);
    Verdict::print_all(&results.verdicts);
    println!("written to {}", record.path().display());
    Ok(())
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
