//! Pings, round-trip time, and noticing that a peer is gone (`spec/session.md`, Liveness).

use super::{MISSED_HEARTBEATS, Violation, wire};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most pings that wait for an answer; further ones are not sent.
const MAX_PINGS: usize = 16;

/// One end's view of its peer.
#[derive(Debug)]
pub(super) struct Liveness {
    start: Instant,
    heartbeat: Duration,
    last_received: Instant,
    next_ping: Instant,
    sequence: u64,
    /// Unanswered pings, oldest first.
    pings: VecDeque<(u64, Instant)>,
}

impl Liveness {
    pub(super) fn new(now: Instant, heartbeat: Duration) -> Self {
        Self {
            start: now,
            heartbeat,
            last_received: now,
            next_ping: now + heartbeat,
            sequence: 0,
            pings: VecDeque::new(),
        }
    }

    /// Bytes have arrived.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Whether the peer was silent for too long.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now >= self.silent_at()
    }

    /// The ping that the heartbeat asks for, if it is due.
    pub(super) fn heartbeat(&mut self, now: Instant) -> Option<wire::Ping> {
        if now < self.next_ping {
            return None;
        }
        self.next_ping = now + self.heartbeat;
        self.ping(now)
    }

    /// A ping, unless too many are unanswered.
    pub(super) fn ping(&mut self, now: Instant) -> Option<wire::Ping> {
        if self.pings.len() >= MAX_PINGS {
            return None;
        }
        self.sequence += 1;
        self.pings.push_back((self.sequence, now));
        let sent_us = now.saturating_duration_since(self.start).as_micros();
        Some(wire::Ping {
            sequence: self.sequence,
            sent_us: u64::try_from(sent_us).unwrap_or(u64::MAX),
        })
    }

    /// An answer arrived: the round-trip time. Answers come in order; skipped pings count as answered.
    pub(super) fn pong(&mut self, now: Instant, pong: &wire::Pong) -> Result<Duration, Violation> {
        let found = self.pings.iter().position(|(sequence, _)| *sequence == pong.sequence);
        let (_, sent) = found
            .and_then(|index| self.pings.drain(..=index).next_back())
            .ok_or(Violation::UnsolicitedPong)?;
        Ok(now.saturating_duration_since(sent))
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.silent_at().min(self.next_ping)
    }

    fn silent_at(&self) -> Instant {
        self.last_received + self.heartbeat * MISSED_HEARTBEATS
    }
}
