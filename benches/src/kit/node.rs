//! `node`: what a panel and an operator notice of a node, `kariz node` beside the program that it replaces.

mod config;
mod figure;
mod panel;
mod place;
mod program;
mod turn;

pub(crate) use self::config::PanelConfig;
pub(crate) use self::figure::{Figure, Results};
pub(crate) use self::place::{Core, Node, Place, loopback};
pub(crate) use self::program::{Program, xray};

use super::kariz;
use super::machine::Machine;
use super::report::{Record, Verdict};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The name of the command, which its result files bear.
pub(crate) const COMMAND: &str = "node";

/// A result file of this command.
pub(crate) type Report = super::report::Report<Conditions, Results>;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The program to measure; without it the kit builds one with the profile `dist`.
    #[arg(long, value_name = "PATH")]
    kariz: Option<PathBuf>,
    /// The core; without it XRAY_EXECUTABLE_PATH, or `xray` on PATH.
    #[arg(long, value_name = "PATH")]
    xray: Option<PathBuf>,
    #[command(flatten)]
    original: program::Original,
    /// Rounds; in each everybody starts anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long pings are counted, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    ping_seconds: u64,
}

/// What a result file tells of the options.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) rounds: u32,
    pub(crate) ping_seconds: u64,
    /// What `xray version` says.
    pub(crate) core: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let core = xray(options.xray.as_deref())?;
    let folder = tempfile::tempdir()?;
    let kariz = kariz::program(options.kariz.as_deref())?;
    let version = kariz::version(&kariz);
    let place = Place::prepare(&kariz, folder.path())?;
    let mut programs = vec![Program::Kariz(kariz)];
    programs.extend(options.original.program()?);

    let machine = Machine::of_this();
    machine.warn_if_busy();
    let mut conditions = Conditions {
        rounds: 0,
        ping_seconds: options.ping_seconds,
        core: program::version_of_core(&core)?,
    };
    let record = Record::begin(COMMAND);
    let mut results = Results::default();
    for round in 1..=options.rounds {
        for program in &programs {
            eprintln!("round {round} of {}: {}", options.rounds, program.name());
            let turn = turn::Turn {
                place: &place,
                program,
                core: &core,
                ping_for: Duration::from_secs(options.ping_seconds),
            };
            results.add(program.name(), turn.take()?);
        }
        results.add(
            program::BARE_ECHO,
            turn::bare_echo(Duration::from_secs(options.ping_seconds))?,
        );
        programs.reverse();
        conditions.rounds = round;
        results.verdicts = figure::verdicts(&results);
        record.write(version.clone(), &conditions, &machine, &results)?;
    }
    figure::print(&results);
    Verdict::print_all(&results.verdicts);
    println!("written to {}", record.path().display());
    let missed = results.verdicts.iter().filter(|verdict| !verdict.pass).count();
    ensure!(missed == 0, "{missed} targets are missed");
    Ok(())
}
