//! One user comes and goes while another one stays, for every protocol.

use super::{Stage, suite, told};
use crate::harness::bridge::{Bridge, Sync};
use crate::harness::doors::{Doors, Held};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::usage::Traffic;
use crate::harness::*;
use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    let mut suite = suite();
    for (name, protocol, transport, how) in [
        ("come_and_go_by_vmess", Protocol::Vmess, "grpc", Sync::Chunked),
        ("come_and_go_by_vless", Protocol::Vless, "rest", Sync::Each),
        ("come_and_go_by_trojan", Protocol::Trojan, "grpc", Sync::Each),
        (
            "come_and_go_by_shadowsocks",
            Protocol::Shadowsocks,
            "rest",
            Sync::Chunked,
        ),
        (
            "come_and_go_by_shadowsocks_2022_short",
            Protocol::Shadowsocks2022Short,
            "grpc",
            Sync::Each,
        ),
        (
            "come_and_go_by_shadowsocks_2022_long",
            Protocol::Shadowsocks2022Long,
            "rest",
            Sync::Chunked,
        ),
    ] {
        suite = suite.once(name, move |scene| come_and_go(scene, protocol, transport, how));
    }
    suite.once("the_first_of_an_inbound_gets_in", first).done()
}

async fn come_and_go(scene: Scene, protocol: Protocol, transport: &'static str, how: Sync) -> Result<()> {
    const BEFORE: u64 = 300_000;
    const FIRST: u64 = 1 << 20;
    const SECOND: u64 = 70_000;
    let stays = Member::new(1, &[protocol]).with_key(protocol);
    let comes = Member::new(2, &[protocol]).with_password(protocol);
    let stage = Stage::new(&scene, &[protocol]).await?;
    let mut panel = stage.started(transport, std::slice::from_ref(&stays)).await?;
    let core = stage.node.core()?;
    let [server] = stage.servers[..] else {
        bail!("one inbound")
    };
    let doors = Doors::start(&scene, &[(&stays, server), (&comes, server)]).await?;
    let (of_other, door) = (doors.door(0), doors.door(1));

    let mut other = Held::open(of_other, &scene, stage.echo()).await?;
    other.move_data(BEFORE).await?;
    door.expect_shut(stage.echo()).await.context("before he is added")?;

    panel.sync(how, &told(std::slice::from_ref(&comes))).await?;
    door.move_data(&scene, stage.echo(), FIRST)
        .await
        .context("the new user")?;
    counted(&mut panel, &comes.email, FIRST).await?;
    // From zero again.
    door.move_data(&scene, stage.echo(), SECOND).await?;
    counted(&mut panel, &comes.email, SECOND).await?;
    other.move_data(BEFORE).await.context("the other one meanwhile")?;

    panel.sync(how, &[comes.told_removed()]).await?;
    door.expect_shut(stage.echo()).await.context("after he was removed")?;
    let nothing = panel.usage_of(&comes.email, false).await?;
    ensure!(nothing == Traffic::default(), "he is kept out and moved {nothing:?}");
    other.move_data(BEFORE).await.context("the other one afterwards")?;
    counted(&mut panel, &stays.email, other.moved()).await?;
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}

/// Expects that `bytes` were counted in each direction, and resets them.
async fn counted(panel: &mut Bridge, email: &str, bytes: u64) -> Result<()> {
    let expected = Traffic::of_echo(bytes);
    let counted = panel.usage_of(email, true).await?;
    ensure!(counted == expected, "{email}: {counted:?} instead of {expected:?}");
    let again = panel.usage_of(email, false).await?;
    ensure!(again == Traffic::default(), "{email} was not reset: {again:?}");
    Ok(())
}

/// An inbound whose first user comes when the core runs already: Shadowsocks 2022 takes users only if it began with some.
async fn first(scene: Scene) -> Result<()> {
    let protocols = [Protocol::Trojan, Protocol::Shadowsocks2022Short];
    let member = Member::new(1, &protocols).with_password(Protocol::Shadowsocks2022Short);
    let stage = Stage::new(&scene, &protocols).await?;
    let mut panel = stage.started("grpc", &[]).await?;
    let ways: Vec<_> = stage.servers.iter().map(|server| (&member, *server)).collect();
    let doors = Doors::start(&scene, &ways).await?;
    for door in doors.all() {
        door.expect_shut(stage.echo()).await?;
    }
    panel.sync(Sync::Chunked, &[member.told()]).await?;
    for door in doors.all() {
        door.move_data(&scene, stage.echo(), 1_000).await?;
    }
    Ok(())
}
