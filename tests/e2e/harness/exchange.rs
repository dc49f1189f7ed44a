//! Both ends of a transfer say what they saw: every byte checked, and whether the end was clean or a reset.
//!
//! The visitor begins with a head of 24 bytes (seed, bytes down, bytes up, little-endian); both ends then send their
//! bytes and a FIN, and read to the end at the same time.

use super::netns::Netns;
use super::pattern::Pattern;
use super::scene::Scene;
use super::target::Target;
use super::visitor::End;
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD: usize = 24;
const PIECE: usize = 32 * 1024;

/// One transfer.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Names the streams of both directions.
    pub seed: u64,
    /// Bytes from the target to the visitor.
    pub down: u64,
    /// Bytes from the visitor to the target, after the head.
    pub up: u64,
    /// Pause before each piece of 32 KiB, at both ends.
    pub pause: Duration,
}

/// What one end of a transfer saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Bytes received, all of them right.
    pub received: u64,
    /// How the receiving direction ended. A reset that only the writing half was told counts as a reset.
    pub end: End,
    /// Whether all bytes and the FIN were given to the kernel.
    pub sent_all: bool,
    /// When both directions were over.
    pub over: Instant,
}

impl Seen {
    /// Whether this end saw all `expected` bytes and a clean end, and could send everything.
    pub fn is_complete(&self, expected: u64) -> bool {
        self.received == expected && self.end == End::Clean && self.sent_all
    }

    /// Fails if the end was clean although bytes are missing: the lie that no transfer may tell.
    pub fn honest(&self, expected: u64, who: &str) -> Result<()> {
        let lie = self.end == End::Clean && self.received < expected;
        ensure!(
            !lie,
            "{who} saw a clean end after {} of {expected} bytes",
            self.received
        );
        Ok(())
    }
}

/// A target that takes part in transfers and remembers what it saw.
#[derive(Debug)]
pub struct Exchange {
    target: Target,
    seen: Arc<Mutex<HashMap<u64, Result<Seen, String>>>>,
}

impl Exchange {
    /// Listens at a fresh address.
    pub fn start(scene: &Scene) -> Result<Self> {
        Self::start_at(scene.address(), None, Duration::ZERO)
    }

    /// Listens at `address`, inside `netns` if there is one; pauses before each piece that it sends.
    pub fn start_at(address: SocketAddr, netns: Option<&Netns>, pause: Duration) -> Result<Self> {
        let seen: Arc<Mutex<HashMap<_, _>>> = Arc::default();
        let book = seen.clone();
        let target = Target::serve_at(address, netns, move |stream| {
            let book = book.clone();
            async move {
                let Ok((seed, outcome)) = serve(stream, pause).await else {
                    return;
                };
                book.lock()
                    .expect("no test panics with the book")
                    .insert(seed, outcome.map_err(|e| format!("{e:#}")));
            }
        })?;
        Ok(Self { target, seen })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.target.accepted()
    }

    /// What the target saw of a transfer; `None` while it goes on or when its head never arrived.
    pub fn seen(&self, seed: u64) -> Result<Option<Seen>> {
        match self.seen.lock().expect("no test panics with the book").get(&seed) {
            None => Ok(None),
            Some(Ok(seen)) => Ok(Some(*seen)),
            Some(Err(wrong)) => bail!("at the target: {wrong}"),
        }
    }
}

/// The target's part. Fails when the head does not arrive; the inner result fails on a wrong byte.
async fn serve(mut stream: TcpStream, pause: Duration) -> Result<(u64, Result<Seen>)> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes of the head"));
    let plan = Plan {
        seed: word(0),
        down: word(8),
        up: word(16),
        pause,
    };
    Ok((
        plan.seed,
        both_ways(
            &mut stream,
            Pattern::new(plan.seed),
            plan.down,
            Pattern::new(!plan.seed),
            pause,
        )
        .await,
    ))
}

/// The visitor's part on a connected stream.
pub async fn visit(stream: &mut TcpStream, plan: Plan) -> Result<Seen> {
    let mut head = [0; HEAD];
    for (place, word) in head.chunks_mut(8).zip([plan.seed, plan.down, plan.up]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    stream.write_all(&head).await.context("sending the head")?;
    both_ways(
        stream,
        Pattern::new(!plan.seed),
        plan.up,
        Pattern::new(plan.seed),
        plan.pause,
    )
    .await
}

/// Connects, transfers, and expects both directions to be complete at the visitor.
pub async fn complete(address: SocketAddr, plan: Plan) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    let seen = visit(&mut stream, plan).await?;
    ensure!(seen.is_complete(plan.down), "the visitor saw {seen:?} of {plan:?}");
    Ok(())
}

/// Sends `count` bytes and a FIN while reading to the end.
async fn both_ways(
    stream: &mut TcpStream,
    mut outgoing: Pattern,
    count: u64,
    mut incoming: Pattern,
    pause: Duration,
) -> Result<Seen> {
    let (mut reader, mut writer) = stream.split();
    // The kernel tells a reset only once: when the writer was told, the reader gets what looks like a clean end.
    let write_failed = AtomicBool::new(false);
    let sending = async {
        let sent = async {
            let mut buffer = vec![0; PIECE];
            let mut left = count;
            while left > 0 {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                outgoing.fill(&mut buffer[..piece]);
                writer.write_all(&buffer[..piece]).await?;
                left -= piece as u64;
            }
            writer.shutdown().await
        };
        let failed = sent.await.is_err();
        write_failed.store(failed, Ordering::Relaxed);
    };
    let receiving = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) if write_failed.load(Ordering::Relaxed) => return Ok(End::Reset),
                Ok(0) => return Ok(End::Clean),
                Ok(n) => incoming.check(&buffer[..n])?,
                Err(_) => return anyhow::Ok(End::Reset),
            }
        }
    };
    let ((), end) = tokio::join!(sending, receiving);
    let received = incoming.offset();
    Ok(Seen {
        received,
        end: end?,
        sent_all: !write_failed.load(Ordering::Relaxed),
        over: Instant::now(),
    })
}
