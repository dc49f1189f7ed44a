//! Readers of logs that are too slow (`spec/node-panel.md`, Rules for us): they lose the oldest lines, hear how many, and
//! hold nobody up.

use super::{Stage, WIRES};
use crate::harness::calls::*;
use crate::harness::*;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kariz_proto::panel::{Empty, Log};
use prost::Message;

/// What the core says, and how long each line is: more than fits between the node and a reader who does not read.
const LINES: u64 = 60_000;
const LINE_BYTES: usize = 1_000;

/// Lines that the node keeps.
const KEPT: &str = "100";

/// What a reader has seen of lines that are numbered.
#[derive(Debug, Default)]
struct Seen {
    /// The number of the next one.
    next: u64,
    lost: u64,
}

impl Seen {
    /// Checks that this is the next line, or says how many there are not.
    fn line(&mut self, line: &str) -> Result<()> {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some(told) = line.strip_prefix("kariz: ") {
            let lost = told.strip_suffix(" lines are lost, for their reader is too slow");
            let lost: u64 = lost.context("there is nothing else to tell")?.parse()?;
            ensure!(lost > 0, "{line}");
            (self.next, self.lost) = (self.next + lost, self.lost + lost);
        } else {
            let number: u64 = first
                .parse()
                .with_context(|| format!("a line has a number: {first:?}"))?;
            ensure!(number == self.next, "{first} is not the line after {self:?}");
            self.next += 1;
        }
        Ok(())
    }

    /// Reads to the last line.
    async fn all(mut logs: Incoming, wire: Wire) -> Result<Self> {
        let (mut seen, mut unread) = (Self::default(), Vec::<u8>::new());
        while seen.next < LINES {
            let frame = logs.frame().await.context("the stream goes on")??;
            if let Ok(data) = frame.into_data() {
                unread.extend_from_slice(&data);
            }
            while let Some(line) = next_line(&mut unread, wire)? {
                seen.line(&line)?;
            }
        }
        Ok(seen)
    }
}

/// Takes a line, if all of it has come.
fn next_line(unread: &mut Vec<u8>, wire: Wire) -> Result<Option<String>> {
    if wire == Wire::Grpc {
        let Some(length) = unread.get(1..5) else {
            return Ok(None);
        };
        let end = 5 + u32::from_be_bytes(length.try_into()?) as usize;
        if unread.len() < end {
            return Ok(None);
        }
        let message: Vec<u8> = unread.drain(..end).skip(5).collect();
        return Ok(Some(Log::decode(&*message)?.detail));
    }
    let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let line: Vec<u8> = unread.drain(..=end).take(end).collect();
    Ok(Some(String::from_utf8(line)?))
}

pub(super) async fn lose_lines(scene: Scene) -> Result<()> {
    let [begin, done] = ["begin", "done"].map(|name| scene.file(name));
    // It says nothing before it is told to, and never starts: all lines are the test's.
    let run = format!(
        "while [ ! -e {} ]; do sleep 0.05; done\nnumber=0\nwhile [ $number -lt {LINES} ]; do\necho \"$number {}\"\n\
         number=$((number + 1))\ndone\n: > {}\nexec sleep 1000",
        begin.display(),
        "x".repeat(LINE_BYTES),
        done.display()
    );
    let stage = Stage::wrapped(&scene, &run, &[("LOG_BUFFER_SIZE", KEPT)]).await?;
    stage.panel.break_off(START, &stage.backend(), secs(1)).await?;
    let is_there = || async { stage.node.core() };
    eventually(SOON, "the core is on its way", is_there).await?;
    let mut readers = Vec::new();
    for wire in WIRES {
        let (logs, driver) = stage.panel.over(wire).send(LOGS, &Empty {}).await?;
        ensure!(logs.status() == 200, "{logs:?}");
        readers.push((wire, logs.into_body(), driver));
    }
    std::fs::write(&begin, "")?;
    // Nobody reads, and the core gets rid of all of it.
    let is_done = || async { done.exists().then_some(()).context("the core is held up") };
    eventually(BACK, "the core has said everything", is_done).await?;
    for (wire, logs, _driver) in readers {
        let seen = within(BACK, "the last line", Seen::all(logs, wire)).await?;
        let seen = seen.with_context(|| format!("over {wire:?}"))?;
        ensure!(
            seen.lost > 0 && seen.next == LINES,
            "nothing got lost over {wire:?}: {seen:?}"
        );
    }
    Ok(())
}
