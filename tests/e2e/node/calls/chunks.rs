//! Users in chunks: those that belong together, and those that do not (`spec/node-panel.md`, 4.2).

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::xray::Users;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Log, User, UsersChunk};

/// gRPC's code.
const UNKNOWN: u16 = 2;

/// What is moved to see whether somebody is let in.
const BYTES: u64 = 1_000;

fn chunk(index: u64, users: &[&User], last: bool) -> UsersChunk {
    UsersChunk {
        users: users.iter().copied().cloned().collect(),
        index,
        last,
    }
}

async fn is_kept_out(users: &Users, scene: &Scene) -> Result<()> {
    let kept_out = || async {
        let moved = users.through_vless(scene, BYTES).await;
        moved.is_err().then_some(()).context("he gets through")
    };
    eventually(SOON, "the user is kept out", kept_out).await.map(drop)
}

pub(super) async fn joined(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    let mut backend = stage.backend();
    let users = std::mem::take(&mut backend.users);
    let [alice, bob] = users.try_into().ok().context("two users")?;
    stage.panel.ok::<BaseInfoResponse>(START, &backend).await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    refused(&stage.panel, &alice).await?;
    is_kept_out(&users, &scene)
        .await
        .context("with chunks that were refused")?;

    for wire in WIRES {
        let panel = stage.panel.over(wire);
        // Each has its place, whatever the order in which they come.
        let chunks = [
            chunk(1, &[&bob], false),
            chunk(0, &[&alice], false),
            chunk(2, &[], true),
        ];
        let outcome = panel.call_with_all(SYNC_CHUNKS, &chunks).await?;
        ensure!(
            outcome.is_ok() && outcome.message.is_empty(),
            "over {wire:?}: {outcome:?}"
        );
        users
            .move_data(&scene, BYTES)
            .await
            .with_context(|| format!("over {wire:?}"))?;
        // Of one who comes twice the last one counts; who does not come stays. What is behind the last chunk does not
        // count.
        let gone = User {
            inbounds: Vec::new(),
            ..alice.clone()
        };
        let chunks = [
            chunk(0, &[&alice], false),
            chunk(1, &[&gone], true),
            chunk(2, &[&alice], true),
        ];
        let outcome = panel.call_with_all(SYNC_CHUNKS, &chunks).await?;
        ensure!(outcome.is_ok(), "over {wire:?}: {outcome:?}");
        is_kept_out(&users, &scene)
            .await
            .with_context(|| format!("over {wire:?}"))?;
        users
            .through_shadowsocks(&scene, BYTES)
            .await
            .with_context(|| format!("who is in no chunk, over {wire:?}"))?;
    }
    Ok(())
}

/// Chunks that do not make a whole.
async fn refused(panel: &Caller, user: &User) -> Result<()> {
    let no_end = "missing final chunk indicator";
    for (chunks, words) in [
        (vec![], no_end),
        (vec![chunk(0, &[user], false)], no_end),
        (vec![chunk(0, &[user], false), chunk(1, &[], false)], no_end),
        (vec![chunk(1, &[user], true)], "missing chunk index 0"),
        (
            vec![chunk(0, &[user], false), chunk(2, &[user], true)],
            "missing chunk index 1",
        ),
        (vec![chunk(0, &[], true)], "no users received"),
        (vec![chunk(0, &[], false), chunk(1, &[], true)], "no users received"),
    ] {
        for wire in WIRES {
            let outcome = panel.over(wire).call_with_all(SYNC_CHUNKS, &chunks).await?;
            let code = if wire == Wire::Grpc { UNKNOWN } else { 400 };
            ensure!(
                outcome.told() == (code, words),
                "over {wire:?}: {outcome:?}, not {words:?}"
            );
        }
    }
    // What is no chunk at all, and a chunk that breaks off; over gRPC the libraries judge it.
    let beyond = Log { detail: "x".into() };
    let garbage = Log { detail: "\u{5}".into() };
    for wire in [Wire::Rest, Wire::RestOverHttp2] {
        let panel = panel.over(wire);
        // A length of ten bytes, and two of them; a user whose first field has the number 0.
        let cut = panel.call(SYNC_CHUNKS, &beyond).await?;
        let bad = panel.call_with_all(SYNC_CHUNKS, std::slice::from_ref(&garbage)).await?;
        for outcome in [cut, bad] {
            ensure!(
                outcome.code == 400 && outcome.text.len() > 1 && !outcome.text.contains(no_end),
                "over {wire:?}: {outcome:?}"
            );
        }
    }
    Ok(())
}
