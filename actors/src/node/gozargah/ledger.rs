//! Traffic that the core has counted and no panel has heard of: of cores that were stopped, and of answers that got lost on their
//! way (`spec/node-panel.md`, Rules for us). It is added to the next answers.

use super::core_api::{CALL_TIMEOUT, CoreApi};
use crate::shared::Guarded;
use kariz_proto::xray::app::stats::command::Stat as Counter;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Status;

/// Most counters that are owed. Traffic of users beyond them is lost, and that is logged.
pub(super) const MAX_COUNTERS: usize = 1 << 20;

/// What every counter of traffic has in its name.
const TRAFFIC: &str = ">>>traffic>>>";

/// What is owed, by the counters' names. Clones share it; it outlives every core.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Guarded<HashMap<String, i64>>>);

/// Counters that were reset for an answer. They go back into the ledger when this is dropped, unless they were delivered.
pub(super) struct Owed {
    ledger: Ledger,
    counters: Guarded<Vec<Counter>>,
}

impl Ledger {
    /// Asks the core for the counters whose names contain `pattern`, and adds what is owed. With `reset` all of them begin
    /// anew; the second part of the answer is what has to be told of its delivery. Nothing is lost when this is dropped.
    ///
    /// # Errors
    /// The core does not answer within [`CALL_TIMEOUT`]. An answer that comes later is put into the ledger.
    pub(super) async fn counters(
        &self,
        core: Arc<CoreApi>,
        pattern: String,
        reset: bool,
    ) -> Result<(Vec<Counter>, Arc<Owed>), Status> {
        let (tell, told) = oneshot::channel();
        let ledger = self.clone();
        tokio::spawn(async move {
            let counted = core.counters(pattern.clone(), reset).await;
            let answer = counted.map(|mut counters| {
                ledger.add_owed(&mut counters, &pattern, reset);
                let owed = if reset { counters.clone() } else { Vec::new() };
                (counters, ledger.owed(owed))
            });
            // Dropped with whoever asked, it puts the counters back.
            let _ = tell.send(answer);
        });
        match timeout(CALL_TIMEOUT, told).await {
            Ok(told) => told.map_err(|_| Status::internal("the question was lost"))?,
            Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
        }
    }

    /// Notes what a core has counted that is about to end.
    pub(super) fn add(&self, counters: impl IntoIterator<Item = Counter>) {
        let mut owed = self.0.lock();
        for Counter { name, value } in counters {
            if value == 0 || !name.contains(TRAFFIC) {
                continue;
            }
            if let Some(known) = owed.get_mut(&name) {
                *known = known.saturating_add(value);
            } else if owed.len() < MAX_COUNTERS {
                owed.insert(name, value);
            } else {
                tracing::error!("{value} bytes of {name} are lost: {MAX_COUNTERS} counters wait for a panel already");
            }
        }
    }

    /// Forgets everything: it is not the next panel's.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Gauge: counters that are owed; at most [`MAX_COUNTERS`].
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Adds what is owed to `counters`; with `take` it is not owed any more.
    fn add_owed(&self, counters: &mut Vec<Counter>, pattern: &str, take: bool) {
        let mut owed = self.0.lock();
        if owed.is_empty() {
            return;
        }
        let mut theirs: HashMap<String, i64> = match take {
            true => owed.extract_if(|name, _| name.contains(pattern)).collect(),
            false => owed
                .iter()
                .filter(|(name, _)| name.contains(pattern))
                .map(|(name, value)| (name.clone(), *value))
                .collect(),
        };
        drop(owed);
        for counter in &mut *counters {
            let more = theirs.remove(&counter.name).unwrap_or_default();
            counter.value = counter.value.saturating_add(more);
        }
        counters.extend(theirs.into_iter().map(|(name, value)| Counter { name, value }));
    }

    /// Counters that were reset for an answer.
    pub(super) fn owed(&self, counters: Vec<Counter>) -> Arc<Owed> {
        Arc::new(Owed {
            ledger: self.clone(),
            counters: Guarded::new(counters),
        })
    }
}

impl Owed {
    /// The panel has them.
    pub(super) fn delivered(&self) {
        self.counters.lock().clear();
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.ledger.add(self.counters.lock().drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: &str, value: i64) -> Counter {
        Counter {
            name: format!("user>>>{name}>>>traffic>>>uplink"),
            value,
        }
    }

    fn sorted(mut counters: Vec<Counter>) -> Vec<Counter> {
        counters.sort_by(|one, other| one.name.cmp(&other.name));
        counters
    }

    #[test]
    fn what_is_owed_is_added_once() {
        let ledger = Ledger::default();
        ledger.add([counter("a", 5), counter("b", 0), counter("c", 7)]);
        let mut counters = vec![counter("a", 1), counter("b", 2)];
        ledger.add_owed(&mut counters, "user>>>", false);
        let expected = [counter("a", 6), counter("b", 2), counter("c", 7)];
        assert_eq!(sorted(counters), expected);
        let mut taken = Vec::new();
        ledger.add_owed(&mut taken, "user>>>a>>>", true);
        assert_eq!(taken, [counter("a", 5)]);
        let mut rest = Vec::new();
        ledger.add_owed(&mut rest, "", true);
        assert_eq!(rest, [counter("c", 7)]);
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn an_answer_that_got_lost_is_owed_again() {
        let ledger = Ledger::default();
        drop(ledger.owed(vec![counter("a", 5)]));
        let again = ledger.owed(vec![counter("a", 3)]);
        again.delivered();
        drop(again);
        let mut owed = Vec::new();
        ledger.add_owed(&mut owed, "", true);
        assert_eq!(owed, [counter("a", 5)]);
    }

    #[test]
    fn only_traffic_is_owed() {
        let ledger = Ledger::default();
        let online = Counter {
            name: "user>>>a>>>online".into(),
            value: 1,
        };
        ledger.add([online]);
        assert_eq!(ledger.len(), 0);
    }
}
