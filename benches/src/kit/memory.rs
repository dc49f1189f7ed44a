//! `memory`: what an idle visitor costs at each end.
//!
//! Visitors come, have 64 bytes echoed, and stay. Counted is what the processes occupy more than before the first of
//! them came, after some seconds of rest; divided by the number of visitors. That is user memory: the resident pages
//! of the process, its allocator's slack included, shared pages by their share (PSS). Sockets and pipes are kernel
//! memory and not in it, hence the descriptors beside it.

use super::kariz::{Kariz, KarizOptions};
use super::pair::{Addresses, Kind, Plan};
use super::report::{self, Machine, Verdict};
use anyhow::{Context, Result, ensure};
use kariz_bench::load::visits::{self, Pace};
use kariz_bench::process::{Memory, raise_descriptor_limit};
use kariz_bench::target::Target;
use serde::Serialize;
use std::net::Ipv4Addr;
use std::time::Duration;

/// User memory of an idle visitor at the server, at most, in KiB.
const BOUND_KIB: f64 = 3.0;

#[derive(Debug, Serialize, clap::Args)]
pub(crate) struct Options {
    /// Idle visitors; this process needs two descriptors for each.
    #[arg(long, default_value_t = 9000)]
    visitors: u32,
    /// Rest before each look at the memory, in seconds.
    #[arg(long, default_value_t = 5)]
    rest_s: u64,
    #[command(flatten)]
    kariz: KarizOptions,
}

/// One end of one tunnel.
#[derive(Debug, Serialize)]
struct Row {
    tunnel: Kind,
    end: &'static str,
    before: Footprint,
    with_visitors: Footprint,
    after: Footprint,
    rss_kib_per_visitor: f64,
    pss_kib_per_visitor: f64,
    descriptors_per_visitor: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Footprint {
    memory: Memory,
    descriptors: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let limit = raise_descriptor_limit();
    let needed = 2 * u64::from(options.visitors) + 200;
    ensure!(
        needed <= limit,
        "{} visitors need {needed} descriptors here, the limit is {limit}",
        options.visitors
    );
    let machine = Machine::of_this();
    let folder = tempfile::tempdir()?;
    let kariz = Kariz::prepare(&options.kariz, folder.path())?;
    println!(
        "{:<14}{:<7}{:>22}{:>22}{:>12}{:>26}",
        "tunnel", "end", "RSS per visitor, KiB", "PSS per visitor, KiB", "descriptors", "RSS before/with/after MiB"
    );
    let mut rows = Vec::new();
    for kind in Kind::all(kariz.as_ref()) {
        rows.extend(measure(kind, kariz.as_ref(), options, folder.path())?);
    }
    let servers = rows.iter().filter(|row| row.tunnel.is_kariz() && row.end == "outer");
    let verdicts: Vec<Verdict> = servers
        .map(|row| {
            let what = format!(
                "{}, user memory per idle visitor at the server, KiB",
                row.tunnel.label()
            );
            Verdict::at_most(what, row.pss_kib_per_visitor, BOUND_KIB)
        })
        .collect();
    Verdict::print_all(&verdicts);
    let version = kariz.map_or_else(|| "none".into(), |kariz| kariz.version());
    let results = serde_json::json!({ "rows": rows, "verdicts": verdicts });
    let path = report::write("memory", version, options, machine, results)?;
    println!("written to {}", path.display());
    Ok(())
}

fn measure(kind: Kind, kariz: Option<&Kariz>, options: &Options, folder: &std::path::Path) -> Result<Vec<Row>> {
    let rest = Duration::from_secs(options.rest_s);
    let target = Target::start((Ipv4Addr::LOCALHOST, 0).into())?;
    let plan = Plan::new(kind, Addresses::local(target.address())?, kariz, folder);
    let pair = plan.start()?;
    let look = || -> Result<[Footprint; 2]> {
        std::thread::sleep(rest);
        let footprint = |process: &super::children::Process| -> Result<Footprint> {
            Ok(Footprint {
                memory: process.memory()?,
                descriptors: process.descriptors()?,
            })
        };
        Ok([footprint(&pair.outer)?, footprint(&pair.inner)?])
    };
    let before = look()?;
    let outcome = visits::run(visits::Plan {
        address: plan.addresses.entry,
        pace: Pace::AtOnce(64),
        duration: Duration::from_secs(300),
        most: options.visitors.into(),
        stay: true,
    })
    .context("opening the visitors")?;
    let reason = outcome.first_failure.clone().unwrap_or_default();
    ensure!(
        outcome.failed == 0,
        "{}: {} visitors failed: {reason}",
        kind.label(),
        outcome.failed
    );
    let with = look()?;
    drop(outcome);
    let after = look()?;
    let per_visitor = |with: u64, before: u64| (with as f64 - before as f64) / 1024.0 / f64::from(options.visitors);
    let mib = |footprint: &Footprint| footprint.memory.rss as f64 / 1024.0 / 1024.0;
    let mut rows = Vec::new();
    for (index, end) in ["outer", "inner"].into_iter().enumerate() {
        let (before, with, after) = (before[index], with[index], after[index]);
        let row = Row {
            tunnel: kind,
            end,
            before,
            with_visitors: with,
            after,
            rss_kib_per_visitor: per_visitor(with.memory.rss, before.memory.rss),
            pss_kib_per_visitor: per_visitor(with.memory.pss, before.memory.pss),
            descriptors_per_visitor: (with.descriptors as f64 - before.descriptors as f64)
                / f64::from(options.visitors),
        };
        println!(
            "{:<14}{end:<7}{:>22.2}{:>22.2}{:>12.2}{:>26}",
            kind.label(),
            row.rss_kib_per_visitor,
            row.pss_kib_per_visitor,
            row.descriptors_per_visitor,
            format!("{:.1} / {:.1} / {:.1}", mib(&before), mib(&with), mib(&after)),
        );
        rows.push(row);
    }
    Ok(rows)
}
