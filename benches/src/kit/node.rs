//! `node`: what a panel and an operator notice of a node, `kariz node` beside the programs that it replaces: as Marzban panels
//! see it, and as Gozargah and PasarGuard panels do (`gozargah`).

mod config;
mod environment;
mod figure;
mod gozargah;
mod http;
mod pair;
mod panel;
mod place;
mod program;
mod rate;
mod results;
mod table;
mod tls;
mod turn;
mod units;

pub(crate) use self::config::PanelConfig;
pub(crate) use self::place::{Core, Node, Place, loopback};
pub(crate) use self::program::{Program, xray};
pub(crate) use self::results::Results;
pub(crate) use self::table::{Measured, Table};

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
    /// The Go node of Gozargah and PasarGuard panels, to measure beside Kariz.
    #[arg(long, value_name = "PATH")]
    go_node: Option<PathBuf>,
    /// Rounds; in each everybody starts anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long pings, and other small questions, are counted, in seconds.
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
    let mut programs = vec![Program::Kariz(kariz.clone())];
    programs.extend(options.original.program()?);
    let mut keyed = vec![Program::Kariz(kariz)];
    keyed.extend(program::go_node(options.go_node.as_deref())?);

    let machine = Machine::of_this();
    machine.warn_if_busy();
    let mut conditions = Conditions {
        rounds: 0,
        ping_seconds: options.ping_seconds,
        core: program::version_of_core(&core)?,
    };
    let ping_for = Duration::from_secs(options.ping_seconds);
    let record = Record::begin(COMMAND);
    let mut results = Results::default();
    for round in 1..=options.rounds {
        let say = |what: &str| eprintln!("round {round} of {}: {what}", options.rounds);
        for program in &programs {
            say(program.name());
            let turn = turn::Turn {
                place: &place,
                program,
                core: &core,
                ping_for,
            };
            results.programs.add(program.name(), turn.take()?);
        }
        say("the core alone");
        let alone = gozargah::core_alone(place.folder(), &core)?;
        let core_alone_ms = alone[&gozargah::Figure::StartMs];
        results.add_core_alone(alone);
        for program in &keyed {
            say(&format!("{}, with an API key", program.name()));
            let turn = gozargah::Turn {
                place: &place,
                program,
                core: &core,
                core_alone_ms,
                ask_for: ping_for,
            };
            results.gozargah.add(program.name(), turn.take()?);
        }
        results.add_bare_echo(rate::Rate::of_bare_echo(ping_for)?);
        programs.reverse();
        keyed.reverse();
        conditions.rounds = round;
        results.judge();
        record.write(version.clone(), &conditions, &machine, &results)?;
    }
    results.print();
    Verdict::print_all(&results.verdicts);
    println!("written to {}", record.path().display());
    let missed = results.verdicts.iter().filter(|verdict| !verdict.pass).count();
    ensure!(missed == 0, "{missed} targets are missed");
    Ok(())
}
