//! An end is honest: nobody sees a clean end with bytes missing, nobody whose transfer was over sees a reset.

use crate::harness::exchange::visit;
use crate::harness::visitor::{End, expect_reset, read_end, receive_to_end, reset, send};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("honest")
        .faults("visitor_sees_reset_when_target_resets", target_resets)
        .faults("target_sees_reset_when_visitor_resets", visitor_resets)
        .faults("reset_after_half_close_is_a_reset", reset_after_half_close)
        .faults("a_target_that_refuses_resets_the_visitor", target_refuses)
        .faults(
            "what_was_over_survives_the_kill_of_the_client",
            client_killed_after_the_end,
        )
        .faults(
            "what_was_over_survives_the_kill_of_the_server",
            server_killed_after_the_end,
        )
        .busy()
        .faults("nobody_is_lied_to_when_the_client_is_killed", client_is_killed)
        .faults("nobody_is_lied_to_when_the_server_is_killed", server_is_killed)
        .faults(
            "nobody_is_lied_to_when_the_target_resets_at_random_moments",
            random_target_resets,
        )
        .done()
}

const MIB: u64 = 1 << 20;
/// Kills for each variant; the soak has the big number.
const ROUNDS: u64 = 6;
/// Transfers that are running or just over at each kill.
const CROWD: u64 = 40;

async fn target_resets(scene: Scene) -> Result<()> {
    let target = Target::serve(&scene, |mut stream| async move {
        let mut wanted = [0; 4];
        if stream.read_exact(&mut wanted).await.is_ok() {
            let _ = send(&mut stream, &mut Pattern::new(9), u64::from(u32::from_le_bytes(wanted))).await;
            let _ = reset(stream);
        }
    })?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for size in [0_u32, 1, 65_536, 65_537, 3_000_000] {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        visitor.write_all(&size.to_le_bytes()).await?;
        expect_reset(&mut visitor, SOON)
            .await
            .with_context(|| format!("after {size} bytes"))?;
    }
    Ok(())
}

/// A target that reports how each connection ended for it.
fn reporting_target(scene: &Scene) -> Result<(Target, tokio::sync::mpsc::UnboundedReceiver<(u64, End)>)> {
    let (report, reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(scene, move |mut stream| {
        let report = report.clone();
        async move {
            if let Ok(end) = read_end(&mut stream).await {
                let _ = report.send(end);
            }
        }
    })?;
    Ok((target, reports))
}

async fn visitor_resets(scene: Scene) -> Result<()> {
    let (target, mut reports) = reporting_target(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for size in [1, 65_536, 65_537, 3_000_000] {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        send(&mut visitor, &mut Pattern::new(9), size).await?;
        // The first byte has reached the target, so that the reset meets an open stream, not a waiting visitor.
        tokio::time::sleep(millis(300)).await;
        reset(visitor)?;
        let (count, end) = within(SOON, "the target's report", reports.recv())
            .await?
            .context("no report")?;
        ensure!(
            end == End::Reset,
            "the target saw a clean end after {count} of {size} bytes and a reset"
        );
    }
    Ok(())
}

async fn reset_after_half_close(scene: Scene) -> Result<()> {
    // The target's answer is cut by a reset after the visitor has ended its own direction.
    let target = Target::serve(&scene, |mut stream| async move {
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).await.is_ok() {
            let _ = send(&mut stream, &mut Pattern::new(9), 100_000).await;
            let _ = reset(stream);
        }
    })?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    for _ in 0..5 {
        let mut visitor = TcpStream::connect(tunnel.public).await?;
        visitor.write_all(b"request").await?;
        visitor.shutdown().await?;
        expect_reset(&mut visitor, SOON).await?;
    }
    Ok(())
}

async fn target_refuses(scene: Scene) -> Result<()> {
    let tunnel = Tunnel::start(&scene, scene.address()).await?;
    for _ in 0..5 {
        // The reset may come before the connection is seen as made: then it shows there.
        match TcpStream::connect(tunnel.public).await {
            Ok(mut visitor) => expect_reset(&mut visitor, SOON).await?,
            Err(error) => ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    Ok(())
}

/// Which process dies.
#[derive(Clone, Copy)]
enum Victim {
    Server,
    Client,
}

impl Victim {
    fn kill(self, tunnel: &mut Tunnel) -> Result<()> {
        match self {
            Self::Server => tunnel.server.kill(),
            Self::Client => tunnel.client.kill(),
        }
    }
}

async fn client_is_killed(scene: Scene) -> Result<()> {
    kill_rounds(scene, Victim::Client).await
}

async fn server_is_killed(scene: Scene) -> Result<()> {
    kill_rounds(scene, Victim::Server).await
}

async fn kill_rounds(scene: Scene, victim: Victim) -> Result<()> {
    let target = Exchange::start(&scene)?;
    let mut dice = scene.dice();
    let (mut cut, mut complete) = (0, 0);
    for round in 0..3 * ROUNDS {
        // A machine that is busy elsewhere may need more rounds until both fates have occurred.
        if round >= ROUNDS && cut > 0 && complete > 0 {
            break;
        }
        let mut tunnel = Tunnel::start(&scene, target.address()).await?;
        // One visit first: the kill has to meet transfers, not a session that is being made.
        let first = Plan {
            seed: scene.stream_seed(),
            down: 10,
            up: 10,
            pause: Duration::ZERO,
        };
        within(
            SOON,
            "the first visit",
            visit(&mut TcpStream::connect(tunnel.public).await?, first),
        )
        .await??;
        let mut visitors = JoinSet::new();
        for number in 0..CROWD {
            let large = 40_000 + dice.below(MIB / 2);
            let (down, up) = if number % 2 == 0 { (large, 100) } else { (100, large) };
            // Some take no time, some take as long as the visitors keep coming.
            let plan = Plan {
                seed: scene.stream_seed(),
                down,
                up,
                pause: millis(dice.below(15)),
            };
            visitors.spawn(visit_after(millis(dice.below(400)), tunnel.public, plan));
        }
        tokio::time::sleep(millis(50 + dice.below(450))).await;
        let killed = Instant::now();
        victim.kill(&mut tunnel)?;
        let mut outcomes = Vec::new();
        while let Some(done) = within(secs(60), "every visitor learns its fate", visitors.join_next()).await? {
            outcomes.push(done??);
        }
        // What reached the target ends there within this time; of a head that was lost it never hears.
        tokio::time::sleep(secs(1)).await;
        for (plan, seen) in outcomes {
            let story = format!("round {round}, {plan:?}");
            let at_target = target.seen(plan.seed)?;
            if let Some(at_target) = at_target {
                at_target.honest(plan.up, "the target").context(story.clone())?;
            }
            let Some(seen) = seen else { continue };
            seen.honest(plan.down, "a visitor").context(story.clone())?;
            let over = at_target.is_some_and(|t| t.over.max(seen.over) < killed);
            ensure!(
                !over || seen.is_complete(plan.down),
                "{story}: a visitor who was done saw {seen:?}"
            );
            if seen.is_complete(plan.down) {
                complete += 1
            } else {
                cut += 1
            }
        }
    }
    // Both fates must have occurred, otherwise the moments were not around the end of a transfer.
    ensure!(
        cut > 0 && complete > 0,
        "{cut} transfers were cut and {complete} complete: the test tested nothing"
    );
    Ok(())
}

/// A visitor that comes after `delay`. `None`: it came after the kill and was refused, which is honest.
async fn visit_after(delay: Duration, public: SocketAddr, plan: Plan) -> Result<(Plan, Option<Seen>)> {
    tokio::time::sleep(delay).await;
    let Ok(mut stream) = TcpStream::connect(public).await else {
        return Ok((plan, None));
    };
    match visit(&mut stream, plan).await {
        Ok(seen) => Ok((plan, Some(seen))),
        Err(error) if error.is::<std::io::Error>() => Ok((plan, None)),
        Err(error) => Err(error.context(format!("{plan:?}"))),
    }
}

/// The download is over and only waits to be read, the upload is not over: the kill may cut only the upload.
async fn finished_direction(scene: Scene, victim: Victim) -> Result<()> {
    const DOWN: u64 = 20_000;
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(&scene, move |mut stream| {
        let report = report.clone();
        async move {
            let _ = send(&mut stream, &mut Pattern::new(3), DOWN).await;
            let _ = stream.shutdown().await;
            let _ = report.send(read_end(&mut stream).await);
        }
    })?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    visitor.write_all(b"and then").await?;
    tokio::time::sleep(secs(2)).await;
    victim.kill(&mut tunnel)?;
    tokio::time::sleep(millis(500)).await;
    let mut pattern = Pattern::new(3);
    let end = within(
        SOON,
        "the finished download",
        receive_to_end(&mut visitor, &mut pattern),
    )
    .await??;
    ensure!(
        (pattern.offset(), end) == (DOWN, End::Clean),
        "{} of {DOWN} bytes and {end:?}",
        pattern.offset()
    );
    let (_, end) = within(SOON, "the target's report", reports.recv())
        .await?
        .context("no report")??;
    ensure!(
        end == End::Reset,
        "the target saw a clean end of an upload that was cut"
    );
    Ok(())
}

/// The upload is over and only waits to be read by a lazy target.
async fn finished_upload(scene: Scene, victim: Victim) -> Result<()> {
    const UP: u64 = 20_000;
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::serve(&scene, move |mut stream| {
        let report = report.clone();
        async move {
            tokio::time::sleep(secs(4)).await;
            let mut pattern = Pattern::new(4);
            let end = receive_to_end(&mut stream, &mut pattern).await;
            let _ = report.send((pattern.offset(), end));
        }
    })?;
    let mut tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut visitor = TcpStream::connect(tunnel.public).await?;
    send(&mut visitor, &mut Pattern::new(4), UP).await?;
    visitor.shutdown().await?;
    tokio::time::sleep(secs(2)).await;
    victim.kill(&mut tunnel)?;
    let (count, end) = within(SOON, "the target's report", reports.recv())
        .await?
        .context("no report")?;
    ensure!(
        (count, end?) == (UP, End::Clean),
        "the target saw {count} of {UP} bytes, or no clean end"
    );
    expect_reset(&mut visitor, SOON)
        .await
        .context("the answer that will never come")
}

async fn client_killed_after_the_end(scene: Scene) -> Result<()> {
    finished_direction(scene.clone(), Victim::Client)
        .await
        .context("download")?;
    finished_upload(scene, Victim::Client).await.context("upload")
}

async fn server_killed_after_the_end(scene: Scene) -> Result<()> {
    finished_direction(scene.clone(), Victim::Server)
        .await
        .context("download")?;
    finished_upload(scene, Victim::Server).await.context("upload")
}

async fn random_target_resets(scene: Scene) -> Result<()> {
    const VISITORS: u64 = 60;
    // The target resets some time around the moment at which everything is sent.
    let target = Target::serve(&scene, |mut stream| async move {
        let mut head = [0; 16];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let size = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
        let moment = u64::from_le_bytes(head[8..].try_into().expect("eight bytes"));
        let mut pattern = Pattern::new(size);
        let sending = send(&mut stream, &mut pattern, size);
        let _ = tokio::time::timeout(Duration::from_micros(moment), sending).await;
        let _ = reset(stream);
    })?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut dice = scene.dice();
    let mut visitors = JoinSet::new();
    for _ in 0..VISITORS {
        let (size, moment) = (1 + dice.below(MIB), dice.below(20_000));
        let delay = millis(dice.below(1_000));
        visitors.spawn(async move {
            tokio::time::sleep(delay).await;
            let mut stream = TcpStream::connect(tunnel.public).await?;
            stream
                .write_all(&[size.to_le_bytes(), moment.to_le_bytes()].concat())
                .await?;
            let mut pattern = Pattern::new(size);
            let end = receive_to_end(&mut stream, &mut pattern).await?;
            // The target never ends cleanly, so nobody may see a clean end, with or without all bytes.
            ensure!(
                end == End::Reset,
                "a clean end after {} of {size} bytes and a reset",
                pattern.offset()
            );
            anyhow::Ok(())
        });
    }
    while let Some(done) = within(SOON, "every visitor sees an end", visitors.join_next()).await? {
        done??;
    }
    Ok(())
}
