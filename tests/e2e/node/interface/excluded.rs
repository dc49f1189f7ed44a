//! Inbounds that the panel excludes: they stay as the configuration has them.

use super::Stage;
use crate::harness::bridge::{Dialect, Library, Sync};
use crate::harness::doors::Doors;
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use serde_json::json;

/// An excluded inbound lets in the configuration's client and none of the panel's users, who get in by another one.
pub(super) async fn excluded(scene: Scene, transport: &'static str) -> Result<()> {
    let library = Library::PasarGuard;
    let [fixed, member, comes] = [9, 1, 2].map(|number| Member::new(number, &[Protocol::Vless, Protocol::Trojan]));
    let mut stage = Stage::new(&scene, Dialect { library, transport }).await?;
    let mut config = stage.config();
    config["inbounds"][0]["settings"]["clients"] = json!([{ "id": fixed.id, "email": fixed.email }]);
    let start = json!({
        "do": "start", "config": config, "users": [member.told()], "exclude_inbounds": [Protocol::Vless.tag()],
    });
    stage.panel.ok(start).await?;
    let core = stage.node.core()?;
    let [vless, trojan] = stage.servers;
    let ways = [
        (&fixed, vless),
        (&member, vless),
        (&member, trojan),
        (&comes, vless),
        (&comes, trojan),
    ];
    let doors = Doors::start(&scene, &ways).await?;
    let &[of_fixed, excluded, other, excluded_later, other_later] = doors.all() else {
        bail!("a door for each way");
    };
    stage.opens(of_fixed).await.context("the client of the configuration")?;
    stage.opens(other).await.context("the user")?;
    excluded.expect_shut(stage.echo.address()).await.context("the user")?;
    stage.shuts(other_later).await.context("before he is added")?;
    for (how, users) in [
        (Sync::Chunked, vec![comes.told()]),
        (Sync::Each, vec![comes.told()]),
        (Sync::Replace, vec![member.told(), comes.told()]),
    ] {
        stage.panel.sync(how, &users).await?;
        for door in [other, other_later, of_fixed] {
            stage.opens(door).await.with_context(|| format!("after {how:?}"))?;
        }
        for door in [excluded, excluded_later] {
            let shut = door.expect_shut(stage.echo.address()).await;
            shut.with_context(|| format!("after {how:?}"))?;
        }
    }
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}
