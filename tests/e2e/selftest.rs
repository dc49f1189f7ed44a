//! The harness itself: a tool that calls a lie honest would make every other test worthless.

use crate::harness::exchange::{complete, visit};
use crate::harness::netns::Netns;
use crate::harness::tap::{Tap, Way};
use crate::harness::tunnel::{is_listening, listening, not_listening};
use crate::harness::visitor::{End, connect_in, expect_reset, reset, send, talk, visit as short_visit};
use crate::harness::*;
use libtest_mimic::Trial;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("selftest")
        .once("pattern_finds_the_first_wrong_byte", pattern_finds_wrong_byte)
        .once("exchange_is_complete_without_a_tunnel", plain_exchange)
        .once("exchange_sees_a_clean_end_with_bytes_missing", sees_the_lie)
        .once("reset_and_clean_end_are_told_apart", tells_ends_apart)
        .once("tap_records_and_changes", tap_works)
        .once("listening_is_seen_without_connecting", sees_listening)
        .once("namespaces_are_linked_and_routed", routed_namespaces)
        .done()
}

async fn pattern_finds_wrong_byte(_: Scene) -> Result<()> {
    for (len, wrong) in [(1, 0), (100, 99), (4096, 17), (4099, 4098)] {
        let mut bytes = vec![0; len];
        Pattern::new(7).fill(&mut bytes);
        // Checked in pieces of another size than it was written.
        let mut check = Pattern::new(7);
        bytes.chunks(13).try_for_each(|piece| check.check(piece))?;
        bytes[wrong] ^= 1;
        let error = Pattern::new(7).check(&bytes).expect_err("a wrong byte is found");
        ensure!(
            error.to_string().contains(&format!("byte {wrong} ")),
            "the message is {error}"
        );
        let mut shifted = vec![0; len + 8];
        Pattern::new(7).fill(&mut shifted);
        ensure!(
            len < 2 || Pattern::new(7).check(&shifted[1..]).is_err(),
            "a lost byte is not found"
        );
    }
    Ok(())
}

async fn plain_exchange(scene: Scene) -> Result<()> {
    let target = Exchange::start(&scene)?;
    for (down, up) in [(0, 0), (1, 0), (0, 1), (3_000_000, 2_000_000)] {
        let plan = Plan {
            seed: scene.stream_seed(),
            down,
            up,
            pause: Duration::ZERO,
        };
        complete(target.address(), plan).await?;
        let look = || async { target.seen(plan.seed)?.context("not done") };
        let (seen, _) = eventually(SOON, "the target is done", look).await?;
        ensure!(seen.is_complete(up), "the target saw {seen:?}");
    }
    ensure!(target.accepted() == 4, "{} connections", target.accepted());
    Ok(())
}

async fn sees_the_lie(scene: Scene) -> Result<()> {
    // This is how other tunnels end a cut download: with a FIN.
    let target = Target::serve(&scene, |mut stream| async move {
        let _ = send(&mut stream, &mut Pattern::new(77), 5_000).await;
        let _ = stream.shutdown().await;
        let _ = visitor::read_end(&mut stream).await;
    })?;
    let plan = Plan {
        seed: 77,
        down: 10_000,
        up: 0,
        pause: Duration::ZERO,
    };
    let seen = visit(&mut TcpStream::connect(target.address()).await?, plan).await?;
    ensure!(
        seen.honest(plan.down, "a visitor").is_err(),
        "the lie was believed: {seen:?}"
    );
    ensure!(!seen.is_complete(plan.down), "5,000 bytes were taken for 10,000");
    Ok(())
}

async fn tells_ends_apart(scene: Scene) -> Result<()> {
    let resetting = Target::serve(&scene, |stream| async move {
        let _ = stream.readable().await;
        let _ = reset(stream);
    })?;
    let plan = Plan {
        seed: 1,
        down: 10,
        up: 5_000_000,
        pause: Duration::ZERO,
    };
    for _ in 0..20 {
        let seen = visit(&mut TcpStream::connect(resetting.address()).await?, plan).await?;
        ensure!(seen.end == End::Reset, "a reset was taken for {seen:?}");
    }
    let ending = Target::serve(&scene, |stream| async move { drop(stream) })?;
    let mut visitor = TcpStream::connect(ending.address()).await?;
    ensure!(
        expect_reset(&mut visitor, SOON).await.is_err(),
        "a clean end was taken for a reset"
    );
    Ok(())
}

async fn tap_works(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tap = Tap::start(&scene, target.address())?;
    short_visit(tap.address()).await?;
    let [up, down] = [tap.bytes(Way::ToServer), tap.bytes(Way::ToClient)];
    ensure!(
        up == down && up == [b"is anybody there?".to_vec()],
        "the tap recorded {up:?} and {down:?}"
    );
    let flip = Arc::new(|way, offset, bytes: &mut [u8]| {
        if way == Way::ToServer && offset == 0 {
            bytes[0] ^= 1;
        }
    });
    let tap = Tap::start_changing(&scene, target.address(), flip)?;
    ensure!(
        short_visit(tap.address()).await.is_err(),
        "a changed byte was not noticed"
    );
    Ok(())
}

async fn sees_listening(scene: Scene) -> Result<()> {
    let address = scene.address();
    ensure!(!is_listening(address, None)?, "nothing listens yet");
    let target = Target::echo_at(address, None)?;
    listening(address, None, SOON).await?;
    ensure!(target.accepted() == 0, "looking made a connection");
    drop(target);
    not_listening(address, SOON).await?;
    Ok(())
}

async fn routed_namespaces(_: Scene) -> Result<()> {
    let [left, router, right] = [Netns::new()?, Netns::new()?, Netns::new()?];
    left.link("10.1.0.2".parse()?, &router, "10.1.0.1".parse()?, "left")?;
    right.link("10.2.0.2".parse()?, &router, "10.2.0.1".parse()?, "right")?;
    left.ip("route add default via 10.1.0.1")?;
    right.ip("route add default via 10.2.0.1")?;
    router.forward()?;
    let echo = Target::echo_at("10.2.0.2:7".parse()?, Some(&right))?;
    let mut visitor = connect_in(&left, echo.address()).await?;
    talk(&mut visitor, b"through").await?;
    router.ip("rule add pref 1 from 10.1.0.0/24 blackhole")?;
    let cut = tokio::time::timeout(millis(500), talk(&mut visitor, b"lost?")).await;
    ensure!(cut.is_err(), "the path is not cut");
    router.ip("rule del pref 1")?;
    // What was sent during the cut comes back first, by retransmission.
    let mut back = [0; 5];
    within(
        SOON,
        "the path heals",
        tokio::io::AsyncReadExt::read_exact(&mut visitor, &mut back),
    )
    .await??;
    ensure!(&back == b"lost?", "the bytes after the cut are {back:?}");
    Ok(())
}
