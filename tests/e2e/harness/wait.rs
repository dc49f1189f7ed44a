//! Waiting for something with a deadline, instead of sleeping and hoping.

use anyhow::{Context, Result};
use std::future::Future;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(40);

/// Fails with `what` when `future` is not done after `limit`.
pub async fn within<F: Future>(limit: Duration, what: &str, future: F) -> Result<F::Output> {
    tokio::time::timeout(limit, future)
        .await
        .with_context(|| format!("not within {limit:?}: {what}"))
}

/// Tries `check` until it succeeds, for at most `limit`; then fails with the last error.
///
/// A single try is cut off at the deadline, too. Returns what `check` gave and how long it took.
pub async fn eventually<T, F, Fut>(limit: Duration, what: &str, mut check: F) -> Result<(T, Duration)>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut last = anyhow::anyhow!("never finished a try");
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok((value, start.elapsed())),
            Ok(Err(error)) => last = error,
            Err(_) => last = last.context("a try did not end before the deadline"),
        }
        tokio::time::sleep(POLL).await;
    }
    Err(last.context(format!("not within {limit:?}: {what}")))
}
