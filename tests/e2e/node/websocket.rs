//! Section 1.5 beyond the handshake: replay, modes, ends, pings, readers that are slow or many.

use crate::harness::fake_core::{NORMAL, READY};
use crate::harness::https::Https;
use crate::harness::logs::Logs;
use crate::harness::node::Node;
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::process::Signal;
use crate::harness::*;
use libtest_mimic::Trial;
use tokio_tungstenite::tungstenite::Message;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::websocket")
        .once("the_node_pings_every_20_s", pings)
        .once("a_reader_that_answers_no_ping_is_let_go", silent_reader)
        .once("the_last_hundred_lines_are_replayed", replay)
        .once("lines_one_by_one", one_by_one)
        .once("lines_in_batches", batches)
        .once("a_batch_is_not_kept_back_by_silence", last_batch)
        .once("nan_sends_nothing", nan)
        .once("no_started_core_is_needed_and_restarts_are_survived", across_restarts)
        .once("a_new_session_closes_the_old_ones_streams_with_1000", closed_by_session)
        .once("the_end_of_the_node_closes_with_1012", closed_by_shutdown)
        .once("what_a_client_says_is_ignored", client_talks)
        .once("every_reader_gets_every_line", many_readers)
        .once("a_reader_that_does_not_read_holds_up_nobody", stuck_reader)
        .once("standard_error_and_odd_lines", odd_lines)
        .done()
}

/// The original notices the end of a session within 0.2 s; the rest is for a busy machine.
const CLOSED: Duration = secs(2);

async fn running(scene: &Scene) -> Result<(Node, crate::harness::fake_core::FakeCore, Panel)> {
    let (node, core) = Node::start(scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    core.life(1).await?;
    Ok((node, core, panel))
}

async fn pings(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let panel = Panel::connect(&node).await?;
    let mut logs = Logs::open(&node, &panel, "&interval=0.7").await?;
    let begin = Instant::now();
    for number in 1..=2 {
        let message = logs.message(secs(40)).await?;
        ensure!(
            matches!(message, Some(Message::Ping(_))),
            "{message:?} instead of a ping"
        );
        let took = begin.elapsed();
        ensure!(took > secs(18) * number, "ping {number} came after {took:?}");
    }
    Ok(())
}

async fn silent_reader(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let panel = Panel::connect(&node).await?;
    // The library answers pings when it is asked for messages, which it is not.
    let mut logs = Logs::open(&node, &panel, "").await?;
    tokio::time::sleep(secs(50)).await;
    let mut seen = Vec::new();
    while let Ok(Some(message)) = logs.message(CLOSED).await {
        seen.push(message);
    }
    ensure!(matches!(seen.first(), Some(Message::Ping(_))), "{seen:?}");
    let pings = seen
        .iter()
        .filter(|message| matches!(message, Message::Ping(_)))
        .count();
    ensure!(pings <= 2, "{pings} pings were sent to somebody who answered none");
    // The connection is over, in whatever way.
    let more = logs.message(CLOSED).await;
    ensure!(matches!(more, Ok(None) | Err(_)), "{more:?}");
    Ok(())
}

async fn replay(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut first = Logs::open(&node, &panel, "").await?;
    ensure!(first.text(SOON).await? == READY, "the first line is another");
    core.say(&(1..=150).map(|n| format!("old {n}\n")).collect::<String>())?;
    first.until("old 150", SOON).await?;
    // One line more than in the round before.
    for (query, first) in [("", 51), ("&interval=-1", 52)] {
        let mut late = Logs::open(&node, &panel, query).await?;
        let texts = late.texts(100, SOON).await?;
        let end = if query.is_empty() { "" } else { "\n" };
        let mut wanted: Vec<String> = (first..=150).map(|n| format!("old {n}{end}")).collect();
        wanted.extend((51..first).map(|_| format!("new{end}")));
        ensure!(texts == wanted, "the replay is {texts:?}");
        core.say("new\n")?;
        ensure!(late.text(SOON).await?.trim_end() == "new", "the replay goes on");
    }
    Ok(())
}

async fn one_by_one(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut readers = Vec::new();
    for (query, end) in [
        ("", ""),
        ("&interval=", ""),
        ("&interval=0", ""),
        ("&interval=-0.0", ""),
        ("&interval=-1", "\n"),
        ("&interval=-inf", "\n"),
    ] {
        let mut logs = Logs::open(&node, &panel, query).await?;
        let first = logs.text(SOON).await?;
        ensure!(first == format!("{READY}{end}"), "{query:?}: {first:?}");
        readers.push((query, end, logs));
    }
    core.say("one\n  two words \t\nnaïve – 配置\n")?;
    for (query, end, logs) in &mut readers {
        let texts = logs.texts(3, SOON).await?;
        let wanted = ["one", "two words", "naïve – 配置"].map(|line| format!("{line}{end}"));
        ensure!(texts == wanted, "{query:?}: {texts:?}");
    }
    Ok(())
}

async fn batches(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut warm = Logs::open(&node, &panel, "").await?;
    core.say("a\nb\nc\n")?;
    warm.until("c", SOON).await?;
    let mut logs = Logs::open(&node, &panel, "&interval=1.5").await?;
    // The very first line goes at once and alone, then the rest of the replay together.
    ensure!(
        logs.text(SOON).await? == format!("{READY}\n"),
        "the first message is another"
    );
    let first = Instant::now();
    ensure!(logs.text(SOON).await? == "a\nb\nc\n", "the second message is another");
    let apart = first.elapsed();
    ensure!(
        (millis(1_300)..secs(6)).contains(&apart),
        "the second message came after {apart:?}"
    );
    for round in 0..2 {
        let second = Instant::now();
        for line in ["d\n", "e\n"] {
            core.say(line)?;
            tokio::time::sleep(millis(200)).await;
        }
        core.say("f\n")?;
        let text = logs.text(SOON).await?;
        ensure!(text == "d\ne\nf\n", "round {round}: {text:?}");
        let apart = second.elapsed();
        ensure!(
            (millis(1_300)..secs(6)).contains(&apart),
            "round {round}: after {apart:?}"
        );
    }
    Ok(())
}

/// The rest of a batch goes when its time has come, even if no further line does.
async fn last_batch(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut logs = Logs::open(&node, &panel, "&interval=0.7").await?;
    logs.text(SOON).await?;
    core.say("the last words\n")?;
    let begin = Instant::now();
    ensure!(logs.text(secs(5)).await? == "the last words\n", "other words");
    ensure!(begin.elapsed() < secs(3), "they came after {:?}", begin.elapsed());
    Ok(())
}

async fn nan(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut logs = Logs::open(&node, &panel, "&interval=nan").await?;
    core.say("nobody hears this\n")?;
    let message = logs.message(secs(3)).await;
    ensure!(message.is_err(), "{message:?} came");
    // It lives, and ends like the others.
    Panel::connect(&node).await?;
    let (code, reason) = logs.closed(CLOSED).await?;
    ensure!(code == 1000 && reason.is_empty(), "{code} {reason:?}");
    Ok(())
}

async fn across_restarts(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    for round in 1..=3 {
        panel.restart(CONFIG).await?.expect(200)?;
        ensure!(logs.text(SOON).await? == READY, "round {round}: another line");
        core.life(round).await?;
        core.say(&format!("round {round}\n"))?;
        ensure!(
            logs.text(SOON).await? == format!("round {round}"),
            "round {round}: another line"
        );
    }
    panel.tell("/stop").await?.expect(200)?;
    core.script("say:the next core;ready;follow")?;
    panel.start(CONFIG).await?.expect(200)?;
    ensure!(logs.texts(2, SOON).await? == ["the next core", READY], "other lines");
    Ok(())
}

async fn closed_by_session(scene: Scene) -> Result<()> {
    let (node, _core, panel) = running(&scene).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    let mut batches = Logs::open(&node, &panel, "&interval=10").await?;
    let new = Panel::connect(&node).await?;
    for old in [&mut logs, &mut batches] {
        let (code, reason) = old.closed(CLOSED).await?;
        ensure!(code == 1000 && reason.is_empty(), "a new session: {code} {reason:?}");
    }
    let mut logs = Logs::open(&node, &new, "").await?;
    let mut anybody = Https::open(node.address, new.login()).await?;
    anybody.ask(&request("/disconnect", b"")).await?.expect(200)?;
    let (code, reason) = logs.closed(CLOSED).await?;
    ensure!(code == 1000 && reason.is_empty(), "disconnect: {code} {reason:?}");
    // And nothing stays open behind it.
    let end = logs.message(CLOSED).await;
    ensure!(matches!(end, Ok(None) | Err(_)), "{end:?}");
    Ok(())
}

async fn closed_by_shutdown(scene: Scene) -> Result<()> {
    let (mut node, _core, panel) = running(&scene).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    logs.text(SOON).await?;
    node.process.signal(Signal::TERM)?;
    let (code, _) = logs.closed(SOON).await?;
    ensure!(code == 1012, "it was closed with {code}");
    let status = node.process.exit(SOON).await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

async fn client_talks(scene: Scene) -> Result<()> {
    let (node, core, panel) = running(&scene).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    logs.text(SOON).await?;
    logs.send(Message::text("hello")).await?;
    logs.send(Message::binary(vec![0, 159, 146, 150])).await?;
    logs.send(Message::text("x".repeat(20_000))).await?;
    logs.send(Message::Ping("are you there".into())).await?;
    let message = logs.message(SOON).await?;
    ensure!(message == Some(Message::Pong("are you there".into())), "{message:?}");
    core.say("still here\n")?;
    ensure!(logs.text(SOON).await? == "still here", "another line");
    // A client's own farewell is answered.
    logs.send(Message::Close(None)).await?;
    let message = logs.message(SOON).await?;
    ensure!(matches!(message, Some(Message::Close(_)) | None), "{message:?}");
    Ok(())
}

async fn many_readers(scene: Scene) -> Result<()> {
    const READERS: usize = 30;
    let (node, core, panel) = running(&scene).await?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut logs = Logs::open(&node, &panel, "").await?;
        logs.text(SOON).await?;
        readers.push(logs);
    }
    core.say(&(1..=90).map(|n| format!("line {n}\n")).collect::<String>())?;
    let wanted: Vec<String> = (1..=90).map(|n| format!("line {n}")).collect();
    for (number, logs) in readers.iter_mut().enumerate() {
        let texts = logs.texts(90, SOON).await?;
        ensure!(texts == wanted, "reader {number} got {texts:?}");
    }
    Ok(())
}

async fn stuck_reader(scene: Scene) -> Result<()> {
    const LINES: usize = 600;
    let (node, core, panel) = running(&scene).await?;
    let mut good = Logs::open(&node, &panel, "").await?;
    good.text(SOON).await?;
    let mut stuck = Logs::open(&node, &panel, "").await?;
    // Far more than the sockets' buffers take, so that the node cannot get rid of it.
    let long = "x".repeat(60_000);
    for round in 0..LINES / 50 {
        let lines: String = (0..50).map(|n| format!("{round} {n} {long}\n")).collect();
        core.say(&lines)?;
        core.say(&format!("end of round {round}\n"))?;
        good.until(&format!("end of round {round}"), SOON).await?;
    }
    let took = panel.beside().ping().await?;
    ensure!(took < secs(1), "a ping took {took:?}");
    core.say("the very last line\n")?;
    good.until("the very last line", SOON).await?;
    // The oldest lines are dropped, the newest arrive.
    let seen = stuck.until("the very last line", SOON).await?;
    ensure!(
        seen.len() < LINES,
        "{} lines were kept for a reader that did not read",
        seen.len()
    );
    Ok(())
}

async fn odd_lines(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "err:an error;ready;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    panel.start(CONFIG).await?.expect(200)?;
    core.life(1).await?;
    // Standard error has a pipe of its own: which of the two comes first is open.
    let mut texts = logs.texts(2, SOON).await?;
    texts.sort();
    ensure!(texts == [READY, "an error"], "{texts:?}");
    // A line may come in pieces, and may be longer than any buffer.
    core.say("half")?;
    tokio::time::sleep(millis(200)).await;
    core.say(" a line\n")?;
    ensure!(logs.text(SOON).await? == "half a line", "another line");
    let long = "long ".repeat(100_000);
    core.say(&format!("{long}\nshort\n"))?;
    let seen = logs.until("short", SOON).await?;
    ensure!(
        seen[0].starts_with("long long"),
        "the long line is {:?}...",
        &seen[0][..20]
    );
    Ok(())
}
