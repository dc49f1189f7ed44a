//! Rates and counts that the operator bounds.

/// A token bucket's shape: `per_second` tokens flow in, at most `burst` are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second: at least 1.
    pub per_second: u64,
    /// Most tokens that can be saved up: at least 1. One second's worth unless the operator says otherwise.
    pub burst: u64,
}

/// Limits of one scope: the process, a session or a service. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of visitors' data in both directions together.
    pub bytes: Option<Rate>,
    /// Messages in both directions together: a mux frame with data, or one read in the direct lane.
    pub messages: Option<Rate>,
    /// Visitors at a time; a further one is refused.
    pub visitors: Option<u32>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}
