//! Whether a core still answers (`spec/node-panel.md`, Rules for us).

use super::core_api::CoreApi;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Time between two questions. The next one does not wait for the answer to the last one.
const PERIOD: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Questions in a row without an answer after which the core is given up.
const MAX_FAILURES: u32 = 10;

/// Asks a core how it is, again and again.
pub(super) struct Health {
    api: Arc<CoreApi>,
    next: Instant,
    /// At most as many as there are periods in [`ANSWER_TIMEOUT`], and one.
    asked: FuturesUnordered<BoxFuture<'static, bool>>,
    failures: u32,
}

impl Health {
    pub(super) fn of(api: Arc<CoreApi>) -> Self {
        Self {
            api,
            next: Instant::now() + PERIOD,
            asked: FuturesUnordered::new(),
            failures: 0,
        }
    }

    /// Resolves when the core is to be given up. Loses nothing when it is dropped.
    pub(super) async fn lost(&mut self) {
        while self.failures < MAX_FAILURES {
            tokio::select! {
                () = sleep_until(self.next) => self.ask(),
                Some(answered) = self.asked.next() => match answered {
                    true => self.failures = 0,
                    false => self.failures += 1,
                },
            }
        }
    }

    fn ask(&mut self) {
        self.next = Instant::now() + PERIOD;
        let api = self.api.clone();
        let answer = async move { matches!(timeout(ANSWER_TIMEOUT, api.system()).await, Ok(Ok(_))) };
        self.asked.push(answer.boxed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Within this a core that hangs has to be noticed (`spec/node-panel.md`, Rules for us).
    const LIMIT: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn an_api_that_never_answers_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok(accepted) = listener.accept().await {
                taken.push(accepted);
            }
        });
        let mut health = Health::of(Arc::new(CoreApi::at(port)));
        let begin = Instant::now();
        timeout(LIMIT, health.lost()).await.expect("it is noticed");
        assert!(
            begin.elapsed() > PERIOD * (MAX_FAILURES - 1),
            "after {:?}",
            begin.elapsed()
        );
        accepting.abort();
    }
}
