//! `tunnel`: Kariz and the bare relays do the same work in turns, and are compared within each round.

mod contest;
mod setup;
mod table;

use super::kariz::{Kariz, KarizOptions};
use super::report::{self, Machine};
use anyhow::Result;
use contest::{Timing, Work};
use kariz_bench::target::Target;
use std::net::Ipv4Addr;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
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
#[derive(Debug, serde::Serialize)]
struct Conditions {
    rounds: usize,
    turn_s: f64,
    warm_up_s: f64,
    kariz_workers: usize,
    kariz_pinned: bool,
    kariz_io: String,
    contender_threads: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::of_this();
    machine.warn_if_busy();
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 }).max(1);
    let timing = if options.quick {
        Timing {
            warm_up: Duration::from_millis(200),
            turn: Duration::from_secs(1),
        }
    } else {
        Timing {
            warm_up: Duration::from_millis(500),
            turn: Duration::from_secs(3),
        }
    };
    let folder = tempfile::tempdir()?;
    let target = Target::start((Ipv4Addr::LOCALHOST, 0).into())?;
    let kariz = Kariz::prepare(&options.kariz, folder.path())?;
    let candidates = setup::start_all(kariz.as_ref(), target.address(), folder.path())?;
    let workers = options.kariz.workers;
    println!(
        "{rounds} rounds of {:.1} s; kariz with {workers} worker(s){}; contenders with one thread a process",
        timing.turn.as_secs_f64(),
        if workers > 1 { ", pinned" } else { ", not pinned" }
    );
    let contest = contest::run(&candidates, &target, &Work::all(), rounds, timing)?;
    table::print(&contest);
    let verdicts = table::verdicts(&contest);
    super::report::Verdict::print_all(&verdicts);
    let conditions = Conditions {
        rounds,
        turn_s: timing.turn.as_secs_f64(),
        warm_up_s: timing.warm_up.as_secs_f64(),
        kariz_workers: workers,
        kariz_pinned: workers > 1,
        kariz_io: options.kariz.io.clone(),
        contender_threads: 1,
    };
    let version = kariz.map_or_else(|| "none".into(), |kariz| kariz.version());
    let results = serde_json::json!({ "rows": contest.rows(), "verdicts": verdicts });
    let path = report::write("tunnel", version, &conditions, machine, results)?;
    println!("written to {}", path.display());
    Ok(())
}
