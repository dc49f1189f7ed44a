//! Cores that are slow, hang, or leave something behind (`spec/node-panel.md`, Rules for us and 4.4).

use super::{Stage, backend};
use crate::harness::calls::*;
use crate::harness::node::{gone, signal};
use crate::harness::panel::Panel;
use crate::harness::xray::{Inbounds, Users};
use crate::harness::{provision, *};
use kariz_proto::panel::{BaseInfoResponse, Empty, StatRequest, StatResponse, User};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Longer than a core has for its ready line, and the API of one that has said it for its first answers.
const PAUSE_S: u32 = 9;

/// A node whose core begins with a pause if `slow` is there, and never begins if `never` is.
struct Slow {
    stage: Stage,
    slow: PathBuf,
    never: PathBuf,
}

impl Slow {
    async fn new(scene: &Scene) -> Result<Self> {
        let [slow, never] = ["slow", "never"].map(|name| scene.file(name));
        let run = format!(
            "[ -e {} ] && exec sleep 1000\n[ -e {} ] && sleep {PAUSE_S}",
            never.display(),
            slow.display()
        );
        std::fs::write(&slow, "")?;
        let stage = Stage::wrapped(scene, &run, &[]).await?;
        Ok(Self { stage, slow, never })
    }
}

/// A core that reads for longer than the node waits for its ready line; and a call that does not wait for it.
pub(super) async fn slow(scene: Scene) -> Result<()> {
    let Slow { stage, never, .. } = Slow::new(&scene).await?;
    let panel = &stage.panel;
    let info: BaseInfoResponse = panel.ok(START, &stage.backend()).await?;
    ensure!(info.started, "{info:?}");

    // The next one never gets that far. A panel that stops it, and one that starts another, need not wait.
    std::fs::write(&never, "")?;
    let core = stage.node.core()?;
    signal(core, Signal::KILL)?;
    let core = stage.node.core_after(core).await?;
    let hears = || async {
        let outcome = panel.call(STATS, &StatRequest::default()).await?;
        (!outcome.is_ok())
            .then_some(())
            .context("the core that is gone is asked")
    };
    eventually(SOON, "the core is not there", hears).await?;
    std::fs::remove_file(&never)?;
    let begin = Instant::now();
    panel.ok::<BaseInfoResponse>(START, &stage.backend()).await?;
    // Of its own pause; the core before it would have had a minute.
    ensure!(begin.elapsed() < 2 * secs(PAUSE_S.into()), "{:?}", begin.elapsed());
    gone(core, SOON).await?;
    panel.ok::<StatResponse>(STATS, &StatRequest::default()).await?;
    panel.ok::<Empty>(STOP, &Empty {}).await.map(drop)
}

/// A core that cannot take a user, as its inbound is gone: the next one has both.
pub(super) async fn without_inbound(scene: Scene) -> Result<()> {
    let folder = scene.file("generated");
    let variables = [("GENERATED_CONFIG_PATH", folder.to_str().context("a path is text")?)];
    let stage = Stage::keyed(&scene, &variables).await?;
    stage.start().await?;
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    users.move_data(&scene, 1_000).await?;

    let written = || async {
        Ok(serde_json::from_slice::<Value>(&std::fs::read(
            folder.join("xray.json"),
        )?)?)
    };
    let (config, _) = eventually(SOON, "the configuration is written down", written).await?;
    let api = format!("--server=127.0.0.1:{}", config["inbounds"][0]["port"]);
    let [vless, _] = Inbounds::users();
    let tag = vless["inbounds"][0].as_str().context("he is in an inbound")?;
    let removed = std::process::Command::new(provision::xray()?)
        .args(["api", "rmi", &api, tag])
        .output()?;
    ensure!(removed.status.success(), "{removed:?}");
    ensure!(
        users.move_data(&scene, 1_000).await.is_err(),
        "the inbound is still there"
    );

    let core = stage.node.core()?;
    let comes = User {
        email: "7.sue".into(),
        ..super::user(&vless)
    };
    stage.panel.ok::<Empty>(SYNC_USER, &comes).await?;
    stage.node.core_after(core).await?;
    eventually(BACK, "the users are back", || users.move_data(&scene, 1_000)).await?;
    Ok(())
}

/// A panel that gives its start up before the core is there, and repeats it: the core goes on.
pub(super) async fn impatient(scene: Scene, wire: Wire) -> Result<()> {
    const PATIENCE: Duration = secs(2);
    let Slow { stage, slow, .. } = Slow::new(&scene).await?;
    let panel = stage.panel.over(wire);
    // Once while it comes up, once when it is there.
    for waits in [false, true] {
        panel.break_off(START, &stage.backend(), PATIENCE).await?;
        let core = stage.node.core()?;
        if waits {
            let is_up = || async {
                let info: BaseInfoResponse = panel.ok(INFO, &Empty {}).await?;
                info.started.then_some(()).context("it is not started")
            };
            eventually(SOON, "the core comes up although nobody waits", is_up).await?;
        }
        let info: BaseInfoResponse = panel.ok(START, &stage.backend()).await?;
        ensure!(info.started && stage.node.core()? == core, "it was started anew");
        panel.ok::<StatResponse>(STATS, &StatRequest::default()).await?;
        if !waits {
            panel.ok::<Empty>(STOP, &Empty {}).await?;
        }
    }
    // With other users it is still the same core, and has those.
    panel.ok::<Empty>(STOP, &Empty {}).await?;
    panel.break_off(START, &stage.backend(), PATIENCE).await?;
    let core = stage.node.core()?;
    let mut other = stage.backend();
    other.users.retain(|user| user.email != "1.alice");
    panel.ok::<BaseInfoResponse>(START, &other).await?;
    ensure!(stage.node.core()? == core, "it was started anew for other users");
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    let through = || async { users.through_shadowsocks(&scene, 1_000).await };
    eventually(SOON, "who stayed gets through", through).await?;
    let kept_out = || async {
        let moved = users.through_vless(&scene, 1_000).await;
        moved.is_err().then_some(()).context("who went still gets through")
    };
    eventually(SOON, "who went is kept out", kept_out).await?;
    // A start that was heard of is made again, and so is one of something else.
    std::fs::remove_file(&slow)?;
    panel.ok::<BaseInfoResponse>(START, &other).await?;
    ensure!(stage.node.core()? != core, "it was not started anew");
    std::fs::write(&slow, "")?;
    panel.break_off(START, &other, PATIENCE).await?;
    let core = stage.node.core()?;
    std::fs::remove_file(&slow)?;
    other.keep_alive = 1_000;
    panel.ok::<BaseInfoResponse>(START, &other).await?;
    ensure!(stage.node.core()? != core, "another start is taken for the same");
    Ok(())
}

/// Starts that were given up, one after the other: none of them is waited for.
pub(super) async fn given_up(scene: Scene) -> Result<()> {
    const STARTS: usize = 5;
    let Slow { stage, .. } = Slow::new(&scene).await?;
    let panel = &stage.panel;
    for number in 0..STARTS {
        let mut backend = stage.backend();
        backend.keep_alive = 1_000 + number as u64;
        panel.break_off(START, &backend, millis(300)).await?;
    }
    let begin = Instant::now();
    panel.ok::<Empty>(STOP, &Empty {}).await?;
    // One core has to end, and none of them to come up.
    ensure!(begin.elapsed() < secs(5), "{:?}", begin.elapsed());
    let none = || async {
        stage
            .node
            .children()?
            .is_empty()
            .then_some(())
            .context("there is a core")
    };
    eventually(SOON, "no core is left", none).await.map(drop)
}

/// A core that ends long after its launch is quoted, too.
pub(super) async fn last_words(scene: Scene) -> Result<()> {
    let run = "echo some first words\nsleep 4\necho some last words\nexit 7";
    let stage = Stage::wrapped(&scene, run, &[]).await?;
    let outcome = stage.panel.call(START, &stage.backend()).await?;
    let words = "; recent xray logs:\nsome first words\nsome last words";
    ensure!(
        outcome.code == 503 && outcome.text.trim_end().ends_with(words),
        "{outcome:?}"
    );
    Ok(())
}

/// Users who change while a core comes up: nobody waits for it, and it has them when it is there.
pub(super) async fn meanwhile(scene: Scene) -> Result<()> {
    let Slow { stage, .. } = Slow::new(&scene).await?;
    let panel = &stage.panel;
    let mut backend = stage.backend();
    let [alice, bob] = backend.users.clone().try_into().ok().context("two users")?;
    backend.users = vec![bob.clone()];
    panel.ok::<BaseInfoResponse>(START, &backend).await?;
    let core = stage.node.core()?;
    signal(core, Signal::KILL)?;
    let core = stage.node.core_after(core).await?;
    // Behind the time that the node waits for its ready line.
    tokio::time::sleep(secs(4)).await;
    let gone = User {
        inbounds: Vec::new(),
        ..bob
    };
    let begin = Instant::now();
    for user in [&alice, &gone] {
        panel.ok::<Empty>(SYNC_USER, user).await?;
    }
    let (took, info) = (begin.elapsed(), panel.ok::<BaseInfoResponse>(INFO, &Empty {}).await?);
    ensure!(!info.started || took < secs(1), "they waited for the core: {took:?}");
    let target = Target::echo(&scene)?;
    let users = Users::start(&scene, stage.inbounds, target.address()).await?;
    let through = || async { users.through_vless(&scene, 1_000).await };
    eventually(BACK, "who came meanwhile gets through", through).await?;
    ensure!(
        users.through_shadowsocks(&scene, 1_000).await.is_err(),
        "who went meanwhile still gets through"
    );
    ensure!(stage.node.core()? == core, "the core was restarted");
    Ok(())
}

/// The socket that a killed core leaves does not keep the next one from listening there.
pub(super) async fn sockets(scene: Scene) -> Result<()> {
    // The path of a socket is short.
    let folder = tempfile::tempdir()?;
    let (socket, other) = (folder.path().join("vless.sock"), folder.path().join("file"));
    std::fs::write(&other, "no socket")?;
    let stage = Stage::keyed(&scene, &[]).await?;
    let listening = |mut config: Value| {
        config["inbounds"][1]["listen"] = format!("{},0666", socket.display()).into();
        config
    };
    let config = listening(stage.inbounds.empty_config());
    stage.panel.ok::<BaseInfoResponse>(START, &backend(&config)).await?;
    is_open(&socket).await?;
    let core = stage.node.core()?;
    signal(core, Signal::KILL)?;
    stage.node.core_after(core).await?;
    is_open(&socket).await?;
    eventually(SOON, "the core answers", || async {
        stage.panel.ok::<StatResponse>(STATS, &StatRequest::default()).await
    })
    .await?;
    ensure!(
        !stage.node.process.log().contains("address already in use"),
        "a start failed"
    );

    // So it is with panels of the other kind, which start a core again themselves.
    stage.panel.ok::<Empty>(STOP, &Empty {}).await?;
    let certified = Stage::certified(&scene, &[]).await?;
    let mut panel = Panel::connect(&certified.node).await?;
    let config = listening(certified.inbounds.panel_config());
    panel.start(&config.to_string()).await?.expect(200)?;
    is_open(&socket).await?;
    let core = certified.node.core()?;
    signal(core, Signal::KILL)?;
    gone(core, SOON).await?;
    ensure!(socket.exists(), "the core has removed its socket itself");
    let starts = || async {
        let answer = panel.beside().start(&config.to_string()).await?;
        answer.expect(200)
    };
    eventually(SOON, "the core starts again", starts).await?;
    is_open(&socket).await?;
    ensure!(other.exists(), "something else was removed");
    Ok(())
}

async fn is_open(socket: &Path) -> Result<()> {
    let connect = || async { Ok(UnixStream::connect(socket).await?) };
    eventually(SOON, "somebody listens at the socket", connect)
        .await
        .map(drop)
}
