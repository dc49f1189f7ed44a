//! Users whom a core's configuration may not have: with one of them in it the core would not start, and nobody would get in.

use super::{Stage, suite, told};
use crate::harness::bridge::Sync;
use crate::harness::doors::{Door, Doors};
use crate::harness::node::signal;
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use libtest_mimic::Trial;
use rustix::process::Signal;

pub(super) fn trials() -> Vec<Trial> {
    suite().once("whom_the_core_refuses_keep_nobody_out", refused).done()
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Vmess, Protocol::Vless, Protocol::Shadowsocks];

async fn refused(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene, &PROTOCOLS).await?;
    let good = Member::new(1, &PROTOCOLS);
    let [small, capital] = [2, 3].map(|number| Member::new(number, &PROTOCOLS));
    let bad = Member::new(4, &PROTOCOLS);
    // To the core the next two are one, and the second one counts.
    let capital = Member {
        email: small.email.to_uppercase(),
        ..capital
    };
    let mut users = told(&[good.clone(), small, capital.clone(), bad.clone()]);
    users[3]["method"] = "none".into();
    let ways: Vec<_> = [&good, &capital, &bad]
        .into_iter()
        .flat_map(|member| stage.servers.iter().map(move |server| (member, *server)))
        .collect();
    let doors = Doors::start(&scene, &ways).await?;
    // Of the last one Shadowsocks' is shut, and no other.
    let (shut, open) = doors.all().split_last().context("there are doors")?;

    let mut panel = stage.panel("grpc")?;
    let start = serde_json::json!({ "do": "start", "config": stage.config(), "users": users });
    panel.ok(start).await?;
    get_through(&scene, &stage, open).await.context("after the start")?;
    shut.expect_shut(stage.echo()).await?;

    // They come again one by one, and the next core has to start with them.
    for how in [Sync::Each, Sync::Chunked, Sync::Replace] {
        panel.sync(how, &users).await?;
        let core = stage.node.core()?;
        signal(core, Signal::KILL)?;
        stage.node.core_after(core).await?;
        get_through(&scene, &stage, open)
            .await
            .with_context(|| format!("{how:?}"))?;
        shut.expect_shut(stage.echo()).await?;
    }
    Ok(())
}

async fn get_through(scene: &Scene, stage: &Stage, doors: &[Door]) -> Result<()> {
    for door in doors {
        let moves = || door.move_data(scene, stage.echo(), 1_000);
        eventually(BACK, "a user gets through", moves).await?;
    }
    Ok(())
}
