//! Two panels that ask one node for its statistics.

use super::{Stage, suite};
use crate::harness::bridge::Bridge;
use crate::harness::doors::{Doors, Held};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::usage::{Traffic, Usage};
use crate::harness::*;
use libtest_mimic::Trial;
use std::cell::Cell;
use tokio::sync::watch;

pub(super) fn trials() -> Vec<Trial> {
    suite().once("two_panels_share_the_statistics", share).done()
}

/// Questions of each panel.
const QUESTIONS: usize = 30;

/// An answer, and when it was asked for and came.
struct Answer {
    asked: Instant,
    came: Instant,
    usage: Usage,
}

async fn share(scene: Scene) -> Result<()> {
    let protocols = [Protocol::Vless, Protocol::Trojan];
    let members = [Member::new(1, &protocols), Member::new(2, &protocols)];
    let stage = Stage::new(&scene, &protocols).await?;
    let mut grpc = stage.started("grpc", &members).await?;
    let mut rest = stage.panel("rest")?;
    let [vless, trojan] = stage.servers[..] else {
        bail!("two inbounds")
    };
    let doors = Doors::start(&scene, &[(&members[0], vless), (&members[1], trojan)]).await?;
    let mut held = Vec::new();
    for door in doors.all() {
        held.push(Held::open(*door, &scene, stage.echo()).await?);
    }

    let (of_grpc, of_rest) = asked_meanwhile(&mut grpc, &mut rest, &mut held, false).await?;
    grows(of_grpc.iter().chain(&of_rest))?;
    let moved = moved(&members, &held);
    for panel in [&mut grpc, &mut rest] {
        let usage = panel.usage(false).await?;
        ensure!(usage == moved, "{usage:?} instead of {moved:?}");
    }

    let (of_grpc, of_rest) = asked_meanwhile(&mut grpc, &mut rest, &mut held, true).await?;
    let mut sum = rest.usage(true).await?;
    let got = of_grpc.iter().chain(&of_rest);
    let got = got.filter(|answer| answer.usage.values().any(|traffic| traffic.uplink > 0));
    ensure!(got.count() > 1, "hardly anything was asked for while data flowed");
    for (email, traffic) in of_grpc.into_iter().chain(of_rest).flat_map(|answer| answer.usage) {
        *sum.entry(email).or_default() += traffic;
    }
    let moved = self::moved(&members, &held);
    ensure!(sum == moved, "all resets together are {sum:?} instead of {moved:?}");
    Ok(())
}

/// What the two users have moved since the start.
fn moved(members: &[Member], held: &[Held]) -> Usage {
    let of_one = |(member, held): (&Member, &Held)| (member.email.clone(), Traffic::of_echo(held.moved()));
    members.iter().zip(held).map(of_one).collect()
}

/// Has both panels ask while data flows.
async fn asked_meanwhile(
    grpc: &mut Bridge,
    rest: &mut Bridge,
    held: &mut [Held],
    reset: bool,
) -> Result<(Vec<Answer>, Vec<Answer>)> {
    let asking = Cell::new(2);
    let pieces = watch::Sender::new(0);
    let [first, second] = held else {
        bail!("two connections")
    };
    let (of_grpc, of_rest, (), ()) = tokio::try_join!(
        answers(grpc, reset, &asking, pieces.subscribe()),
        answers(rest, reset, &asking, pieces.subscribe()),
        flow(first, &asking, &pieces),
        flow(second, &asking, &pieces),
    )?;
    Ok((of_grpc, of_rest))
}

/// Asks whenever something has moved since the last question.
async fn answers(
    panel: &mut Bridge,
    reset: bool,
    asking: &Cell<u8>,
    mut pieces: watch::Receiver<u64>,
) -> Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        pieces.changed().await?;
        let asked = Instant::now();
        let usage = panel.usage(reset).await?;
        let came = Instant::now();
        answers.push(Answer { asked, came, usage });
    }
    asking.set(asking.get() - 1);
    Ok(answers)
}

/// Moves data as long as somebody asks.
async fn flow(held: &mut Held, asking: &Cell<u8>, pieces: &watch::Sender<u64>) -> Result<()> {
    while asking.get() > 0 {
        held.move_data(10_007).await?;
        pieces.send_modify(|pieces| *pieces += 1);
    }
    Ok(())
}

/// Whoever asks after an answer has come, on whatever transport, sees no less than was in it; and in the end it is more.
fn grows<'a>(answers: impl Iterator<Item = &'a Answer>) -> Result<()> {
    let mut answers: Vec<&Answer> = answers.collect();
    answers.sort_by_key(|answer| answer.came);
    for (index, before) in answers.iter().enumerate() {
        for after in answers[index..].iter().filter(|after| after.asked >= before.came) {
            let is_more = |(email, traffic): (&String, &Traffic)| {
                after
                    .usage
                    .get(email)
                    .is_some_and(|later| later.is_not_less_than(*traffic))
            };
            ensure!(
                before.usage.iter().all(is_more),
                "{:?} was followed by {:?}",
                before.usage,
                after.usage
            );
        }
    }
    let (first, last) = (answers.first().context("answers")?, answers.last().context("answers")?);
    ensure!(first.usage != last.usage, "nothing moved meanwhile");
    Ok(())
}
