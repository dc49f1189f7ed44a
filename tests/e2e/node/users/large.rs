//! Few of many users change.

use super::{Stage, suite, told};
use crate::harness::bridge::Sync;
use crate::harness::doors::{Doors, Held};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    suite()
        .once("ten_of_ten_thousand_change_and_nobody_else_notices", change)
        .done()
}

async fn change(scene: Scene) -> Result<()> {
    const USERS: u64 = 10_000;
    const DATA: u64 = 200_000;
    let protocols = [Protocol::Vless, Protocol::Trojan];
    let mut members: Vec<Member> = (0..USERS).map(|number| Member::new(number, &protocols)).collect();
    let stays = members[5_000].clone();
    let stage = Stage::new(&scene, &protocols).await?;
    let mut panel = stage.started("grpc", &members).await?;
    let core = stage.node.core()?;

    // Three go, three come, four get other credentials.
    let gone: Vec<Member> = members.drain(100..103).collect();
    let come: Vec<Member> = (USERS..USERS + 3)
        .map(|number| Member::new(number, &protocols))
        .collect();
    members.extend(come.iter().cloned());
    let before: Vec<Member> = members[7_000..7_004].to_vec();
    for member in &mut members[7_000..7_004] {
        member.id = member.id.replacen("00000000", "ffffffff", 1);
        member.password = format!("another {}", member.password);
    }
    let after: Vec<Member> = members[7_000..7_004].to_vec();

    let [vless, trojan] = stage.servers[..] else {
        bail!("two inbounds")
    };
    let through = |members: &[&Member]| -> Vec<(Member, _)> {
        let both = |member: &&Member| [vless, trojan].map(|server| ((*member).clone(), server));
        members.iter().flat_map(both).collect()
    };
    let old = through(&gone.iter().chain(&before).collect::<Vec<_>>());
    let new = through(&come.iter().chain(&after).collect::<Vec<_>>());
    let of_stays = through(&[&stays]);
    let ways: Vec<_> = of_stays
        .iter()
        .chain(&old)
        .chain(&new)
        .map(|(member, server)| (member, *server))
        .collect();
    let doors = Doors::start(&scene, &ways).await?;
    let (of_stays, doors) = doors.all().split_at(of_stays.len());
    let (old, new) = doors.split_at(old.len());

    let mut held = Vec::new();
    for door in of_stays {
        held.push(Held::open(*door, &scene, stage.echo()).await?);
    }
    let [vless, trojan] = &mut held[..] else {
        bail!("two connections")
    };
    tokio::try_join!(vless.move_data(DATA), trojan.move_data(DATA))?;
    for door in old {
        door.move_data(&scene, stage.echo(), 1_000)
            .await
            .context("before the change")?;
    }
    for door in new {
        door.expect_shut(stage.echo()).await.context("before the change")?;
    }

    panel.sync(Sync::Replace, &told(&members)).await?;
    tokio::try_join!(vless.move_data(DATA), trojan.move_data(DATA)).context("through the change")?;
    for door in new {
        door.move_data(&scene, stage.echo(), 1_000)
            .await
            .context("after the change")?;
    }
    for door in old {
        door.expect_shut(stage.echo()).await.context("after the change")?;
    }
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}
