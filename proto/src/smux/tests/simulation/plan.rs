//! What each end will do with a stream: both know it, so that each can check the other.

use super::Dice;
use crate::smux::StreamId;

/// One direction of one stream.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Bytes of the source until its end.
    pub(super) total: u64,
    /// Bytes that go before the source's.
    pub(super) first: u64,
    /// The source fails behind this many bytes instead of ending.
    pub(super) fails_at: Option<u64>,
    pub(super) reader: Reader,
    pub(super) salt: u64,
}

/// The target socket of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Fast,
    /// Takes this many bytes in each 5 ms.
    Slow(usize),
    /// Takes nothing, ever.
    Stuck,
}

impl Plan {
    /// The plan of one direction (0: from the dialler) in the world of `seed`.
    pub(super) fn of(seed: u64, id: StreamId, direction: u64, with_stuck: bool) -> Self {
        let mut dice = Dice::new(&[seed, id.into(), direction]);
        let total = match dice.between(0, 9) {
            0 => 0,
            1..=6 => dice.between(1, 20_000),
            7 | 8 => dice.between(1, 200_000),
            _ => dice.between(1, 800_000),
        };
        let reader = match dice.between(0, 11) {
            0 if with_stuck => Reader::Stuck,
            0..=2 => Reader::Slow(dice.between(200, 20_000) as usize),
            _ => Reader::Fast,
        };
        let first = if dice.one_in(2) {
            dice.between(0, 300).min(total)
        } else {
            0
        };
        let fails_at = dice.one_in(8).then(|| dice.between(0, total));
        Self {
            total,
            first,
            fails_at,
            reader,
            salt: dice.between(0, 255),
        }
    }

    /// The byte of this direction at `offset`.
    pub(super) fn byte(&self, offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 ^ self.salt as u8
    }

    pub(super) fn bytes(&self, from: u64, length: usize) -> Vec<u8> {
        (from..from + length as u64).map(|offset| self.byte(offset)).collect()
    }
}
