//! The ways in which each library changes users, and what it asks of a node that refuses.

use super::Stage;
use crate::harness::bridge::{Bridge, Dialect, Library, Sync};
use crate::harness::doors::Door;
use crate::harness::protocol::Member;
use crate::harness::*;
use serde_json::{Value, json};

/// Everything that the library can change. The first of `members` stays, and is the only one in the end.
pub(super) async fn all(stage: &mut Stage, dialect: Dialect, members: &[Member; 4], doors: &[Door]) -> Result<()> {
    let [stays, second, third, _] = members;
    let &[_, of_second, of_third, of_fourth] = doors else {
        bail!("a door for each");
    };
    stage.shuts(of_second).await.context("before he is added")?;
    let update = json!({ "do": "update", "users": [second.told()] });
    stage.panel.ok(update).await?;
    stage.opens(of_second).await.context("by update_user")?;
    if dialect.library == Library::PasarGuard08 || dialect.library == Library::PasarGuard {
        many(stage, members, doors).await?;
        elsewhere(&mut stage.panel).await?;
    }
    if dialect.library == Library::PasarGuard {
        let users = [stays.told(), second.told()];
        stage
            .panel
            .ok(json!({ "do": "replace_from_source", "users": users }))
            .await?;
        stage.opens(of_second).await.context("by sync_users_from_source")?;
        for door in [of_third, of_fourth] {
            stage.shuts(door).await.context("not in sync_users_from_source")?;
        }
        of_later_nodes(&mut stage.panel, dialect.transport).await?;
    }
    stage.panel.sync(Sync::Replace, &[stays.told(), third.told()]).await?;
    stage.opens(of_third).await.context("by sync_users")?;
    stage.panel.sync(Sync::Replace, &[stays.told()]).await?;
    for door in [of_second, of_third, of_fourth] {
        stage.shuts(door).await.context("not in sync_users")?;
    }
    Ok(())
}

/// Changes of many users: in several chunks, and through the library's queue. The second of `members` goes.
async fn many(stage: &mut Stage, members: &[Member; 4], doors: &[Door]) -> Result<()> {
    let [_, second, third, fourth] = members;
    let &[_, of_second, of_third, of_fourth] = doors else {
        bail!("a door for each");
    };
    let users = [second.told(), third.told()];
    let chunked = json!({ "do": "chunked", "users": users, "chunk_size": 1 });
    let answer = stage.panel.ok(chunked).await?;
    ensure!(answer["failed"] == json!([]), "{answer}");
    stage.opens(of_third).await.context("by sync_users_chunked")?;
    let users = [second.told_removed(), fourth.told()];
    stage.panel.ok(json!({ "do": "update_all", "users": users })).await?;
    stage.opens(of_fourth).await.context("by update_users")?;
    stage.shuts(of_second).await.context("by update_users")
}

/// What another service of the machine would do, which this node does not have.
async fn elsewhere(panel: &mut Bridge) -> Result<()> {
    let reachable = panel.ok(json!({ "do": "reachable" })).await?;
    ensure!(reachable == false, "{reachable}");
    let files = json!({ "json": {} });
    for (name, arguments) in [
        ("update_node", json!({})),
        ("update_core", files.clone()),
        ("update_geofiles", files),
    ] {
        refused(panel, name, arguments, 503).await?;
    }
    Ok(())
}

/// What came after node 0.5.2: the library hears that there is no such call.
async fn of_later_nodes(panel: &mut Bridge, transport: &str) -> Result<()> {
    let unknown = if transport == "grpc" { 501 } else { 404 };
    for (name, arguments) in [
        ("list_routing_rules", json!({})),
        ("get_balancer_info", json!({ "tag": "balancer" })),
        (
            "test_route",
            json!({ "network": "tcp", "target_ip": "192.0.2.1", "target_port": 80 }),
        ),
        ("add_routing_rule", json!({ "rule": "{}" })),
        ("remove_routing_rule", json!({ "rule_tag": "rule" })),
        (
            "override_balancer_target",
            json!({ "balancer_tag": "balancer", "target": "DIRECT" }),
        ),
    ] {
        refused(panel, name, arguments, unknown).await?;
    }
    refused(panel, "hard_reset", json!({}), 503).await
}

/// The library raises its error with this code, and goes on.
async fn refused(panel: &mut Bridge, name: &str, arguments: Value, expected: i64) -> Result<()> {
    let call = json!({ "do": "call", "name": name, "arguments": arguments });
    let (code, text) = panel.refused(call).await?;
    ensure!(code == expected, "{name}: {code} {text}");
    let info = panel.ok(json!({ "do": "info" })).await?;
    ensure!(info["started"] == true, "after {name}: {info}");
    Ok(())
}
