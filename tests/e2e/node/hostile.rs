//! A trusted client that is broken or malicious: the node answers or hangs up, keeps little, and serves the others.

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Answer, Https};
use crate::harness::node::Node;
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::hostile")
        .once("lengths_that_are_lies_take_no_memory", lies)
        .once("heads_without_end_are_ended", endless_heads)
        .once("nesting_without_end_is_answered", nesting)
        .once("what_cpython_takes_and_json_does_not", beyond_json)
        .once("bytes_at_random_break_nothing", noise)
        .once("bodies_that_stand_still_are_let_go", standing_still)
        .done()
}

/// The node is there, and its panel is served.
async fn unharmed(node: &mut Node, panel: &mut Panel) -> Result<()> {
    ensure!(node.process.exited()?.is_none(), "the node has ended");
    let took = panel.beside().ping().await?;
    ensure!(took < secs(2), "a ping took {took:?}");
    panel.restart(CONFIG).await?.expect(200)?;
    Ok(())
}

async fn lies(scene: Scene) -> Result<()> {
    const CLIENTS: usize = 40;
    const GROWTH_KIB: u64 = 60 << 10;
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    panel.ping().await?;
    let before = node.process.resident_kib()?;
    let mut clients = Vec::new();
    for length in ["200000000", "99999999999999"].repeat(CLIENTS / 2) {
        let mut client = Https::open(node.address, panel.login()).await?;
        let head = format!("POST /start HTTP/1.1\r\nhost: node.test\r\ncontent-length: {length}\r\n\r\n{{");
        // It may be refused at once.
        let _ = client.send(head.as_bytes()).await;
        clients.push(client);
    }
    tokio::time::sleep(secs(1)).await;
    let grown = node.process.resident_kib()?.saturating_sub(before);
    ensure!(grown < GROWTH_KIB, "it grew by {grown} KiB for bodies that nobody sent");
    unharmed(&mut node, &mut panel).await
}

async fn standing_still(scene: Scene) -> Result<()> {
    const CLIENTS: usize = 8;
    const SENT: usize = 4 << 20;
    /// Twice the 30 s that a body may stand still.
    const LIMIT: Duration = secs(60);
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Https::open(node.address, panel.login()).await?;
        client
            .send(b"POST /start HTTP/1.1\r\nhost: node.test\r\ncontent-length: 9000000\r\n\r\n")
            .await?;
        client.send(&vec![b' '; SENT]).await?;
        clients.push(client);
    }
    panel.ping().await?;
    let held = node.process.resident_kib()?;
    for client in &mut clients {
        client.end(LIMIT).await.context("the node keeps what does not arrive")?;
    }
    let less = || async {
        let now = node.process.resident_kib()?;
        ensure!(
            now + (16 << 10) < held,
            "{held} KiB while they stood still, {now} KiB now"
        );
        Ok(())
    };
    eventually(SOON, "their memory is free", less).await?;
    unharmed(&mut node, &mut panel).await
}

async fn endless_heads(scene: Scene) -> Result<()> {
    const GROWTH_KIB: u64 = 8 << 10;
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    panel.ping().await?;
    let before = node.process.resident_kib()?;
    let line = format!("x-endless: {}\r\n", "x".repeat(1_000));
    for beginning in ["POST / HTTP/1.1\r\nhost: node.test\r\n", "POST /", ""] {
        let mut client = Https::open(node.address, panel.login()).await?;
        client.send(beginning.as_bytes()).await?;
        for _ in 0..500 {
            // The node may close at any time.
            if client.send(line.repeat(64).as_bytes()).await.is_err() {
                break;
            }
        }
        let grown = node.process.resident_kib()?.saturating_sub(before);
        ensure!(grown < GROWTH_KIB, "{beginning:?}: it grew by {grown} KiB");
        // How it ends depends on what was still on the way; that it ends does not.
        client.end(SOON).await.with_context(|| format!("{beginning:?}"))?;
    }
    unharmed(&mut node, &mut panel).await
}

async fn nesting(scene: Scene) -> Result<()> {
    const DEPTH: usize = 200_000;
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    for deep in [
        "[".repeat(DEPTH),
        "{\"a\":".repeat(DEPTH),
        "[".repeat(DEPTH) + &"]".repeat(DEPTH),
    ] {
        let mut client = Https::open(node.address, panel.login()).await?;
        let answer = client.ask(&request("/ping", deep.as_bytes())).await?;
        ensure!((400..=500).contains(&answer.status()), "a body: {:?}", answer.head);
        let answer = panel.start(&deep).await?;
        ensure!(
            (400..=503).contains(&answer.status()),
            "a configuration: {:?}",
            answer.head
        );
    }
    unharmed(&mut node, &mut panel).await
}

async fn beyond_json(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    // CPython writes these again as it read them, and the core refuses its configuration.
    for config in [r#"{"a":NaN}"#, r#"{"a":[Infinity,-Infinity]}"#] {
        core.script("say:Failed to start: invalid character;exit:23")?;
        let answer = panel.start(config).await?.expect(503)?.json()?;
        ensure!(answer["detail"].is_string(), "{config}: {answer}");
    }
    core.script(NORMAL)?;
    // Half of a surrogate pair is taken, and so is a key that a library of ours means something by.
    for (config, kept) in [
        (r#"{"a":"\ud800","after":1}"#, "\"after\":1"),
        (
            r#"{"a":{"$serde_json::private::Number":"12"},"b":1}"#,
            "\"$serde_json::private::Number\"",
        ),
        (
            r#"{"a":{"$serde_json::private::Number":[]},"b":1}"#,
            "\"$serde_json::private::Number\"",
        ),
        (
            r#"{"a":{"$serde_json::private::RawValue":"[1]"}}"#,
            "\"$serde_json::private::RawValue\"",
        ),
    ] {
        let number = core.lives()?.len() + 1;
        panel.restart(config).await?.expect(200).context(config)?;
        let seen = core.life(number).await?.config.unwrap_or_default();
        let bare: String = seen.split_whitespace().collect();
        ensure!(bare.contains(kept), "{config} became {seen}");
    }
    Ok(())
}

/// Requests with a few bytes changed. Most are refused; none is the last.
async fn noise(scene: Scene) -> Result<()> {
    const ROUNDS: u64 = 400;
    let (mut node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut dice = scene.dice();
    let seeds = seeds(&panel);
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for _ in 0..ROUNDS {
        let mut bytes = seeds[dice.below(seeds.len() as u64) as usize].clone();
        for _ in 0..1 + dice.below(4) {
            let place = dice.below(bytes.len() as u64) as usize;
            match dice.below(3) {
                0 => bytes[place] = dice.below(256) as u8,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, dice.below(256) as u8),
            }
        }
        let mut client = Https::open(node.address, panel.login()).await?;
        client.send(&bytes).await?;
        // A request may have become longer than what was sent: then nothing comes.
        if let Ok(Ok(answer)) = tokio::time::timeout(millis(200), client.answer(false)).await {
            *statuses.entry(Answer::status(&answer)).or_default() += 1;
        }
        ensure!(
            node.process.exited()?.is_none(),
            "the node ended at {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    let strange = statuses.keys().find(|status| !(101..=503).contains(*status));
    ensure!(strange.is_none() && statuses.len() > 2, "the answers are {statuses:?}");
    // Some of them may have taken the session away or stopped the core: the panel connects again.
    ended_well(&mut node, &core, &mut panel).await
}

async fn ended_well(node: &mut Node, core: &FakeCore, panel: &mut Panel) -> Result<()> {
    *panel = Panel::connect(node).await?;
    let number = core.lives()?.len();
    unharmed(node, panel).await?;
    ensure!(core.lives()?.len() == number + 1, "another core was started");
    Ok(())
}

fn seeds(panel: &Panel) -> Vec<Vec<u8>> {
    let session = json!({ "session_id": panel.session }).to_string();
    let start = json!({ "session_id": panel.session, "config": CONFIG }).to_string();
    let upgrade = format!(
        "GET /logs?session_id={}&interval=0.7 HTTP/1.1\r\nhost: node.test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        panel.session
    );
    let chunked = format!(
        "POST /ping HTTP/1.1\r\nhost: node.test\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{session}\r\n0\r\n\r\n",
        session.len()
    );
    vec![
        request("/ping", session.as_bytes()),
        request("/start", start.as_bytes()),
        request("/ping/", b"{}"),
        upgrade.into_bytes(),
        chunked.into_bytes(),
    ]
}
