//! Both sets of methods for statistics, each in its own layout (`spec/node-panel.md`, 3.1, 3.3 and 4.3), and what is said of
//! the machine.

use super::counters::BYTES;
use super::{Stage, WIRES, backend};
use crate::harness::calls::*;
use crate::harness::xray::Users;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Empty, Stat, StatRequest, StatResponse, StatType, SystemStatsResponse};
use serde_json::json;

/// The inbound that the node asks the core through: what crosses it depends on the questions.
const API_INBOUND: &str = "API_INBOUND";

/// What the second user's traffic is counted for, twice [`BYTES`]; everything else has that of the first one.
const OF_BOB: [&str; 3] = ["2.bob", "Shadowsocks TCP", "DIRECT TOO"];

/// Where an answer says whether it is up or down; in the other place it says `traffic`.
#[derive(Debug, Clone, Copy)]
enum Direction {
    InType,
    InLink,
}

/// A kind of statistics.
#[derive(Debug)]
struct Kind {
    /// In `GetStats`.
    kind: StatType,
    /// The method of its own that it had before.
    older: Call,
    /// How that one lays its answer out.
    direction: Direction,
    /// Of whom is asked; empty: of all.
    name: &'static str,
    /// Of whom is told, sorted.
    told: &'static [&'static str],
}

const KINDS: [Kind; 6] = [
    Kind::new(
        StatType::Outbounds,
        OUTBOUNDS_STATS,
        Direction::InLink,
        "",
        &["DIRECT", "DIRECT TOO"],
    ),
    Kind::new(
        StatType::Outbound,
        OUTBOUND_STATS,
        Direction::InLink,
        "DIRECT",
        &["DIRECT"],
    ),
    Kind::new(
        StatType::Inbounds,
        INBOUNDS_STATS,
        Direction::InType,
        "",
        &["Shadowsocks TCP", "VLESS TCP"],
    ),
    Kind::new(
        StatType::Inbound,
        INBOUND_STATS,
        Direction::InLink,
        "VLESS TCP",
        &["VLESS TCP"],
    ),
    Kind::new(
        StatType::UsersStat,
        USERS_STATS,
        Direction::InType,
        "",
        &["1.alice", "2.bob"],
    ),
    Kind::new(StatType::UserStat, USER_STATS, Direction::InLink, "2.bob", &["2.bob"]),
];

impl Kind {
    const fn new(
        kind: StatType,
        older: Call,
        direction: Direction,
        name: &'static str,
        told: &'static [&'static str],
    ) -> Self {
        Self {
            kind,
            older,
            direction,
            name,
            told,
        }
    }

    /// Checks who is told of, how that is laid out, and that it is what has been moved.
    fn check(&self, stats: &[Stat], direction: Direction) -> Result<()> {
        let is_of_inbounds = matches!(self.kind, StatType::Inbounds | StatType::Inbound);
        let mut told = Vec::new();
        for stat in stats.iter().filter(|stat| stat.name != API_INBOUND) {
            let (way, traffic) = match direction {
                Direction::InType => (&*stat.r#type, &*stat.link),
                Direction::InLink => (&*stat.link, &*stat.r#type),
            };
            ensure!(traffic == "traffic", "{stat:?}");
            let moved = if OF_BOB.contains(&stat.name.as_str()) {
                2 * BYTES
            } else {
                BYTES
            };
            // Where the core has the kernel hand on what comes back, it does not count all of it for the inbound, or none.
            let least = if is_of_inbounds && way == "downlink" { 0 } else { moved };
            let value = u64::try_from(stat.value)?;
            ensure!((least..=moved + moved / 10).contains(&value), "{stat:?}, not {moved}");
            told.push((&*stat.name, way));
        }
        told.sort_unstable();
        let both = |name: &&'static str| ["downlink", "uplink"].map(|way| (*name, way));
        let expected: Vec<_> = self.told.iter().flat_map(both).collect();
        ensure!(told == expected, "{told:?}, not {expected:?}");
        Ok(())
    }
}

/// Whatever generation the node answers as, each method has the layout that it had in its own.
pub(super) async fn methods(scene: Scene, generation: &str) -> Result<()> {
    let stage = Stage::keyed(&scene, &[("KARIZ_PANEL_GENERATION", generation)]).await?;
    let mut config = stage.inbounds.empty_config();
    config["policy"]["system"] = json!({ "statsInboundUplink": true, "statsInboundDownlink": true });
    let outbounds = config["outbounds"].as_array_mut().context("there are outbounds")?;
    outbounds.push(json!({ "tag": "DIRECT TOO", "protocol": "freedom" }));
    config["routing"]["rules"] =
        json!([{ "type": "field", "inboundTag": ["Shadowsocks TCP"], "outboundTag": "DIRECT TOO" }]);
    stage.panel.ok::<BaseInfoResponse>(START, &backend(&config)).await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.through_vless(&scene, BYTES).await?;
    users.through_shadowsocks(&scene, 2 * BYTES).await?;
    for wire in WIRES {
        let panel = stage.panel.over(wire);
        for kind in &KINDS {
            let request = StatRequest {
                name: kind.name.into(),
                ..StatRequest::default()
            };
            let older: StatResponse = panel.ok(kind.older, &request).await?;
            kind.check(&older.stats, kind.direction)
                .with_context(|| format!("{:?} over {wire:?}", kind.older))?;
            let request = StatRequest {
                r#type: kind.kind.into(),
                ..request
            };
            let newer: StatResponse = panel.ok(STATS, &request).await?;
            kind.check(&newer.stats, Direction::InType)
                .with_context(|| format!("{:?} of GetStats over {wire:?}", kind.kind))?;
        }
    }
    Ok(())
}

/// The machine as the kernel knows it.
pub(super) async fn machine(scene: Scene) -> Result<()> {
    let [stat, memory] = ["stat", "meminfo"].map(|name| std::fs::read_to_string(format!("/proc/{name}")));
    let (stat, memory) = (stat?, memory?);
    let is_core = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    let cores = stat.lines().filter(is_core).count() as u64;
    let total = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .context("the kernel knows how much memory there is")?;
    let total = total.parse::<u64>()? << 10;
    let stage = Stage::keyed(&scene, &[]).await?;
    let begin = Instant::now();
    stage.start().await?;
    for wire in WIRES {
        let panel = stage.panel.over(wire);
        let looked = || async {
            let seen: SystemStatsResponse = panel.ok(SYSTEM_STATS, &Empty {}).await?;
            ensure!(seen.cpu_cores > 0 && seen.uptime > 0, "{seen:?}");
            Ok(seen)
        };
        let (seen, _) = eventually(SOON, "the machine has been looked at", looked).await?;
        ensure!(
            (seen.cpu_cores, seen.mem_total) == (cores, total),
            "over {wire:?}: {seen:?}, not {cores} and {total}"
        );
        ensure!((1..total).contains(&seen.mem_used), "{seen:?}");
        ensure!((0.0..=100.0).contains(&seen.cpu_usage), "{seen:?}");
        ensure!(seen.uptime <= begin.elapsed().as_secs(), "{seen:?}");
    }
    Ok(())
}
