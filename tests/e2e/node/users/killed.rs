//! A core that is killed again and again while its users change.

use super::{Stage, suite, told};
use crate::harness::bridge::{Bridge, Sync};
use crate::harness::doors::Doors;
use crate::harness::node::signal;
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::cell::Cell;

pub(super) fn trials() -> Vec<Trial> {
    suite()
        .once("survive_a_core_that_is_killed", killed)
        .once("survive_a_core_that_hangs", hanging)
        .done()
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Vmess, Protocol::Vless, Protocol::Trojan];
const USERS: u64 = 45;

/// A node, users, and a door for each of them.
async fn set_up(scene: &Scene) -> Result<(Stage, Vec<Member>, Doors)> {
    let stage = Stage::new(scene, &PROTOCOLS).await?;
    let members: Vec<Member> = (0..USERS).map(|number| Member::new(number, &PROTOCOLS)).collect();
    let ways = members.iter().zip(stage.servers.iter().cycle());
    let ways: Vec<_> = ways.map(|(member, server)| (member, *server)).collect();
    let doors = Doors::start(scene, &ways).await?;
    Ok((stage, members, doors))
}

async fn killed(scene: Scene) -> Result<()> {
    let (stage, members, doors) = set_up(&scene).await?;
    let mut panel = stage.started("grpc", &[]).await?;

    let killing = Cell::new(true);
    let ((), is_in) = tokio::try_join!(kill(&stage, &killing), change(&scene, &mut panel, &members, &killing))?;

    let (ins, outs): (Vec<_>, Vec<_>) = doors.all().iter().zip(&is_in).partition(|(_, is_in)| **is_in);
    ensure!(!ins.is_empty() && !outs.is_empty(), "everybody is in, or nobody");
    for (door, _) in ins {
        let moves = || door.move_data(&scene, stage.echo(), 1_000);
        eventually(BACK, "a user who was accepted gets through", moves).await?;
    }
    for (door, _) in outs {
        door.expect_shut(stage.echo()).await?;
    }
    Ok(())
}

/// A core that stops to answer while users change is replaced, long before it would have been found out otherwise.
async fn hanging(scene: Scene) -> Result<()> {
    /// Twice what a call has, and the core then has to end.
    const REPLACED: Duration = secs(2 * (5 + 2));
    let (stage, members, doors) = set_up(&scene).await?;
    let mut panel = stage.started("grpc", &[]).await?;
    let core = stage.node.core()?;
    signal(core, Signal::STOP)?;
    let begin = Instant::now();
    // The library gives up after ten seconds; what the node has taken, it has.
    let synced = panel.sync(Sync::Replace, &told(&members)).await;
    stage.node.core_after(core).await?;
    ensure!(
        begin.elapsed() < REPLACED,
        "replaced after {:?} ({synced:?})",
        begin.elapsed()
    );
    for door in doors.all() {
        let moves = || door.move_data(&scene, stage.echo(), 1_000);
        eventually(BACK, "a user who was told of gets through", moves).await?;
    }
    Ok(())
}

/// Kills every core that comes, some time after its start: before its API answers, or while it takes users.
async fn kill(stage: &Stage, killing: &Cell<bool>) -> Result<()> {
    const TIMES: usize = 5;
    const LATEST_MS: u64 = 300;
    let mut dice = stage.scene.dice();
    let mut last = 0;
    for _ in 0..TIMES {
        last = stage.node.core_after(last).await?;
        tokio::time::sleep(millis(dice.below(LATEST_MS))).await;
        signal(last, Signal::KILL)?;
    }
    killing.set(false);
    Ok(())
}

/// Adds and removes users until no core is killed any more, and a little longer; who is in at the end.
async fn change(scene: &Scene, panel: &mut Bridge, members: &[Member], killing: &Cell<bool>) -> Result<Vec<bool>> {
    const AT_ONCE: usize = 3;
    const AFTERWARDS: usize = 5;
    let mut dice = scene.dice();
    let mut is_in = vec![false; members.len()];
    let mut left = AFTERWARDS;
    while left > 0 {
        if !killing.get() {
            left -= 1;
        }
        let mut some = Vec::new();
        for _ in 0..AT_ONCE {
            let number = dice.below(USERS) as usize;
            is_in[number] ^= true;
            some.push(match is_in[number] {
                true => members[number].told(),
                false => members[number].told_removed(),
            });
        }
        // All of them at once only now and then: it would mend what went wrong before.
        let how = match dice.below(10) {
            0 if killing.get() => Sync::Replace,
            1..5 => Sync::Chunked,
            _ => Sync::Each,
        };
        let users = match how {
            Sync::Replace => {
                let all = members.iter().zip(&is_in).filter(|(_, is_in)| **is_in);
                all.map(|(member, _)| member.told()).collect()
            }
            Sync::Chunked | Sync::Each => some,
        };
        // A node accepts users whether its core runs or not.
        panel.sync(how, &users).await?;
    }
    Ok(is_in)
}
