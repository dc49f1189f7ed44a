//! Byte-exact transfer, both directions, many visitors, every order of ends.

use crate::harness::exchange::complete;
use crate::harness::visitor::{End, connect_from, read_end, receive, send, talk};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("transfer")
        .faults("visitor_that_reads_nothing_for_60_s_gets_every_byte", parked_visitor)
        .lanes("slow_reader_does_not_stall_a_fast_one", slow_reader)
        .faults("every_size_crosses_byte_exact_in_both_directions", sizes)
        .faults("server_first_protocols_work", server_first)
        .faults("half_close_by_the_visitor_still_gets_the_answer", visitor_half_closes)
        .faults("half_close_by_the_target_still_takes_the_rest", target_half_closes)
        .lanes("interactive_traffic_crosses_message_by_message", interactive)
        .busy()
        .faults("64_mib_cross_byte_exact_in_both_directions", big)
        .faults("two_thousand_visitors_at_once", crowd)
        .done()
}

const MIB: u64 = 1 << 20;

async fn sizes(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for size in [0, 1, 4095, 64 * 1024, 64 * 1024 + 1, MIB + 7] {
        for (down, up) in [(size, 0), (0, size), (size, size)] {
            transfer(&scene, &target, tunnel.public, down, up).await?;
        }
    }
    Ok(())
}

async fn big(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for (down, up) in [(64 * MIB, 0), (0, 64 * MIB), (16 * MIB, 16 * MIB)] {
        transfer(&scene, &target, tunnel.public, down, up).await?;
    }
    Ok(())
}

/// One transfer that has to be complete at both ends.
async fn transfer(scene: &Scene, target: &Exchange, public: SocketAddr, down: u64, up: u64) -> Result<()> {
    let plan = Plan {
        seed: scene.stream_seed(),
        down,
        up,
        pause: Duration::ZERO,
    };
    let what = format!("{down} bytes down, {up} up");
    within(secs(90), &what, complete(public, plan))
        .await?
        .context(what.clone())?;
    let look = || async { target.seen(plan.seed)?.context("the target is not done") };
    let (seen, _) = eventually(SOON, &what, look).await?;
    ensure!(seen.is_complete(up), "{what}: the target saw {seen:?}");
    Ok(())
}

async fn crowd(scene: Scene) -> Result<()> {
    const VISITORS: u64 = 2_000;
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        // The sizes differ, so that one visitor's bytes at another's end would be seen by their number, too.
        let plan = Plan {
            seed: scene.stream_seed(),
            down: 10_000 + number,
            up: 5_000 + number,
            pause: secs(2),
        };
        visitors.spawn(async move { (plan, complete(tunnel.public, plan).await) });
    }
    let peak = async {
        let look = || async {
            ensure!(target.accepted() >= VISITORS, "{} at the target", target.accepted());
            Ok(())
        };
        eventually(secs(60), "all visitors reach the target", look).await
    };
    peak.await?;
    while let Some(done) = within(secs(60), "every visitor is served", visitors.join_next()).await? {
        let (plan, outcome) = done?;
        outcome.with_context(|| format!("{plan:?}"))?;
        let look = || async { target.seen(plan.seed)?.context("the target is not done") };
        let (seen, _) = eventually(SOON, "the target is done", look).await?;
        ensure!(seen.is_complete(plan.up), "the target saw {seen:?} of {plan:?}");
    }
    Ok(())
}

async fn server_first(scene: Scene) -> Result<()> {
    let target = Target::greeter(&scene, "220 welcome\r\n")?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for _ in 0..5 {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        let mut greeting = [0; 13];
        within(SOON, "the greeting", visitor.read_exact(&mut greeting)).await??;
        ensure!(&greeting == b"220 welcome\r\n", "the greeting is {greeting:?}");
        within(SOON, "the talk", talk(&mut visitor, b"EHLO there")).await??;
    }
    Ok(())
}

async fn visitor_half_closes(scene: Scene) -> Result<()> {
    // The target answers only after it has read to the end, and takes its time.
    let target = Target::serve(&scene, |mut stream| async move {
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).await.is_ok() {
            tokio::time::sleep(secs(1)).await;
            let mut answer = Pattern::new(request.len() as u64);
            let _ = send(&mut stream, &mut answer, 3 * MIB).await;
            let _ = stream.shutdown().await;
        }
    })?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for request in [0_usize, 1, 70_000] {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        visitor.write_all(&vec![7; request]).await?;
        visitor.shutdown().await?;
        let mut pattern = Pattern::new(request as u64);
        let answer = receive(&mut visitor, &mut pattern, 3 * MIB);
        within(SOON, "the answer after a half-close", answer).await??;
        let end = within(SOON, "the end of the answer", read_end(&mut visitor)).await??;
        ensure!(
            end == (0, End::Clean),
            "the answer to {request} bytes ended with {end:?}"
        );
    }
    Ok(())
}

async fn target_half_closes(scene: Scene) -> Result<()> {
    // The target says its piece and ends it; what the visitor sends afterwards must still arrive, with its end.
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(&scene, move |mut stream| {
        let report = report.clone();
        async move {
            let _ = stream.write_all(b"that is all from me").await;
            let _ = stream.shutdown().await;
            let mut check = Pattern::new(5);
            let outcome = receive(&mut stream, &mut check, 2 * MIB).await;
            let end = read_end(&mut stream).await;
            let _ = report.send((outcome, end));
        }
    })?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    let mut words = String::new();
    within(SOON, "the target's words and end", visitor.read_to_string(&mut words)).await??;
    ensure!(words == "that is all from me", "the target's words are {words:?}");
    tokio::time::sleep(millis(500)).await;
    send(&mut visitor, &mut Pattern::new(5), 2 * MIB).await?;
    visitor.shutdown().await?;
    let (outcome, end) = within(SOON, "the target's report", reports.recv())
        .await?
        .context("no report")?;
    outcome?;
    ensure!(end? == (0, End::Clean), "the visitor's end did not arrive as an end");
    Ok(())
}

async fn interactive(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    visitor.set_nodelay(true)?;
    for round in 0..500_u32 {
        let key = round.to_le_bytes();
        within(
            SOON,
            "one key stroke",
            talk(&mut visitor, &key[..1 + round as usize % 4]),
        )
        .await??;
    }
    Ok(())
}

/// The source never stops by itself; the slow visitor takes a little now and then, the fast one everything.
async fn slow_reader(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let slow_plan = Plan {
        seed: scene.stream_seed(),
        down: 32 * MIB,
        up: 0,
        pause: Duration::ZERO,
    };
    let mut slow = TcpStream::connect(tunnel.public).await?;
    let mut head = Vec::new();
    [slow_plan.seed, slow_plan.down, 0]
        .iter()
        .for_each(|word| head.extend(word.to_le_bytes()));
    slow.write_all(&head).await?;
    // By now every buffer on the way of the slow one is full.
    tokio::time::sleep(secs(2)).await;
    let fast = async {
        for _ in 0..4 {
            let plan = Plan {
                seed: scene.stream_seed(),
                ..slow_plan
            };
            within(secs(20), "32 MiB next to a slow reader", complete(tunnel.public, plan)).await??;
        }
        anyhow::Ok(())
    };
    let slowly = async {
        let mut pattern = Pattern::new(slow_plan.seed);
        for _ in 0..20 {
            receive(&mut slow, &mut pattern, 4096).await?;
            tokio::time::sleep(millis(100)).await;
        }
        receive(&mut slow, &mut pattern, slow_plan.down - 20 * 4096).await
    };
    let (fast, slowly) = tokio::join!(fast, slowly);
    fast.context("the fast visitors")?;
    slowly.context("the slow visitor")
}

async fn parked_visitor(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let plan = Plan {
        seed: scene.stream_seed(),
        down: 24 * MIB,
        up: 0,
        pause: Duration::ZERO,
    };
    let mut parked = connect_from(scene.ip(2), tunnel.public).await?;
    let mut head = Vec::new();
    [plan.seed, plan.down, 0]
        .iter()
        .for_each(|word| head.extend(word.to_le_bytes()));
    parked.write_all(&head).await?;
    // Meanwhile others come and go: a parked visitor is nobody else's business.
    for _ in 0..60 {
        let other = Plan {
            seed: scene.stream_seed(),
            down: 50_000,
            up: 1_000,
            pause: Duration::ZERO,
        };
        within(SOON, "a visit next to a parked one", complete(tunnel.public, other)).await??;
        tokio::time::sleep(secs(1)).await;
    }
    let seen = async {
        receive(&mut parked, &mut Pattern::new(plan.seed), plan.down).await?;
        parked.shutdown().await?;
        read_end(&mut parked).await
    };
    let end = within(secs(30), "every byte for the parked visitor", seen).await??;
    ensure!(end == (0, End::Clean), "the parked visitor's stream ended with {end:?}");
    let after = Plan {
        seed: scene.stream_seed(),
        ..plan
    };
    within(SOON, "a visit afterwards", complete(tunnel.public, after)).await?
}
