//! Twenty restarts of the real core leave nothing behind.

use crate::harness::logs::Logs;
use crate::harness::node::Setup;
use crate::harness::panel::Panel;
use crate::harness::xray::Inbounds;
use crate::harness::{provision, *};
use libtest_mimic::Trial;

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::growth";

pub fn trials() -> Vec<Trial> {
    Suite::new(SUITE)
        .needs(super::needs_xray)
        .busy()
        .once("twenty_restarts_leave_nothing", twenty_restarts)
        .done()
}

async fn twenty_restarts(scene: Scene) -> Result<()> {
    const WARM_UP: usize = 4;
    const RESTARTS: usize = 20;
    const GROWTH_KIB: u64 = 2 << 10;
    let node = Setup::new(&scene, &provision::xray()?)?.start().await?;
    let mut panel = Panel::connect(&node).await?;
    let config = Inbounds::new(&scene).panel_config().to_string();
    let mut reader = Logs::open(&node, &panel, "").await?;
    panel.start(&config).await?.expect(200)?;
    for _ in 0..WARM_UP {
        panel.restart(&config).await?.expect(200)?;
    }
    let figures = || anyhow::Ok((node.threads()?, node.process.descriptors()?, node.zombies()?.len()));
    tokio::time::sleep(secs(1)).await;
    let (before, memory) = (figures()?, node.process.resident_kib()?);
    for round in 0..RESTARTS {
        let answer = panel.restart(&config).await?;
        answer.expect(200).with_context(|| format!("restart {round}"))?;
        ensure!(node.zombies()?.is_empty(), "a zombie after restart {round}");
    }
    let look = || async {
        let after = figures()?;
        let grown = after.0 > before.0 || after.1 > before.1 || after.2 > before.2;
        ensure!(
            !grown,
            "threads, descriptors, zombies: {before:?} before, {after:?} after"
        );
        Ok(())
    };
    eventually(secs(15), "nothing is left of the restarts", look).await?;
    let after = node.process.resident_kib()?;
    ensure!(
        after <= memory + GROWTH_KIB,
        "memory: {memory} KiB before, {after} KiB after"
    );
    // One reader saw all of them.
    let mut starts = 0;
    while starts <= WARM_UP + RESTARTS {
        let text = reader
            .text(SOON)
            .await
            .with_context(|| format!("{starts} starts in the log"))?;
        starts += usize::from(text.contains("core: Xray ") && text.ends_with(" started"));
    }
    Ok(())
}
