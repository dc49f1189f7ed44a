//! A worker's share of a budget: the limiter puts tokens in, the worker takes them out.

use super::shim::{AtomicBool, AtomicU64, Ordering};

/// The lease of one worker on one budget.
#[derive(Debug)]
pub struct Lease {
    tokens: AtomicU64,
    used: AtomicU64,
    waiting: AtomicBool,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            tokens: AtomicU64::new(0),
            used: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
        }
    }
}

impl Lease {
    /// Limiter: adds tokens.
    pub fn grant(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::AcqRel);
    }

    /// Worker: takes every token that lies there; none is taken twice.
    pub fn take(&self) -> u64 {
        // A look before the swap keeps the cache line shared while there is nothing to take.
        if self.tokens.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.tokens.swap(0, Ordering::AcqRel)
        }
    }

    /// Worker: reports what it used.
    pub fn spent(&self, tokens: u64) {
        self.used.fetch_add(tokens, Ordering::AcqRel);
    }

    /// Worker: reports that streams are held back for want of tokens.
    pub fn starve(&self) {
        // A store would do. But loom does not know that nothing can come between the read and the write of the
        // limiter's swap, and finds a store lost there that no machine loses.
        self.waiting.swap(true, Ordering::AcqRel);
    }

    /// Limiter: what was used since the last call, and whether streams were held back.
    pub fn demand(&self) -> (u64, bool) {
        (
            self.used.swap(0, Ordering::AcqRel),
            self.waiting.swap(false, Ordering::AcqRel),
        )
    }
}
