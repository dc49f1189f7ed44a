//! `soak`: the checks whose numbers are too big for a test run. Unlike a measurement it fails (exit 1) if one does not
//! hold.

mod growth;
mod kills;
mod restarts;

use super::contestant::Contestant;
use super::kariz::KarizOptions;
use super::machine::Machine;
use super::node::xray;
use super::pair::{Addresses, Plan};
use super::peers::Peers;
use super::programs::Programs;
use super::report::{Record, Verdict};
use anyhow::{Result, ensure};
use kariz_bench::target::Target;
use kariz_bench::visitor;
use serde::Serialize;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Serialize, clap::Args)]
pub(crate) struct Options {
    /// Size of the big transfers, in MiB.
    #[arg(long, default_value_t = 1024)]
    transfer_mib: u64,
    /// Short connections of the growth check.
    #[arg(long, default_value_t = 100_000)]
    connections: u64,
    /// Processes killed in the midst of transfers, over both lanes.
    #[arg(long, default_value_t = 1000)]
    kills: u32,
    /// Restarts of a node's core.
    #[arg(long, default_value_t = 200)]
    restarts: u32,
    /// That core; without it XRAY_EXECUTABLE_PATH, or `xray` on PATH.
    #[arg(long, value_name = "PATH")]
    xray: Option<PathBuf>,
    /// Chooses the random moments and lengths.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    kariz: KarizOptions,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let (record, machine) = (Record::begin("soak"), Machine::of_this());
    let folder = tempfile::tempdir()?;
    // What is missing is said at once, not after an hour.
    let core = (options.restarts > 0)
        .then(|| xray(options.xray.as_deref()))
        .transpose()?;
    let programs = Programs::prepare(&options.kariz, Peers::default(), folder.path())?;
    // Without Kariz the kit itself can be tried.
    let contestants = if programs.has_kariz() {
        Contestant::LANES
    } else {
        Contestant::LIMITS
    };
    let mut verdicts = Vec::new();
    let mut kills = Vec::new();
    if let Some(core) = core.filter(|_| programs.has_kariz()) {
        verdicts.extend(restarts::run(&programs, &core, options.restarts)?);
    }
    for who in contestants {
        let target = Target::start((Ipv4Addr::LOCALHOST, 0).into())?;
        let plan = Plan::new(who, Addresses::local(target.address())?, &programs);
        if options.transfer_mib > 0 {
            verdicts.push(transfer(&plan, options.transfer_mib)?);
        }
        if options.connections > 0 {
            verdicts.extend(growth::run(&plan, &target, options.connections)?);
        }
        let share = options.kills / u32::try_from(contestants.len())?;
        if share > 0 {
            let tally = kills::run(&plan, &target, share, options.seed)?;
            verdicts.extend(tally.verdicts(who));
            kills.push((who, tally));
        }
    }
    Verdict::print_all(&verdicts);
    let failed = verdicts.iter().filter(|verdict| !verdict.pass).count();
    let results = serde_json::json!({ "verdicts": verdicts, "kills": kills });
    record.write(programs.kariz_version(), options, &machine, &results)?;
    println!("written to {}", record.path().display());
    ensure!(failed == 0, "{failed} checks do not hold");
    Ok(())
}

/// A big transfer each way, every byte compared.
fn transfer(plan: &Plan, mib: u64) -> Result<Verdict> {
    let chain = plan.start()?;
    let connect = || -> Result<TcpStream> {
        let stream = TcpStream::connect(plan.addresses.entry)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(stream)
    };
    eprintln!("{}: {mib} MiB each way", plan.contestant.label());
    let up = visitor::upload(&connect()?, 1, mib << 20);
    let down = visitor::download(&connect()?, 2, mib << 20);
    let wrong = [up, down]
        .into_iter()
        .filter_map(std::result::Result::err)
        .inspect(|error| eprintln!("{error}"));
    let wrong = wrong.count();
    drop(chain);
    Ok(Verdict::at_most(
        format!("{}, {mib} MiB up and down, wrong or broken", plan.contestant.label()),
        wrong as f64,
        0.0,
    ))
}
