//! `kariz relay`: bytes, honest ends, several remotes.

use crate::harness::exchange::{self, complete};
use crate::harness::tunnel::listening;
use crate::harness::visitor::{End, expect_reset, greeting, receive_to_end, reset, send, visit};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("relay")
        .drivers("every_size_crosses_byte_exact", sizes)
        .drivers("half_close_gets_the_answer", half_close)
        .drivers("resets_pass_in_both_directions", resets)
        .drivers("nobody_is_lied_to_when_the_relay_is_killed", killed)
        .once("failover_takes_the_first_that_works_and_goes_back", failover)
        .once("balance_takes_the_one_with_the_fewest_connections", balance)
        .once("a_dead_remote_is_out_and_comes_back", out_and_back)
        .once("names_are_remotes_too", names)
        .done()
}

const MIB: u64 = 1 << 20;
const REMOTES: &str = "relay.services.web.remote_addrs";

struct Relay {
    process: Kariz,
    public: SocketAddr,
}

impl Relay {
    async fn start(scene: &Scene, remotes: &[SocketAddr], strategy: &str) -> Result<Self> {
        let public = scene.address();
        let mut config = Config::new(scene);
        config.set("relay.services.web.bind_addr", public.to_string());
        config.set(REMOTES, remotes.iter().map(ToString::to_string).collect::<Vec<_>>());
        config
            .set("relay.services.web.strategy", strategy)
            .set("relay.services.web.dial_timeout", 2);
        let process = Kariz::start(scene, "relay", &config)?;
        listening(public, None, SOON).await?;
        Ok(Self { process, public })
    }
}

async fn sizes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let relay = Relay::start(&scene, &[target.address()], "failover").await?;
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 16 * MIB] {
        for (down, up) in [(size, 0), (0, size), (size, size)] {
            let plan = Plan {
                seed: scene.stream_seed(),
                down,
                up,
                pause: Duration::ZERO,
            };
            within(secs(60), "a transfer", complete(relay.public, plan)).await??;
            let look = || async { target.seen(plan.seed)?.context("not done") };
            let (seen, _) = eventually(SOON, "the target is done", look).await?;
            ensure!(seen.is_complete(up), "the target saw {seen:?} of {plan:?}");
        }
    }
    Ok(())
}

async fn half_close(scene: Scene) -> Result<()> {
    let target = Target::serve(&scene, |mut stream| async move {
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).await.is_ok() {
            tokio::time::sleep(secs(1)).await;
            let _ = send(&mut stream, &mut Pattern::new(request.len() as u64), MIB).await;
            let _ = stream.shutdown().await;
        }
    })?;
    let relay = Relay::start(&scene, &[target.address()], "failover").await?;
    let mut visitor = TcpStream::connect(relay.public).await?;
    visitor.write_all(b"request").await?;
    visitor.shutdown().await?;
    let mut pattern = Pattern::new(7);
    let end = within(SOON, "the answer", receive_to_end(&mut visitor, &mut pattern)).await??;
    ensure!(
        (pattern.offset(), end) == (MIB, End::Clean),
        "{} bytes and {end:?}",
        pattern.offset()
    );
    Ok(())
}

async fn resets(scene: Scene) -> Result<()> {
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(&scene, move |mut stream| {
        let report = report.clone();
        async move {
            let mut first = [0; 1];
            let _ = stream.read_exact(&mut first).await;
            if first == *b"r" {
                let _ = reset(stream);
            } else {
                let _ = report.send(visitor::read_end(&mut stream).await);
            }
        }
    })?;
    let relay = Relay::start(&scene, &[target.address()], "failover").await?;
    for _ in 0..5 {
        let mut visitor = TcpStream::connect(relay.public).await?;
        visitor.write_all(b"r").await?;
        expect_reset(&mut visitor, SOON).await?;
        let mut visitor = TcpStream::connect(relay.public).await?;
        visitor.write_all(b"mine").await?;
        tokio::time::sleep(millis(200)).await;
        reset(visitor)?;
        let (_, end) = within(SOON, "the target's report", reports.recv())
            .await?
            .context("no report")??;
        ensure!(end == End::Reset, "the target saw a clean end");
    }
    Ok(())
}

async fn killed(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let mut dice = scene.dice();
    for round in 0..5 {
        let mut relay = Relay::start(&scene, &[target.address()], "failover").await?;
        let mut visitors = JoinSet::new();
        for _ in 0..30 {
            let (down, up) = (50_000 + dice.below(MIB), 50_000 + dice.below(MIB));
            let plan = Plan {
                seed: scene.stream_seed(),
                down,
                up,
                pause: Duration::ZERO,
            };
            let mut stream = TcpStream::connect(relay.public).await?;
            visitors.spawn(async move { (plan, exchange::visit(&mut stream, plan).await) });
        }
        tokio::time::sleep(millis(dice.below(150))).await;
        relay.process.kill()?;
        while let Some(done) = within(SOON, "every visitor learns its fate", visitors.join_next()).await? {
            let (plan, seen) = done?;
            match seen {
                Ok(seen) => seen
                    .honest(plan.down, "a visitor")
                    .with_context(|| format!("round {round}"))?,
                Err(error) => ensure!(error.is::<std::io::Error>(), "{error:#}"),
            }
            if let Some(seen) = target.seen(plan.seed)? {
                seen.honest(plan.up, "the target")
                    .with_context(|| format!("round {round}"))?;
            }
        }
    }
    Ok(())
}

async fn becomes(public: SocketAddr, who: &str, limit: Duration) -> Result<()> {
    let look = || async {
        let answer = tokio::time::timeout(secs(12), greeting(public)).await??;
        ensure!(answer == who, "{answer:?} answers");
        Ok(())
    };
    eventually(limit, &format!("{who} answers"), look).await.map(drop)
}

fn say_at(address: SocketAddr, line: &'static str) -> Result<Target> {
    Target::serve_at(address, None, move |mut stream| async move {
        let _ = stream.write_all(line.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
}

async fn failover(scene: Scene) -> Result<()> {
    let first = scene.address();
    let second = Target::greeter(&scene, "second\n")?;
    let relay = Relay::start(&scene, &[first, second.address()], "failover").await?;
    // The first is not there: not one visitor may notice.
    for _ in 0..10 {
        ensure!(
            within(SOON, "a greeting", greeting(relay.public)).await?? == "second",
            "the second serves"
        );
    }
    let _first = say_at(first, "first\n")?;
    becomes(relay.public, "first", secs(60))
        .await
        .context("back to the first when it recovers")?;
    for _ in 0..10 {
        ensure!(
            within(SOON, "a greeting", greeting(relay.public)).await?? == "first",
            "the first serves"
        );
    }
    Ok(())
}

async fn balance(scene: Scene) -> Result<()> {
    let targets = [Target::echo(&scene)?, Target::echo(&scene)?, Target::echo(&scene)?];
    let relay = Relay::start(&scene, &targets.each_ref().map(Target::address), "balance").await?;
    let mut open = Vec::new();
    for _ in 0..30 {
        let mut visitor = TcpStream::connect(relay.public).await?;
        within(SOON, "a talk", visitor::talk(&mut visitor, b"hello")).await??;
        open.push(visitor);
    }
    let counts = targets.each_ref().map(Target::accepted);
    ensure!(counts == [10; 3], "30 visitors went {counts:?}");
    Ok(())
}

async fn out_and_back(scene: Scene) -> Result<()> {
    let absent = scene.address();
    let present = Target::greeter(&scene, "present\n")?;
    let relay = Relay::start(&scene, &[absent, present.address()], "balance").await?;
    for _ in 0..20 {
        ensure!(
            within(SOON, "a greeting", greeting(relay.public)).await?? == "present",
            "the other one serves"
        );
    }
    let back = say_at(absent, "back\n")?;
    becomes(relay.public, "back", secs(60))
        .await
        .context("a remote that works again is used again")?;
    drop(back);
    // Its listener is gone a moment later; who is still in its queue then is reset, and rightly so.
    let gone = || async {
        let refused = TcpStream::connect(absent).await.is_err();
        refused.then_some(()).context("it still takes connections")
    };
    eventually(SOON, "the remote is gone again", gone).await?;
    for _ in 0..20 {
        ensure!(
            within(SOON, "a greeting", greeting(relay.public)).await?? == "present",
            "the other one serves"
        );
    }
    Ok(())
}

async fn names(scene: Scene) -> Result<()> {
    let target = Target::echo_at(SocketAddr::new("127.0.0.1".parse()?, scene.address().port()), None)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config.set("relay.services.web.bind_addr", public.to_string());
    // This name usually has an IPv6 address as well, at which nobody listens.
    config.set(
        "relay.services.web.remote_addr",
        format!("localhost:{}", target.address().port()),
    );
    let _relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    for _ in 0..5 {
        within(SOON, "a visit", visit(public)).await??;
    }
    Ok(())
}
