//! One direction of a connection that does what networks do.

use super::Dice;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What goes wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Both ends see the end of the stream at this time.
    Cut(Instant),
    /// From this time on bytes vanish.
    Swallow(Instant),
    /// The piece with this number has one bit changed.
    Tamper(u64),
}

/// Bytes on their way, in order.
pub(super) struct Direction {
    fault: Fault,
    pieces: u64,
    queue: VecDeque<(Instant, Vec<u8>)>,
    last: Instant,
    end: Option<Instant>,
    pub(super) tampered: bool,
}

impl Direction {
    pub(super) fn new(now: Instant, fault: Fault) -> Self {
        Self {
            fault,
            pieces: 0,
            queue: VecDeque::new(),
            last: now,
            end: None,
            tampered: false,
        }
    }

    pub(super) fn send(&mut self, now: Instant, mut bytes: &[u8], stalls: bool, dice: &mut Dice) {
        while !bytes.is_empty() && self.end.is_none() {
            let length = 1 + dice.below(bytes.len() as u64) as usize;
            let (piece, rest) = bytes.split_at(length);
            bytes = rest;
            let mut delay = Duration::from_millis(1 + dice.below(100));
            if stalls && dice.below(40) == 0 {
                delay += Duration::from_secs(1 + dice.below(8));
            }
            self.last = self.last.max(now + delay);
            let mut piece = piece.to_vec();
            if self.fault == Fault::Tamper(self.pieces) {
                let bit = dice.below(piece.len() as u64 * 8) as usize;
                piece[bit / 8] ^= 1 << (bit % 8);
                self.tampered = true;
            }
            self.pieces += 1;
            let lost = match self.fault {
                Fault::Cut(at) | Fault::Swallow(at) => self.last >= at,
                Fault::None | Fault::Tamper(_) => false,
            };
            if !lost {
                self.queue.push_back((self.last, piece));
            }
        }
    }

    /// The sender is done: the receiver sees the end after everything else, if it sees anything.
    pub(super) fn finish(&mut self, now: Instant) {
        let swallowed = matches!(self.fault, Fault::Swallow(at) if self.last.max(now) >= at);
        if !swallowed {
            self.end.get_or_insert(self.last.max(now));
        }
    }

    /// What arrives at `now`.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.queue.pop_front_if(|(at, _)| *at <= now).map(|(_, piece)| piece)
    }

    /// Whether the end arrives at `now`, once.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        let cut = matches!(self.fault, Fault::Cut(at) if at <= now);
        let ends = cut || self.queue.is_empty() && self.end.is_some_and(|end| end <= now);
        if ends {
            self.fault = Fault::None;
            self.end = Some(now + Duration::from_secs(1 << 30));
            self.queue.clear();
        }
        ends
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let cut = match self.fault {
            Fault::Cut(at) => Some(at),
            _ => None,
        };
        [self.queue.front().map(|(at, _)| *at), self.end, cut]
            .into_iter()
            .flatten()
            .min()
    }
}
