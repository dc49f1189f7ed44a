//! Many users at once, of whom one has bad credentials and one has none.

use super::{Stage, suite, told};
use crate::harness::bridge::Sync;
use crate::harness::doors::Doors;
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;

pub(super) fn trials() -> Vec<Trial> {
    suite()
        .once("a_bad_one_of_a_thousand_over_grpc", |scene| thousand(scene, "grpc"))
        .once("a_bad_one_of_a_thousand_over_rest", |scene| thousand(scene, "rest"))
        .once("chunks_are_accepted_whose_stream_ends_late", late)
        .once("credentials_change_hands", hands)
        .done()
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Vmess, Protocol::Vless, Protocol::Trojan];

async fn thousand(scene: Scene, transport: &'static str) -> Result<()> {
    const USERS: u64 = 1_000;
    const BAD: u64 = 500;
    const EMPTY: u64 = 501;
    /// Before, between and after those two.
    const TRIED: [u64; 4] = [0, 499, 502, 999];
    let ways = [Sync::Replace, Sync::Chunked, Sync::Each];
    // Each way has a thousand of its own.
    let member = |way: u64, number: u64| {
        let mut member = Member::new(way * USERS + number, &PROTOCOLS);
        match number {
            BAD => member.id = "no uuid".into(),
            EMPTY => member.id.clear(),
            _ => {}
        }
        member
    };
    let stage = Stage::new(&scene, &PROTOCOLS).await?;
    let mut panel = stage.started(transport, &[]).await?;
    let core = stage.node.core()?;
    let [.., trojan] = stage.servers[..] else {
        bail!("three inbounds")
    };
    for (way, how) in (1..).zip(ways) {
        let members: Vec<Member> = (0..USERS).map(|number| member(way, number)).collect();
        let member = |number: u64| &members[number as usize];
        let of_good = TRIED
            .iter()
            .flat_map(|number| stage.servers.iter().map(|server| (member(*number), *server)));
        let tried: Vec<_> = of_good
            .chain([(member(BAD), trojan), (member(EMPTY), trojan)])
            .collect();
        let doors = Doors::start(&scene, &tried).await?;
        let (empty, others) = doors.all().split_last().context("doors")?;
        empty.expect_shut(stage.echo()).await?;
        others[0].expect_shut(stage.echo()).await?;

        panel.sync(how, &told(&members)).await?;
        for (door, (member, server)) in others.iter().zip(&tried) {
            let moved = door.move_data(&scene, stage.echo(), 1_000).await;
            moved.with_context(|| format!("{how:?}: {} through {:?}", member.email, server.protocol))?;
        }
        empty
            .expect_shut(stage.echo())
            .await
            .context("somebody without credentials")?;
        let gone = match how {
            Sync::Replace => Vec::new(),
            Sync::Chunked | Sync::Each => members.iter().map(Member::told_removed).collect(),
        };
        panel.sync(how, &gone).await?;
        for door in others {
            let shut = door.expect_shut(stage.echo()).await;
            shut.with_context(|| format!("{how:?}: after everybody was removed"))?;
        }
        for protocol in [Protocol::Vmess, Protocol::Vless] {
            let bad = &member(BAD).email;
            let warning = format!("user {bad} is left out of the inbound {}", protocol.tag());
            let log = stage.node.process.log();
            let count = log
                .lines()
                .filter(|line| line.contains("WARN") && line.contains(&warning))
                .count();
            ensure!(count == 1, "{how:?}: {count} warnings like {warning:?}");
        }
    }
    let log = stage.node.process.log();
    ensure!(
        log.matches("is left out of the inbound").count() == ways.len() * 2,
        "somebody else is left out:\n{log}"
    );
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}

/// A panel ends its stream some time after the last chunk. An answer that comes before that resets the stream, which panels
/// take for a failure: they send the same users again, and after five times begin anew.
async fn late(scene: Scene) -> Result<()> {
    /// Long enough for an answer that comes too early.
    const PAUSE_S: f64 = 0.5;
    let member = Member::new(1, &PROTOCOLS);
    let stage = Stage::new(&scene, &PROTOCOLS).await?;
    let mut panel = stage.started("grpc", &[]).await?;
    let ways: Vec<_> = stage.servers.iter().map(|server| (&member, *server)).collect();
    let doors = Doors::start(&scene, &ways).await?;
    panel
        .ok(json!({ "do": "chunked_late", "users": [member.told()], "pause": PAUSE_S }))
        .await?;
    for door in doors.all() {
        door.move_data(&scene, stage.echo(), 1_000).await?;
    }
    Ok(())
}

/// Credentials that go from one name to another let in whoever has them last, whatever comes first.
async fn hands(scene: Scene) -> Result<()> {
    const PAIRS: u64 = 10;
    const ROUNDS: usize = 6;
    let stage = Stage::new(&scene, &PROTOCOLS).await?;
    let members: Vec<Member> = (0..2 * PAIRS).map(|number| Member::new(number, &PROTOCOLS)).collect();
    let mut panel = stage.started("grpc", &members).await?;
    let ways = members.iter().zip(stage.servers.iter().cycle());
    let ways: Vec<_> = ways.map(|(member, server)| (member, *server)).collect();
    let doors = Doors::start(&scene, &ways).await?;
    let named = |member: &Member, email: String| Member {
        email,
        ..member.clone()
    };
    let mut last = members.clone();
    for round in 0..ROUNDS {
        // Half of them swap their names; the others get new ones, and those of before are gone.
        let mut now = Vec::new();
        for pair in last.chunks(2) {
            let [one, other] = pair else { bail!("pairs") };
            now.extend(match round % 2 {
                0 => [named(one, other.email.clone()), named(other, one.email.clone())],
                _ => [one, other].map(|member| named(member, format!("{}.{round}", member.email))),
            });
        }
        let how = if round < ROUNDS / 2 {
            Sync::Replace
        } else {
            Sync::Chunked
        };
        let gone = last
            .iter()
            .filter(|member| now.iter().all(|one| one.email != member.email));
        let mut users = told(&now);
        if how == Sync::Chunked {
            // Whoever comes twice is what he is told to be last.
            users.extend(now.iter().take(3).map(Member::told_removed));
            users.extend(told(&now[..3]));
            users.extend(gone.map(Member::told_removed));
        }
        panel.sync(how, &users).await?;
        for (door, (member, server)) in doors.all().iter().zip(&ways) {
            let moved = door.move_data(&scene, stage.echo(), 1_000).await;
            moved.with_context(|| format!("round {round}: {} through {:?}", member.id, server.protocol))?;
        }
        last = now;
    }
    // One after the other: whoever gets the credentials comes first, and then goes whoever had them.
    for member in last.iter_mut().take(PROTOCOLS.len()) {
        let heir = named(member, format!("{}.heir", member.email));
        panel.sync(Sync::Each, &[heir.told()]).await?;
        panel.sync(Sync::Each, &[member.told_removed()]).await?;
        *member = heir;
    }
    for (door, (member, server)) in doors.all().iter().zip(&ways) {
        let moved = door.move_data(&scene, stage.echo(), 1_000).await;
        moved.with_context(|| format!("an heir: {} through {:?}", member.id, server.protocol))?;
    }
    // Counted for the name that it has now.
    let usage = panel.usage(true).await?;
    for member in &last {
        ensure!(
            usage.get(&member.email).is_some_and(|moved| moved.uplink >= 1_000),
            "{}: {usage:?}",
            member.email
        );
    }
    Ok(())
}
