//! Test data that says where in which stream it belongs.
//!
//! Every stream is a window into one pseudo-random table of prime period, entered at a place that the stream's seed
//! chooses. A lost, repeated, moved or foreign block therefore differs from what is expected at its position, unless
//! it is off by an exact multiple of [`PERIOD`], which no buffer size in use is. Neither producing nor checking
//! computes anything per byte: one copies from the table, the other is a `memcmp` with it.

use std::sync::LazyLock;

/// Bytes after which the pattern repeats; prime, so that no power of two is a multiple of it.
pub const PERIOD: usize = 262_139;

/// The longest run of bytes that [`Pattern::slice`] hands out, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// How much of each end of a block [`Check::Sampled`] looks at, in bytes.
const SAMPLE: usize = 64;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0;
    let once: Vec<u8> = (0..PERIOD).map(|_| mix(&mut state) as u8).collect();
    once.iter().copied().cycle().take(PERIOD + CHUNK).collect()
});

/// The bytes of one stream, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    offset: usize,
}

/// How thoroughly received data is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Every byte.
    Full,
    /// The first and the last 64 bytes of every block read: finds every loss, repetition or mix-up of blocks at next to
    /// no cost, but not a single flipped bit.
    Sampled,
}

/// The first byte that is not what its position asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {position} of the stream is wrong")]
pub struct Mismatch {
    /// Position in the stream, counted from 0.
    pub position: u64,
}

impl Pattern {
    /// The stream of that seed. Different seeds give different streams, except for one pair in about 260,000.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self {
            offset: (mix(&mut state) % PERIOD as u64) as usize,
        }
    }

    /// The bytes from `position` on: `length` of them, or [`CHUNK`] if that is less.
    pub fn slice(&self, position: u64, length: usize) -> &'static [u8] {
        let start = (self.offset + (position % PERIOD as u64) as usize) % PERIOD;
        &TABLE[start..start + length.min(CHUNK)]
    }

    /// Fills `buffer` with the bytes from `position` on.
    pub fn fill(&self, position: u64, buffer: &mut [u8]) {
        let mut at = position;
        for block in buffer.chunks_mut(CHUNK) {
            block.copy_from_slice(self.slice(at, block.len()));
            at += block.len() as u64;
        }
    }

    /// Compares `data`, received at `position`, with what belongs there.
    ///
    /// # Errors
    /// The position of the first byte that differs (with [`Check::Sampled`]: of the first compared one).
    pub fn verify(&self, position: u64, data: &[u8], check: Check) -> Result<(), Mismatch> {
        if check == Check::Sampled && data.len() > 2 * SAMPLE {
            let tail = data.len() - SAMPLE;
            self.verify(position, &data[..SAMPLE], Check::Full)?;
            return self.verify(position + tail as u64, &data[tail..], Check::Full);
        }
        let mut at = position;
        for block in data.chunks(CHUNK) {
            let expected = self.slice(at, block.len());
            if block != expected {
                let differs = block.iter().zip(expected).take_while(|(got, want)| got == want).count();
                return Err(Mismatch {
                    position: at + differs as u64,
                });
            }
            at += block.len() as u64;
        }
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): one step.
pub fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_of_a_stream_verifies_at_its_own_position() {
        let pattern = Pattern::new(7);
        let mut data = vec![0; 3 * CHUNK + 5];
        pattern.fill(1_000_000_007, &mut data);
        for (from, to) in [(0, data.len()), (1, 2), (CHUNK - 1, CHUNK + 1), (PERIOD, PERIOD + 77)] {
            assert_eq!(
                pattern.verify(1_000_000_007 + from as u64, &data[from..to], Check::Full),
                Ok(())
            );
        }
    }

    #[test]
    fn a_lost_block_of_any_usual_size_is_noticed() {
        let pattern = Pattern::new(1);
        for size in (0..24).map(|shift| 1u64 << shift).chain([1448, 65_535, 65_483]) {
            let late = pattern.slice(size, 128);
            assert_eq!(
                pattern.verify(0, late, Check::Sampled).map_err(|_| ()),
                Err(()),
                "lost {size} bytes"
            );
        }
    }

    #[test]
    fn a_foreign_stream_is_noticed() {
        assert!(
            Pattern::new(1)
                .verify(0, Pattern::new(2).slice(0, 64), Check::Full)
                .is_err()
        );
    }

    #[test]
    fn the_mismatch_names_the_first_wrong_byte() {
        let pattern = Pattern::new(3);
        let mut data = pattern.slice(10, 1000).to_vec();
        data[500] ^= 1;
        assert_eq!(pattern.verify(10, &data, Check::Full), Err(Mismatch { position: 510 }));
        assert_eq!(pattern.verify(10, &data, Check::Sampled), Ok(()));
    }
}
