//! The node as a process: its end, what it leaves behind, what a core can do to it, what it writes.

use crate::harness::fake_core::{FakeCore, NORMAL, READY};
use crate::harness::https::Https;
use crate::harness::logs::Logs;
use crate::harness::node::{Node, Setup, gone};
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::process::Signal;
use crate::harness::tunnel::not_listening;
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::process")
        .once("sigterm_ends_node_and_core_within_2_s", sigterm)
        .once("a_second_sigterm_leaves_nothing_of_the_core", sigterm_twice)
        .once("sigterm_during_a_start", sigterm_during_a_start)
        .once("sigterm_with_a_log_that_nobody_reads", sigterm_unread)
        .once("kill_9_leaves_no_core", kill_9)
        .once("kill_9_during_a_start_leaves_no_core", kill_9_during_a_start)
        .once("a_core_has_the_memory_pages_of_any_program", memory_pages)
        .once("a_core_that_floods_standard_error", stderr_flood)
        .once("a_core_that_floods_standard_output_before_it_is_ready", stdout_flood)
        .once("restarts_of_a_core_leave_nothing", restarts)
        .once("clients_that_read_nothing_and_leave", rude_clients)
        .once("what_is_logged", log_lines)
        .once("debug_echoes_the_core", debug)
        .done()
}

/// Twice the 2 s of the contract.
const ENDS: Duration = secs(4);

/// SIGTERM: how long the node took, whose core has to be gone by then.
async fn ends_well(node: &mut Node, core: u32) -> Result<()> {
    let begin = Instant::now();
    node.process.signal(Signal::TERM)?;
    let status = node.process.exit(ENDS).await?;
    ensure!(status.code() == Some(0), "the status is {status}");
    gone(core, ENDS.saturating_sub(begin.elapsed()).max(millis(100))).await?;
    not_listening(node.address, secs(1)).await.map(drop)
}

/// Whoever sends a second one waits for no core, and finds nothing of it: not even what it has forked.
async fn sigterm_twice(scene: Scene) -> Result<()> {
    let (core, child) = (scene.file("xray"), scene.file("child"));
    let forever = "trap '' TERM; while :; do sleep 1; done";
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && exec echo 'Xray 26.3.27 (a core of the tests)'\ncat > /dev/null\n\
         sh -c \"echo \\$\\$ > {}; {forever}\" &\necho '{READY}'\n{forever}\n",
        child.display()
    );
    scene.script(&core, &script)?;
    let mut node = Setup::new(&scene, &core)?.start().await?;
    Panel::connect(&node).await?.start(CONFIG).await?.expect(200)?;
    let read = || async { Ok(std::fs::read_to_string(&child)?.trim().parse::<u32>()?) };
    let (child, _) = eventually(SOON, "the core's child", read).await?;
    let core = node.core()?;
    for _ in 0..2 {
        node.process.signal(Signal::TERM)?;
        tokio::time::sleep(millis(100)).await;
    }
    node.process.exit(ENDS).await?;
    for process in [core, child] {
        gone(process, secs(1)).await?;
    }
    Ok(())
}

async fn sigterm(scene: Scene) -> Result<()> {
    for script in [
        NORMAL,
        "ignore-term;ready;follow",
        "ignore-term;ready;lines:10000",
        "slow-term:500;ready;follow",
    ] {
        let (mut node, core) = Node::start(&scene, script).await?;
        let mut panel = Panel::connect(&node).await?;
        panel.start(CONFIG).await?.expect(200)?;
        // The original waits for connections like these.
        let _idle = Https::open(node.address, panel.login()).await?;
        let _silent = TcpStream::connect(node.address).await?;
        let _logs = Logs::open(&node, &panel, "").await?;
        let mut unread = Https::open(node.address, panel.login()).await?;
        for _ in 0..20 {
            unread.send(&request("/", b"")).await?;
        }
        let core = core.life(1).await?.pid;
        ends_well(&mut node, core)
            .await
            .with_context(|| format!("a core that does {script:?}"))?;
    }
    // Without a core, and by the other signal.
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let _panel = Panel::connect(&node).await?;
    node.process.signal(Signal::INT)?;
    let status = node.process.exit(ENDS).await?;
    ensure!(status.code() == Some(0), "SIGINT: the status is {status}");
    Ok(())
}

/// Standard output is a pipe that is full, and thousands of lines wait for it.
async fn sigterm_unread(scene: Scene) -> Result<()> {
    const REQUESTS: usize = 8_000;
    let core = FakeCore::new(&scene, NORMAL)?;
    let setup = Setup::new(&scene, &core.executable())?;
    let (unread, stdout) = std::io::pipe()?;
    let mut node = setup
        .spawn_to(stdout.into(), scene.file("node.out"))?
        .listening()
        .await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let mut connection = Https::open(node.address, panel.login()).await?;
    for _ in 0..REQUESTS {
        connection.ask(&request("/", b"")).await?.expect(200)?;
    }
    let pid = node.core()?;
    ends_well(&mut node, pid).await?;
    drop(unread);
    Ok(())
}

async fn sigterm_during_a_start(scene: Scene) -> Result<()> {
    let (mut node, core) = Node::start(&scene, "ignore-term;sleep:60000").await?;
    let panel = Panel::connect(&node).await?;
    let mut starting = panel.beside();
    let start = tokio::spawn(async move { starting.start(CONFIG).await });
    let core = core.life(1).await?.pid;
    ends_well(&mut node, core).await?;
    // Whatever it gets, it gets it now.
    let _ = within(SOON, "the waiting client is told", start).await?;
    Ok(())
}

async fn kill_9(scene: Scene) -> Result<()> {
    for script in [NORMAL, "ignore-term;ready;follow"] {
        let (mut node, core) = Node::start(&scene, script).await?;
        let mut panel = Panel::connect(&node).await?;
        panel.start(CONFIG).await?.expect(200)?;
        panel.restart(CONFIG).await?.expect(200)?;
        let core = core.life(2).await?.pid;
        node.process.kill()?;
        gone(core, secs(2))
            .await
            .with_context(|| format!("a core that does {script:?}"))?;
    }
    Ok(())
}

async fn kill_9_during_a_start(scene: Scene) -> Result<()> {
    let mut dice = scene.dice();
    for round in 0..10 {
        let (mut node, core) = Node::start(&scene, "ignore-term;sleep:60000").await?;
        let panel = Panel::connect(&node).await?;
        let mut starting = panel.beside();
        let start = tokio::spawn(async move { starting.start(CONFIG).await });
        // At any moment: before the fork, between fork and exec, behind it.
        tokio::time::sleep(Duration::from_micros(dice.below(8_000))).await;
        node.process.kill()?;
        let _ = within(SOON, "the client is told", start).await?;
        tokio::time::sleep(millis(300)).await;
        for life in core.lives()? {
            gone(life.pid, secs(2))
                .await
                .with_context(|| format!("round {round}"))?;
        }
    }
    Ok(())
}

/// The node keeps to small pages; its core, which the kernel would let inherit that, does not.
async fn memory_pages(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    Panel::connect(&node).await?.start(CONFIG).await?.expect(200)?;
    let huge_pages = |process: &str| -> Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find(|line| line.starts_with("THP_enabled:"));
        Ok(line.context("the kernel tells of huge pages")?.trim_end().to_owned())
    };
    let (own, core) = (huge_pages("self")?, huge_pages(&node.core()?.to_string())?);
    ensure!(core == own, "here {own:?}, in the core {core:?}");
    let of_node = huge_pages(&node.process.pid().to_string())?;
    ensure!(of_node.ends_with('0'), "in the node {of_node:?}");
    Ok(())
}

async fn stderr_flood(scene: Scene) -> Result<()> {
    // More than a pipe takes, before and after it is ready.
    let (node, core) = Node::start(&scene, "flood:1024;ready;flood:4096;follow").await?;
    let mut panel = Panel::connect(&node).await?;
    let begin = Instant::now();
    panel.start(CONFIG).await?.expect(200)?;
    ensure!(
        begin.elapsed() < secs(3),
        "the start took {:?}: its core was held up",
        begin.elapsed()
    );
    core.life(1).await?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    let look = || async {
        core.say("through\n")?;
        logs_has(&node, &panel, "through").await
    };
    eventually(SOON, "the core is through with its flood", look).await?;
    logs.until("through", SOON).await?;
    // A core that only complains there, and ends.
    core.script("flood:1024;err:the last words;exit:23")?;
    let answer = panel.restart(CONFIG).await?.expect(503)?.json()?;
    ensure!(answer["detail"].is_string(), "{answer}");
    Ok(())
}

/// Whether a line is among the last hundred.
async fn logs_has(node: &Node, panel: &Panel, line: &str) -> Result<()> {
    let mut logs = Logs::open(node, panel, "").await?;
    while let Ok(text) = logs.text(millis(500)).await {
        if text == line {
            return Ok(());
        }
    }
    bail!("the line is not there")
}

async fn stdout_flood(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, "count:50000;ready;sleep:60000").await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let mut logs = Logs::open(&node, &panel, "").await?;
    let texts = logs.texts(100, SOON).await?;
    ensure!(texts[0] == "line 49902", "the replay begins with {:?}", texts[0]);
    Ok(())
}

async fn restarts(scene: Scene) -> Result<()> {
    const WARM_UP: usize = 5;
    const RESTARTS: usize = 20;
    const GROWTH_KIB: u64 = 2 << 10;
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let mut panel = Panel::connect(&node).await?;
    let _reader = Logs::open(&node, &panel, "").await?;
    let mut before = (0, 0, 0);
    for round in 0..WARM_UP + RESTARTS {
        if round == WARM_UP {
            tokio::time::sleep(millis(500)).await;
            before = (
                node.threads()?,
                node.process.descriptors()?,
                node.process.resident_kib()?,
            );
        }
        // Some fail, some have to be killed.
        core.script(match round % 5 {
            3 => "ready;exit:1",
            4 => "say:no;exit:23",
            _ => NORMAL,
        })?;
        let answer = panel.restart(CONFIG).await?;
        ensure!(matches!(answer.status(), 200 | 503), "{:?}", answer.head);
    }
    let look = || async {
        let after = (node.threads()?, node.process.descriptors()?);
        ensure!(
            after.0 <= before.0 && after.1 <= before.1,
            "threads, descriptors: {before:?} before, {after:?} after"
        );
        ensure!(node.zombies()?.is_empty(), "zombies: {:?}", node.zombies()?);
        Ok(())
    };
    eventually(secs(15), "nothing is left of the restarts", look).await?;
    let after = node.process.resident_kib()?;
    ensure!(
        after <= before.2 + GROWTH_KIB,
        "memory: {} KiB before, {after} after",
        before.2
    );
    Ok(())
}

async fn rude_clients(scene: Scene) -> Result<()> {
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let panel = Panel::connect(&node).await?;
    panel.beside().ping().await?;
    tokio::time::sleep(millis(300)).await;
    let before = node.process.descriptors()?;
    for number in 0..60 {
        let mut client = Https::open(node.address, panel.login()).await?;
        match number % 4 {
            // Many questions, no ear for the answers.
            0 => client.send(&request("/", b"").repeat(500)).await?,
            // Half of a head, half of a body.
            1 => client.send(b"POST /start HTTP/1.1\r\nhost: node.te").await?,
            2 => {
                client
                    .send(b"POST /start HTTP/1.1\r\nhost: node.test\r\ncontent-length: 900000\r\n\r\n{")
                    .await?
            }
            _ => {}
        }
        drop(client);
    }
    let look = || async {
        let now = node.process.descriptors()?;
        ensure!(now <= before, "{before} descriptors before, {now} now");
        Ok(())
    };
    eventually(SOON, "they are forgotten", look).await?;
    panel.beside().ping().await?;
    ensure!(node.process.exited()?.is_none(), "the node has ended");
    Ok(())
}

async fn log_lines(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    let setup = Setup::new(&scene, &core.executable())?;
    let node = setup.start().await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    panel.start(CONFIG).await?.expect(503)?;
    panel.restart(CONFIG).await?.expect(200)?;
    panel.tell("/stop").await?.expect(200)?;
    core.script("say:Failed to start: a reason;exit:23")?;
    panel.start(CONFIG).await?.expect(503)?;
    panel.start("5").await?.expect(500)?;
    panel.post("/disconnect", &serde_json::json!({})).await?;
    let session = &panel.session;
    let lines = [
        format!("INFO: Node service running on :{}", node.address.port()),
        format!("127.0.0.1 connected, Session ID = \"{session}\"."),
        "Restarting Xray core...".to_owned(),
        "Xray core stopped".to_owned(),
        "Failed to start core: ".to_owned(),
        format!("127.0.0.1 disconnected, Session ID = \"{session}\"."),
    ];
    for line in lines {
        let level = ["INFO: ", "WARNING: ", "ERROR: "];
        let said = line.split_once("INFO: ").map_or(line.as_str(), |(_, said)| said);
        let look = || async {
            let log = node.process.log();
            let found = log
                .lines()
                .any(|line| line.contains(said) && level.iter().any(|level| line.starts_with(level)));
            found.then_some(()).with_context(|| format!("no such line in\n{log}"))
        };
        eventually(secs(5), &format!("the log has {said:?}"), look).await?;
    }
    // The access log.
    for (request, status) in [
        ("POST /connect HTTP/1.1", "200 OK"),
        ("POST /start HTTP/1.1", "200 OK"),
        ("POST /start HTTP/1.1", "503 Service Unavailable"),
        ("POST /start HTTP/1.1", "500 Internal Server Error"),
    ] {
        let look = || async {
            let out = node.out();
            let found = out.lines().any(|line| {
                line.starts_with("INFO:     127.0.0.1:") && line.ends_with(&format!(" - \"{request}\" {status}"))
            });
            found.then_some(()).with_context(|| format!("no such line in\n{out}"))
        };
        eventually(secs(5), &format!("the access log has {request:?} {status}"), look).await?;
    }
    // A line with fields.
    node.process.signal(Signal::USR1)?;
    node.process.logs(SOON, "gauges").await?;
    node.process.logs(SOON, "dropped_lines=0").await?;
    let color = node.out().contains('\u{1b}') || node.process.log().contains('\u{1b}');
    ensure!(!color, "there are colours in a file");
    Ok(())
}

async fn debug(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    for (value, echoed) in [("true", true), ("false", false)] {
        let mut setup = Setup::new(&scene, &core.executable())?;
        setup.set("DEBUG", value);
        let node = setup.start().await?;
        let mut panel = Panel::connect(&node).await?;
        panel.start(CONFIG).await?.expect(200)?;
        let mut logs = Logs::open(&node, &panel, "").await?;
        core.say("an unmistakable line\n")?;
        logs.until("an unmistakable line", SOON).await?;
        tokio::time::sleep(millis(500)).await;
        let said = node.process.log() + &node.out();
        ensure!(
            said.contains("an unmistakable line") == echoed,
            "DEBUG={value}:\n{said}"
        );
        panel.tell("/stop").await?.expect(200)?;
    }
    Ok(())
}
