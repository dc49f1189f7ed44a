//! A backend whose core is not there at the moment: what panels hear meanwhile, and when it is started again
//! (`spec/node-panel.md`, Rules for us, 3.2 and 4.6).

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::node::{gone, runs, signal};
use crate::harness::*;
use kariz_proto::panel::{BackendStatsResponse, BaseInfoResponse, Empty, StatRequest, StatResponse};
use rustix::process::Signal;
use std::path::PathBuf;

/// gRPC's code.
const UNAVAILABLE: u16 = 14;

/// A node whose core never begins if `hangs` is there, and ends at once if `dies` is.
struct Fragile {
    stage: Stage,
    hangs: PathBuf,
    dies: PathBuf,
    /// Has a line for each start of a core: the machine's uptime, in seconds.
    starts: PathBuf,
}

impl Fragile {
    async fn new(scene: &Scene, variables: &[(&str, &str)]) -> Result<Self> {
        let [hangs, dies, starts] = ["hangs", "dies", "starts"].map(|name| scene.file(name));
        let run = format!(
            "read now rest < /proc/uptime\necho $now >> {}\n[ -e {} ] && exec sleep 1000\n[ -e {} ] && exit 1",
            starts.display(),
            hangs.display(),
            dies.display()
        );
        Ok(Self {
            stage: Stage::wrapped(scene, &run, variables).await?,
            hangs,
            dies,
            starts,
        })
    }

    /// When cores were started, in seconds.
    fn starts(&self) -> Result<Vec<f64>> {
        let text = std::fs::read_to_string(&self.starts)?;
        text.lines()
            .map(|line| line.parse::<f64>().context("a line is a time"))
            .collect()
    }
}

/// What has to be asked of the core is refused, in words that panels know: they wait.
async fn refuses(panel: &Caller) -> Result<()> {
    let request = StatRequest {
        name: "1.alice".into(),
        ..StatRequest::default()
    };
    for wire in WIRES {
        let panel = panel.over(wire);
        let code = if wire == Wire::Grpc { UNAVAILABLE } else { 503 };
        for call in [BACKEND_STATS, STATS, USERS_STATS, ONLINE, ONLINE_ADDRESSES] {
            let outcome = panel.call(call, &request).await?;
            ensure!(
                outcome.told() == (code, "core is not started yet"),
                "{call:?} over {wire:?}: {outcome:?}"
            );
        }
        let info: BaseInfoResponse = panel.ok(INFO, &Empty {}).await?;
        ensure!(
            !info.started && !info.core_version.is_empty(),
            "over {wire:?}: {info:?}"
        );
    }
    Ok(())
}

/// A core that comes up, and one that is to be started again later.
pub(super) async fn told(scene: Scene, generation: &str) -> Result<()> {
    let fragile = Fragile::new(&scene, &[("KARIZ_PANEL_GENERATION", generation)]).await?;
    let Fragile { stage, hangs, dies, .. } = &fragile;
    let panel = &stage.panel;
    stage.start().await?;
    panel.ok::<BackendStatsResponse>(BACKEND_STATS, &Empty {}).await?;

    std::fs::write(hangs, "")?;
    let core = stage.node.core()?;
    signal(core, Signal::KILL)?;
    let core = stage.node.core_after(core).await?;
    refuses(panel).await.context("while a core comes up")?;
    ensure!(runs(core), "that core is gone");

    std::fs::write(dies, "")?;
    std::fs::remove_file(hangs)?;
    let before = fragile.starts()?.len();
    signal(core, Signal::KILL)?;
    gone(core, SOON).await?;
    refuses(panel).await.context("while there is no core")?;
    let again = || async {
        let count = fragile.starts()?.len();
        (count > before).then_some(()).context("no other start")
    };
    eventually(BACK, "a start that fails", again).await?;
    refuses(panel).await.context("after a start that failed")?;

    std::fs::remove_file(dies)?;
    let answers = || async { panel.ok::<StatResponse>(STATS, &StatRequest::default()).await };
    eventually(BACK, "the core is back", answers).await?;
    panel
        .ok::<BackendStatsResponse>(BACKEND_STATS, &Empty {})
        .await
        .map(drop)
}

/// A core that dies again and again: the pauses before its starts double.
pub(super) async fn pauses(scene: Scene) -> Result<()> {
    /// The first pause, before the first start after a death.
    const FIRST_S: f64 = 0.1;
    /// What a start and a death may take on a busy machine, and how exactly the time of a start is known.
    const BUSY_S: f64 = 2.0;
    const EXACT_S: f64 = 0.02;
    /// Starts after the death: between the last two there is a pause of 3.2 s.
    const STARTS: usize = 6;
    let fragile = Fragile::new(&scene, &[]).await?;
    let Fragile { stage, dies, .. } = &fragile;
    stage.start().await?;
    std::fs::write(dies, "")?;
    signal(stage.node.core()?, Signal::KILL)?;
    let enough = || async {
        let starts = fragile.starts()?;
        ensure!(starts.len() > STARTS, "{starts:?}");
        Ok(starts)
    };
    let (starts, _) = eventually(BACK, "a core that dies is started again and again", enough).await?;
    // The first one was the panel's.
    let mut pause = FIRST_S;
    for pair in starts[1..=STARTS].windows(2) {
        pause *= 2.0;
        let took = pair[1] - pair[0];
        ensure!(
            (pause - EXACT_S..pause + BUSY_S).contains(&took),
            "{took} s in place of {pause} s: {starts:?}"
        );
    }
    std::fs::remove_file(dies)?;
    let answers = || async { stage.panel.ok::<StatResponse>(STATS, &StatRequest::default()).await };
    eventually(BACK, "the core is back", answers).await.map(drop)
}
