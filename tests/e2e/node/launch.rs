//! When `/start` and `/restart` answer, and with what, for cores that do not behave.

use crate::harness::fake_core::NORMAL;
use crate::harness::node::{Node, gone, runs};
use crate::harness::panel::{CONFIG, Panel};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::launch")
        .once("an_answer_comes_as_soon_as_the_core_is_ready", ready)
        .once("an_answer_comes_as_soon_as_the_core_has_ended", ended)
        .once("without_a_ready_line_3_s_decide", never_ready)
        .once("a_core_that_dies_after_2_9_s", late_death)
        .once("a_start_beside_a_waiting_start_is_refused_at_once", second_start)
        .once(
            "a_restart_beside_a_waiting_restart_answers_with_the_state",
            second_restart,
        )
        .once("a_restart_waits_for_the_old_core", restart_waits)
        .once("a_core_that_ignores_sigterm_is_killed_before_the_next", stubborn)
        .once("the_last_line_is_of_this_life_and_of_standard_output", last_line)
        .once("a_core_that_does_not_read_its_configuration", deaf)
        .once("a_start_right_after_a_stop", start_after_stop)
        .once("a_client_that_leaves_does_not_stop_a_start", left_alone)
        .done()
}

/// The bound of the contract, counted from the core's start.
const READY_TIMEOUT: Duration = secs(3);

/// Well below [`READY_TIMEOUT`], on a busy machine.
const AT_ONCE: Duration = secs(2);

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let begin = Instant::now();
    Ok((work.await?, begin.elapsed()))
}

/// What a refusal says.
fn detail(answer: &crate::harness::https::Answer) -> Result<String> {
    let body = answer.json()?;
    Ok(body["detail"].as_str().context("a refusal has a detail")?.to_owned())
}

async fn ready(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let (answer, took) = timed(panel.start(CONFIG)).await?;
    answer.expect(200)?;
    ensure!(
        took < AT_ONCE,
        "a core that is ready at once is answered after {took:?}"
    );
    // The time in the line has no fraction in older cores, and the version may have a suffix.
    for line in [
        "2024/01/02 03:04:05 [Warning] core: Xray 1.8.24 started",
        "2026/03/27 10:20:30.405060 [Warning] core: Xray 26.3.27 started",
    ] {
        core.script(&format!(
            "say:Xray 26.3.27 (an opening);sleep:400;say:{line};sleep:60000"
        ))?;
        let (answer, took) = timed(panel.restart(CONFIG)).await?;
        answer.expect(200)?;
        ensure!(
            took >= millis(400),
            "{line:?}: answered before it was ready, after {took:?}"
        );
        ensure!(took < AT_ONCE, "{line:?}: answered after {took:?}");
    }
    Ok(())
}

async fn ended(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "say:Failed to start: no;exit:23").await?;
    let mut panel = Panel::connect(&node).await?;
    for path in ["/start", "/restart"] {
        let body = json!({ "session_id": panel.session, "config": CONFIG });
        let (answer, took) = timed(panel.post(path, &body)).await?;
        ensure!(
            detail(&answer.expect(503)?)? == "Failed to start: no",
            "{path} says something else"
        );
        ensure!(
            took < AT_ONCE,
            "{path} of a core that has ended is answered after {took:?}"
        );
        ensure!(!panel.started().await?, "it is started");
    }
    // A status of 0 is an end, too.
    core.script("say:Bye;exit:0")?;
    ensure!(
        detail(&panel.start(CONFIG).await?.expect(503)?)? == "Bye",
        "another detail"
    );
    Ok(())
}

async fn never_ready(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, "say:loglevel is none;sleep:60000").await?;
    let mut panel = Panel::connect(&node).await?;
    let (answer, took) = timed(panel.start(CONFIG)).await?;
    ensure!(answer.expect(200)?.json()?["started"] == true, "it is not started");
    ensure!(
        (READY_TIMEOUT - millis(200)..READY_TIMEOUT * 2).contains(&took),
        "answered after {took:?}"
    );
    let (answer, took) = timed(panel.restart(CONFIG)).await?;
    answer.expect(200)?;
    // The old core ends at once here, so only its own 3 s count.
    ensure!(took < READY_TIMEOUT * 2, "the restart is answered after {took:?}");
    Ok(())
}

async fn late_death(scene: Scene) -> Result<()> {
    // Ready or not: the answer has to be true when it is given.
    let (node, core) = Node::start(&scene, "say:half way;sleep:2900;say:Too late;exit:1").await?;
    let mut panel = Panel::connect(&node).await?;
    let (answer, took) = timed(panel.start(CONFIG)).await?;
    match answer.status() {
        503 => ensure!(detail(&answer)? == "Too late", "{:?}", answer.text()),
        // Its start took its own time: then it lived longer than 3 s.
        _ => ensure!(
            answer.status() == 200 && took >= READY_TIMEOUT,
            "{:?} after {took:?}",
            answer.head
        ),
    }
    ensure!(took < READY_TIMEOUT * 2, "answered after {took:?}");
    core.script("ready;sleep:2900;say:Too late;exit:1")?;
    let look = || async {
        ensure!(!panel.beside().started().await?, "the first core still runs");
        Ok(())
    };
    eventually(SOON, "the first core has ended", look).await?;
    panel.start(CONFIG).await?.expect(200)?;
    ensure!(panel.started().await?, "it is not started");
    let look = || async {
        ensure!(!panel.beside().started().await?, "it is started");
        Ok(())
    };
    let (_, took) = eventually(SOON, "its end is seen", look).await?;
    ensure!(took >= secs(1), "its end was seen after {took:?}");
    ensure!(node.zombies()?.is_empty(), "a zombie is left");
    Ok(())
}

async fn second_start(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "sleep:60000").await?;
    let mut panel = Panel::connect(&node).await?;
    let mut waiting = panel.beside();
    let first = tokio::spawn(async move { waiting.start(CONFIG).await });
    core.life(1).await?;
    let (answer, took) = timed(panel.start(CONFIG)).await?;
    ensure!(
        detail(&answer.expect(503)?)? == "Xray is started already",
        "another text"
    );
    ensure!(took < secs(1), "refused after {took:?}");
    ensure!(panel.started().await?, "`started` is false while a start waits");
    first.await??.expect(200)?;
    ensure!(core.lives()?.len() == 1, "two cores were started");
    Ok(())
}

async fn second_restart(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    core.script("sleep:1000;ready;follow")?;
    let mut waiting = panel.beside();
    let first = tokio::spawn(async move { waiting.restart(CONFIG).await });
    core.life(2).await?;
    let answer = panel.restart(CONFIG).await?.expect(200)?;
    ensure!(answer.json()?["started"] == true, "{:?}", answer.text());
    first.await??.expect(200)?;
    ensure!(core.lives()?.len() == 2, "the second restart started a core of its own");
    Ok(())
}

async fn restart_waits(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "slow-term:1000;ready;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let (answer, took) = timed(panel.restart(CONFIG)).await?;
    answer.expect(200)?;
    let lives = core.lives()?;
    ensure!(lives.len() == 2, "{} starts", lives.len());
    let ended = lives[0].ended.context("the old core ended by itself")?;
    ensure!(lives[1].began >= ended, "both cores ran at the same time");
    ensure!(took >= millis(900), "the restart was answered after {took:?}");
    Ok(())
}

async fn stubborn(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "ignore-term;ready;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let old = core.life(1).await?.pid;
    let begin = Instant::now();
    let (mut waiting, mut answered) = (panel.beside(), false);
    let restart = tokio::spawn(async move { waiting.restart(CONFIG).await });
    // Nobody else waits meanwhile.
    while begin.elapsed() < secs(1) {
        let took = panel.ping().await?;
        ensure!(took < secs(1), "a ping took {took:?}");
        answered |= restart.is_finished();
        tokio::time::sleep(millis(50)).await;
    }
    ensure!(!answered, "the restart was answered while the old core ran");
    restart.await??.expect(200)?;
    ensure!(!runs(old), "the old core still runs");
    ensure!(begin.elapsed() < secs(3) + AT_ONCE, "it took {:?}", begin.elapsed());
    let second = core.life(2).await?.pid;
    // Stop is not waited for, but it works.
    let (answer, took) = timed(panel.tell("/stop")).await?;
    ensure!(answer.expect(200)?.json()?["started"] == false, "it is started");
    ensure!(took < secs(1), "/stop was answered after {took:?}");
    gone(second, secs(3)).await?;
    Ok(())
}

async fn last_line(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "say:of the first life;exit:1").await?;
    let mut panel = Panel::connect(&node).await?;
    for (script, line) in [
        ("say:of the first life;exit:1", "of the first life"),
        // Nothing of an earlier life is told.
        ("exit:1", ""),
        ("say:  ;say:;exit:1", ""),
        ("say:out;err:not out;exit:1", "out"),
        ("say:one;say:two;say:;exit:23", "two"),
    ] {
        core.script(script)?;
        let answer = panel.start(CONFIG).await?.expect(503)?;
        ensure!(detail(&answer)? == line, "{script:?} gives {:?}", answer.text());
    }
    Ok(())
}

async fn deaf(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "deaf;exit:1").await?;
    let mut panel = Panel::connect(&node).await?;
    // More than fits into a pipe, so that writing it fails for certain.
    let config = json!({ "padding": "x".repeat(1 << 20) }).to_string();
    let answer = panel.start(&config).await?.expect(503)?;
    ensure!(detail(&answer)? == "[Errno 32] Broken pipe", "{:?}", answer.text());
    ensure!(!panel.started().await?, "it is started");
    // One that lives and does not read holds up nobody.
    core.script("deaf;sleep:60000")?;
    let mut waiting = panel.beside();
    let start = tokio::spawn(async move { waiting.start(&config).await });
    tokio::time::sleep(secs(1)).await;
    let took = panel.ping().await?;
    ensure!(took < secs(1), "a ping took {took:?}");
    let answer = within(READY_TIMEOUT * 2, "the start is answered", start).await???;
    ensure!(matches!(answer.status(), 200 | 503), "{:?}", answer.head);
    panel.tell("/stop").await?.expect(200)?;
    core.script(NORMAL)?;
    panel.start(CONFIG).await?.expect(200)?;
    Ok(())
}

async fn start_after_stop(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "slow-term:700;ready;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    for round in 1..=3 {
        panel.start(CONFIG).await?.expect(200)?;
        panel.tell("/stop").await?.expect(200)?;
        ensure!(!panel.started().await?, "round {round}: it is started");
    }
    panel.start(CONFIG).await?.expect(200)?;
    let lives = core.lives()?;
    ensure!(lives.len() == 4, "{} starts", lives.len());
    for pair in lives.windows(2) {
        let ended = pair[0].ended.context("a core ended by itself")?;
        ensure!(pair[1].began >= ended, "two cores ran at the same time");
    }
    ensure!(node.children()?.len() == 1, "{:?}", node.children()?);
    Ok(())
}

async fn left_alone(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "sleep:1000;ready;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    let mut leaving = panel.beside();
    let start = tokio::spawn(async move { leaving.start(CONFIG).await });
    core.life(1).await?;
    start.abort();
    tokio::time::sleep(secs(2)).await;
    ensure!(panel.started().await?, "the start ended with its client");
    ensure!(core.lives()?.len() == 1, "{} starts", core.lives()?.len());
    Ok(())
}
