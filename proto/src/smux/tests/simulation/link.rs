//! One direction of a carrier: bytes arrive late, in pieces, after stalls, or not at all.

use super::Dice;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) struct Link {
    dice: Dice,
    delay: Duration,
    /// Bytes that may be on their way before the sender's socket is full.
    capacity: usize,
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    in_flight_bytes: usize,
    last_arrival: Instant,
    /// Nothing arrives from then on, and both ends learn of it.
    pub(super) cut_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(mut dice: Dice, delay: Duration, cut_at: Option<Instant>, now: Instant) -> Self {
        let capacity = 1 << dice.between(10, 20);
        let in_flight = VecDeque::new();
        Self {
            dice,
            delay,
            capacity,
            in_flight,
            in_flight_bytes: 0,
            last_arrival: now,
            cut_at,
        }
    }

    pub(super) fn is_cut(&self, now: Instant) -> bool {
        self.cut_at.is_some_and(|at| at <= now)
    }

    /// Takes as much of `bytes` as fits into the socket.
    pub(super) fn send(&mut self, bytes: &[u8], now: Instant) -> usize {
        let length = bytes.len().min(self.capacity.saturating_sub(self.in_flight_bytes));
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(1 << self.dice.between(0, 18)));
            let jitter = Duration::from_micros(self.dice.between(0, 300));
            let stall = if self.dice.one_in(200) {
                self.dice.between(10, 3000)
            } else {
                0
            };
            let arrival = now + self.delay + jitter + Duration::from_millis(stall);
            self.last_arrival = self.last_arrival.max(arrival);
            self.in_flight.push_back((self.last_arrival, piece.to_vec()));
            rest = after;
        }
        self.in_flight_bytes += length;
        length
    }

    /// One read: a piece that has arrived.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.in_flight.front().filter(|(at, _)| *at <= now)?;
        let piece = self.in_flight.pop_front()?.1;
        self.in_flight_bytes -= piece.len();
        Some(piece)
    }

    pub(super) fn is_full(&self) -> bool {
        self.in_flight_bytes >= self.capacity
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// When something arrives that did not by `now`.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        self.in_flight.front().map(|(at, _)| *at).filter(|at| *at > now)
    }
}
