//! Bytes that are different at every position, so that a lost, doubled, moved or foreign byte is seen at once.

use anyhow::{Result, ensure};

/// An endless stream of bytes that depends on a seed; remembers how far it was written or checked.
#[derive(Debug, Clone)]
pub struct Pattern {
    seed: u64,
    offset: u64,
}

impl Pattern {
    /// The stream of `seed`, from its beginning.
    pub fn new(seed: u64) -> Self {
        Self { seed, offset: 0 }
    }

    /// How many bytes were written or checked.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes the next bytes into `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.walk(out.len(), |at, bytes| out[at..at + bytes.len()].copy_from_slice(bytes));
    }

    /// Compares `got` with the next bytes; an error names the first position that differs.
    pub fn check(&mut self, got: &[u8]) -> Result<()> {
        let base = self.offset;
        let mut wrong = None;
        self.walk(got.len(), |at, bytes| {
            if wrong.is_none() && got[at..at + bytes.len()] != *bytes {
                let inside = bytes.iter().zip(&got[at..]).take_while(|(a, b)| a == b).count();
                wrong = Some(base + (at + inside) as u64);
            }
        });
        ensure!(
            wrong.is_none(),
            "byte {} of stream {:#x} is wrong",
            wrong.unwrap_or(0),
            self.seed
        );
        Ok(())
    }

    /// Gives the next `len` bytes in pieces of at most one word, each with its place in the caller's buffer.
    fn walk(&mut self, len: usize, mut piece: impl FnMut(usize, &[u8])) {
        let mut at = 0;
        while at < len {
            let skip = (self.offset % 8) as usize;
            let word = mix(self.seed ^ mix(self.offset / 8)).to_le_bytes();
            let take = (8 - skip).min(len - at);
            piece(at, &word[skip..skip + take]);
            at += take;
            self.offset += take as u64;
        }
    }
}

/// The finalizer of splitmix64: every input bit changes about half of the output bits.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Numbers for choosing moments and sizes; the seed is in the failure message of the scene.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A sequence that depends only on `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % bound
    }
}
