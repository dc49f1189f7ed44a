//! One user comes and goes while another one stays, for every protocol.

use super::{Stage, suite, told};
use crate::harness::bridge::{Bridge, Sync};
use crate::harness::doors::{Door, Doors, Held};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::usage::Traffic;
use crate::harness::*;
use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    let mut suite = suite();
    for (over_grpc, over_rest, protocol) in [
        ("by_vmess_over_grpc", "by_vmess_over_rest", Protocol::Vmess),
        ("by_vless_over_grpc", "by_vless_over_rest", Protocol::Vless),
        ("by_vision_over_grpc", "by_vision_over_rest", Protocol::VlessVision),
        ("by_trojan_over_grpc", "by_trojan_over_rest", Protocol::Trojan),
        (
            "by_shadowsocks_over_grpc",
            "by_shadowsocks_over_rest",
            Protocol::Shadowsocks,
        ),
        (
            "by_shadowsocks_2022_short_over_grpc",
            "by_shadowsocks_2022_short_over_rest",
            Protocol::Shadowsocks2022Short,
        ),
        (
            "by_shadowsocks_2022_long_over_grpc",
            "by_shadowsocks_2022_long_over_rest",
            Protocol::Shadowsocks2022Long,
        ),
        ("by_hysteria_over_grpc", "by_hysteria_over_rest", Protocol::Hysteria),
    ] {
        suite = suite
            .once(over_grpc, move |scene| come_and_go(scene, protocol, "grpc"))
            .once(over_rest, move |scene| come_and_go(scene, protocol, "rest"));
    }
    suite.once("the_first_of_an_inbound_gets_in", first).done()
}

async fn come_and_go(scene: Scene, protocol: Protocol, transport: &'static str) -> Result<()> {
    const BEFORE: u64 = 300_000;
    let stays = Member::new(1, &[protocol]).with_key(protocol);
    let comes = Member::new(2, &[protocol]).with_password(protocol);
    let stage = Stage::new(&scene, &[protocol]).await?;
    let mut panel = stage.started(transport, std::slice::from_ref(&stays)).await?;
    let core = stage.node.core()?;
    let [server] = stage.servers[..] else {
        bail!("one inbound")
    };
    // Two cores: one has the same carrier for all users of Hysteria.
    let others = Doors::start(&scene, &[(&stays, server)]).await?;
    let way = [(&comes, server)];
    let mut doors = Doors::start(&scene, &way).await?;

    let mut other = Held::open(others.door(0), &scene, stage.echo()).await?;
    other.move_data(BEFORE).await?;
    let shut = doors.door(0).expect_shut(stage.echo()).await;
    shut.context("before he is added")?;
    for how in [Sync::Each, Sync::Chunked, Sync::Replace] {
        let (with, without) = match how {
            Sync::Replace => (
                told(&[stays.clone(), comes.clone()]),
                told(std::slice::from_ref(&stays)),
            ),
            Sync::Each | Sync::Chunked => (vec![comes.told()], vec![comes.told_removed()]),
        };
        panel.sync(how, &with).await?;
        is_in(&scene, &mut panel, (&stage, doors.door(0)), &comes)
            .await
            .with_context(|| format!("added by {how:?}"))?;
        other.move_data(BEFORE).await.context("the other one meanwhile")?;

        panel.sync(how, &without).await?;
        if protocol == Protocol::Hysteria {
            // The core lets his carrier live, and asks nobody on it again.
            doors = Doors::start(&scene, &way).await?;
        }
        let shut = doors.door(0).expect_shut(stage.echo()).await;
        shut.with_context(|| format!("removed by {how:?}"))?;
        let nothing = panel.usage_of(&comes.email, false).await?;
        ensure!(nothing == Traffic::default(), "he is kept out and moved {nothing:?}");
    }
    other.move_data(BEFORE).await.context("the other one afterwards")?;
    counted(&mut panel, &stays.email, other.moved()).await?;
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}

/// A user who was added gets through his door, and is counted; from zero again when that was reset.
async fn is_in(scene: &Scene, panel: &mut Bridge, (stage, door): (&Stage, Door), member: &Member) -> Result<()> {
    for bytes in [1 << 20, 70_000] {
        door.move_data(scene, stage.echo(), bytes).await?;
        counted(panel, &member.email, bytes).await?;
    }
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
