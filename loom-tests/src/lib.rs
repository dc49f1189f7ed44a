//! Loom models of everything that the data plane's threads share (`dataplane/src/sync`).
//!
//! The sources themselves are compiled here, by path, with loom's types in [`sync::shim`] where the data plane has
//! the standard library's. Every test explores the interleavings (and the outcomes that the memory model allows) of
//! a few threads up to [`PREEMPTIONS`] involuntary switches, so that plain `cargo test` stays quick; most bugs need
//! one or two (loom's documentation, "Limiting the number of explored executions").

pub mod sync;

#[cfg(test)]
mod counters;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod mailbox;

/// Involuntary switches of thread in one execution.
pub const PREEMPTIONS: usize = 3;

/// Runs a model in every interleaving within the bound.
pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}
