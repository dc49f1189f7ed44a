//! Traffic that was counted is told once, whatever becomes of cores and answers (`spec/node-panel.md`, Rules for us).

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::node::signal;
use crate::harness::xray::Users;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Empty, StatRequest, StatResponse, StatType};
use rustix::process::Signal;

/// What is moved each way.
pub(super) const BYTES: u64 = 100_000;

/// Most bytes that a protocol adds to a connection.
const FRAMING: u64 = 1_000;

/// What the panel hears of the first user, up and down.
pub(super) async fn counted(panel: &Caller, reset: bool) -> Result<u64> {
    let request = StatRequest {
        name: "1.alice".into(),
        reset,
        r#type: StatType::UserStat.into(),
    };
    let answer: StatResponse = panel.ok(STATS, &request).await?;
    Ok(answer
        .stats
        .iter()
        .map(|stat| u64::try_from(stat.value).unwrap_or_default())
        .sum())
}

pub(super) fn about(bytes: u64, times: u64) -> bool {
    (times * BYTES..=times * (BYTES + FRAMING)).contains(&bytes)
}

pub(super) async fn outlive_cores(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    stage.start().await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    let through = || async { users.through_vless(&scene, BYTES).await };
    through().await?;
    // The panel starts anew, as it does when it is in doubt.
    let core = stage.node.core()?;
    stage.start().await?;
    ensure!(stage.node.core()? != core, "it is the same core");
    let total = counted(&stage.panel, false).await?;
    ensure!(about(total, 2), "{total} after a start in the place of another");
    // It stops, and starts later.
    eventually(SOON, "the user gets through", through).await?;
    stage.panel.ok::<Empty>(STOP, &Empty {}).await?;
    stage.start().await?;
    let grpc = stage.panel.over(Wire::Grpc);
    let total = counted(&grpc, false).await?;
    ensure!(about(total, 4), "{total} after a stop");
    // What was told is told no more, and new traffic comes on top of nothing.
    ensure!(
        counted(&stage.panel, true).await? == total,
        "a reset tells something else"
    );
    ensure!(counted(&grpc, false).await? == 0, "it is told again");
    eventually(SOON, "the user gets through", through).await?;
    let total = counted(&grpc, true).await?;
    ensure!(about(total, 2), "{total} of new traffic");
    Ok(())
}

pub(super) async fn outlive_lost_answers(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    stage.start().await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.through_vless(&scene, BYTES).await?;
    let before = counted(&stage.panel, false).await?;
    ensure!(about(before, 2), "{before}");
    let request = StatRequest {
        reset: true,
        r#type: StatType::UsersStat.into(),
        ..StatRequest::default()
    };
    for wire in WIRES {
        // The core is asked, and answers when nobody is there any more.
        let core = stage.node.core()?;
        signal(core, Signal::STOP)?;
        let stopped = || async { all_stopped(core).then_some(()).context("a thread still runs") };
        eventually(SOON, "the core is stopped", stopped).await?;
        let broken = stage.panel.over(wire).break_off(STATS, &request, millis(300)).await;
        signal(core, Signal::CONT)?;
        broken?;
        let is_back = || async {
            let now = counted(&stage.panel, false).await?;
            (now == before)
                .then_some(())
                .with_context(|| format!("{now} of {before}"))
        };
        eventually(SOON, "the counters are back", is_back).await?;
    }
    // The node gives up before the core answers.
    let core = stage.node.core()?;
    signal(core, Signal::STOP)?;
    // Both at once: twice the time, and the core would be given up.
    let (late, system) = tokio::join!(
        stage.panel.call(STATS, &request),
        stage.panel.call(BACKEND_STATS, &Empty {})
    );
    signal(core, Signal::CONT)?;
    let (late, system) = (late?, system?);
    ensure!(late.code == 504 && system.code == 504, "{late:?} {system:?}");
    ensure!(
        system.text.contains("failed to get sys stats"),
        "panels do not know these words: {system:?}"
    );
    let is_back = || async {
        let now = counted(&stage.panel, false).await?;
        (now == before)
            .then_some(())
            .with_context(|| format!("{now} of {before}"))
    };
    eventually(SOON, "the counters are back", is_back).await?;
    let told = counted(&stage.panel, true).await?;
    ensure!(told == before, "{told} of {before}");
    ensure!(
        counted(&stage.panel, true).await? == 0,
        "what was delivered is told again"
    );
    Ok(())
}

/// Whether every thread of a process has been stopped by a signal: that takes a moment.
fn all_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    let is_stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    };
    threads.is_ok_and(|mut threads| threads.all(|thread| thread.is_ok_and(is_stopped)))
}

pub(super) async fn of_another_panel(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    stage.start().await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.through_vless(&scene, BYTES).await?;
    ensure!(counted(&stage.panel, false).await? > 0, "nothing is counted");
    let other = Caller {
        source: Some(scene.address().ip()),
        ..stage.panel.clone()
    };
    other.ok::<BaseInfoResponse>(START, &stage.backend()).await?;
    ensure!(counted(&other, false).await? == 0, "a panel hears of another's users");
    Ok(())
}
