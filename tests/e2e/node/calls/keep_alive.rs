//! The clock of the keep-alive time (`spec/node-panel.md`, Rules for us and 4.3): which calls put it off.

use super::generations::stage;
use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::node::{gone, runs};
use crate::harness::*;
use kariz_proto::panel::{Backend, BaseInfoResponse, Empty, StatRequest};

/// Starts a core with this time; who calls over `wire`, and the core.
async fn start(stage: &Stage, wire: Wire, keep_alive: Duration) -> Result<(Caller, u32)> {
    let backend = Backend {
        keep_alive: keep_alive.as_secs(),
        ..stage.backend()
    };
    let panel = stage.panel.over(wire);
    panel.ok::<BaseInfoResponse>(START, &backend).await?;
    Ok((panel, stage.node.core()?))
}

/// Makes a call that fails.
async fn fail(caller: &Caller, call: Call) -> Result<Outcome> {
    let unknown = StatRequest {
        name: "nobody".into(),
        ..StatRequest::default()
    };
    let outcome = caller.call(call, &unknown).await?;
    ensure!(!outcome.is_ok(), "{call:?} over {:?} goes well", caller.wire);
    if call == NO_SUCH_CALL {
        let code = if caller.wire == Wire::Grpc { 12 } else { 404 };
        ensure!(outcome.code == code, "there is such a call: {outcome:?}");
    }
    Ok(outcome)
}

/// Makes a call that shows no key.
async fn knock(stranger: &Caller) -> Result<()> {
    let outcome = fail(stranger, INFO).await?;
    let code = if stranger.wire == Wire::Grpc { 16 } else { 401 };
    ensure!(outcome.code == code, "a stranger is let in: {outcome:?}");
    Ok(())
}

/// Which calls keep the core alive: all that show a key, or those that go well.
pub(super) async fn clock(scene: Scene, generation: &str, wire: Wire) -> Result<()> {
    const KEEP_ALIVE: Duration = secs(3);
    const PAUSE: Duration = millis(300);
    let stage = stage(&scene, generation).await?;
    let (panel, core) = start(&stage, wire, KEEP_ALIVE).await?;
    let begin = Instant::now();
    let stranger = Caller {
        headers: Vec::new(),
        ..panel.clone()
    };
    // A call that the core itself says no to, and one that there is not.
    let outcome = fail(&panel, ONLINE).await?;
    ensure!(outcome.text.contains("online not found."), "{outcome:?}");
    if generation == "g1" {
        // Each kind of them is enough, for twice the time and more.
        for call in [ONLINE, NO_SUCH_CALL] {
            let begin = Instant::now();
            while begin.elapsed() < 2 * KEEP_ALIVE + secs(1) {
                tokio::time::sleep(PAUSE).await;
                fail(&panel, call).await?;
                ensure!(runs(core), "the core was stopped although a panel called: {call:?}");
            }
        }
        // Those who show no key keep nothing alive.
        let begin = Instant::now();
        while runs(core) {
            ensure!(begin.elapsed() < 2 * KEEP_ALIVE + SOON, "strangers kept the core alive");
            tokio::time::sleep(PAUSE).await;
            knock(&stranger).await?;
        }
        return Ok(());
    }
    while begin.elapsed() < 2 * KEEP_ALIVE + secs(1) && runs(core) {
        tokio::time::sleep(PAUSE).await;
        for call in [ONLINE, NO_SUCH_CALL] {
            fail(&panel, call).await?;
        }
        knock(&stranger).await?;
    }
    ensure!(!runs(core), "calls that failed kept the core alive");
    ensure!(
        begin.elapsed() >= KEEP_ALIVE - millis(100),
        "stopped after {:?}",
        begin.elapsed()
    );
    let outcome = fail(&panel, STATS).await?;
    let code = if wire == Wire::Grpc { 14 } else { 500 };
    ensure!(
        outcome.told() == (code, "backend not initialized"),
        "the backend is still there: {outcome:?}"
    );
    Ok(())
}

/// Calls that go well put it off.
pub(super) async fn put_off(scene: Scene, wire: Wire) -> Result<()> {
    const KEEP_ALIVE: Duration = secs(3);
    let stage = stage(&scene, "g3").await?;
    let (panel, core) = start(&stage, wire, KEEP_ALIVE).await?;
    let begin = Instant::now();
    while begin.elapsed() < 2 * KEEP_ALIVE + secs(1) {
        tokio::time::sleep(millis(300)).await;
        panel.ok::<BaseInfoResponse>(INFO, &Empty {}).await?;
        ensure!(runs(core), "the core was stopped although a panel called");
    }
    gone(core, 2 * KEEP_ALIVE + SOON).await.map(drop)
}

/// A stream of logs is a call that goes well when it ends; for as long as it lasts it is none.
pub(super) async fn log_streams(scene: Scene) -> Result<()> {
    const KEEP_ALIVE: Duration = secs(4);
    for wire in WIRES {
        let stage = stage(&scene, "g3").await?;
        let (panel, core) = start(&stage, wire, KEEP_ALIVE).await?;
        // The clock runs since a moment before.
        let begin = Instant::now();
        let (logs, driver) = panel.send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        tokio::time::sleep(KEEP_ALIVE / 2).await;
        drop((logs, driver));
        let ended = Instant::now();
        if begin.elapsed() < KEEP_ALIVE - millis(500) {
            tokio::time::sleep_until((begin + KEEP_ALIVE + millis(500)).into()).await;
            ensure!(
                runs(core) || ended.elapsed() >= KEEP_ALIVE,
                "over {wire:?}: the end of the stream did not count"
            );
        }
        gone(core, 2 * KEEP_ALIVE + SOON).await?;

        // One that goes on keeps nothing alive.
        let (panel, core) = start(&stage, wire, KEEP_ALIVE).await?;
        let (logs, _driver) = panel.send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        gone(core, 2 * KEEP_ALIVE)
            .await
            .with_context(|| format!("over {wire:?}: with a stream that goes on"))?;
    }
    Ok(())
}
