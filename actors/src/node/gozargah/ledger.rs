//! Traffic that the core has counted and no panel has heard of: of cores that were stopped, and of answers that got lost on their
//! way (`spec/node-panel.md`, Rules for us). It is added to the next answers.

use super::core_api::{CALL_TIMEOUT, CoreApi};
use crate::shared::Guarded;
use kariz_proto::xray::app::stats::command::Stat as Counter;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Status;

/// Most counters that are owed. Traffic of users beyond them is lost, and that is logged.
pub(super) const MAX_COUNTERS: usize = 1 << 20;

/// What every counter of traffic has in its name.
const TRAFFIC: &str = ">>>traffic>>>";

/// What is owed, by the counters' names. Clones share it; it outlives every core.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Guarded<Book>>);

#[derive(Default)]
struct Book {
    owed: HashMap<String, i64>,
    /// Of the panel that it is for: what another one did not get is not added any more.
    panel: u64,
}

/// Counters for an answer. Those that were reset for it go back into the ledger when this is dropped, unless they were delivered.
pub(super) struct Owed {
    ledger: Ledger,
    panel: u64,
    counters: Vec<Counter>,
    /// Whether nobody else will ever tell of them.
    is_owed: AtomicBool,
}

impl Ledger {
    /// Asks the core for the counters whose names begin with `pattern`, and adds what is owed. With `reset` all of them begin
    /// anew, and what comes back has to be told of its delivery. Nothing is lost when this is dropped.
    ///
    /// # Errors
    /// The core does not answer within [`CALL_TIMEOUT`]. An answer that comes later is put into the ledger.
    pub(super) async fn counters(&self, core: Arc<CoreApi>, pattern: String, reset: bool) -> Result<Arc<Owed>, Status> {
        let (tell, told) = oneshot::channel();
        let (ledger, panel) = (self.clone(), self.panel());
        tokio::spawn(async move {
            let counted = core.counters(pattern.clone(), reset).await;
            let answer = counted.map(|mut counters| {
                // The core looks for the pattern anywhere in a name.
                let others = counters.extract_if(.., |counter| !counter.name.starts_with(&pattern));
                let others: Vec<_> = others.collect();
                if reset {
                    ledger.add(others, panel);
                }
                ledger.add_owed(&mut counters, &pattern, reset, panel);
                ledger.owed(counters, panel, reset)
            });
            // Dropped with whoever asked, it puts the counters back.
            let _ = tell.send(answer);
        });
        match timeout(CALL_TIMEOUT, told).await {
            Ok(told) => told.map_err(|_| Status::internal("the question was lost"))?,
            Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
        }
    }

    /// Notes what `panel` has not heard of, if it is still the one that this is for.
    pub(super) fn add(&self, counters: impl IntoIterator<Item = Counter>, panel: u64) {
        let mut book = self.0.lock();
        if book.panel != panel {
            return;
        }
        let owed = &mut book.owed;
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

    /// Forgets everything, and what comes back later: from now on it is for another panel.
    pub(super) fn begin_anew(&self) {
        let mut book = self.0.lock();
        book.owed.clear();
        book.panel += 1;
    }

    /// Which panel it is for; the next one has another number.
    pub(super) fn panel(&self) -> u64 {
        self.0.lock().panel
    }

    /// Gauge: counters that are owed; at most [`MAX_COUNTERS`].
    pub(super) fn len(&self) -> usize {
        self.0.lock().owed.len()
    }

    /// Adds what is owed to `panel` to `counters`; with `take` it is not owed any more.
    fn add_owed(&self, counters: &mut Vec<Counter>, pattern: &str, take: bool, panel: u64) {
        let mut book = self.0.lock();
        let Book { owed, panel: current } = &mut *book;
        if owed.is_empty() || *current != panel {
            return;
        }
        let mut theirs: HashMap<String, i64> = match take {
            true => owed.extract_if(|name, _| name.starts_with(pattern)).collect(),
            false => owed
                .iter()
                .filter(|(name, _)| name.starts_with(pattern))
                .map(|(name, value)| (name.clone(), *value))
                .collect(),
        };
        drop(book);
        for counter in &mut *counters {
            let more = theirs.remove(&counter.name).unwrap_or_default();
            counter.value = counter.value.saturating_add(more);
        }
        counters.extend(theirs.into_iter().map(|(name, value)| Counter { name, value }));
    }

    /// Counters for an answer to `panel`, which were `reset` for it or not.
    pub(super) fn owed(&self, counters: Vec<Counter>, panel: u64, reset: bool) -> Arc<Owed> {
        Arc::new(Owed {
            ledger: self.clone(),
            panel,
            counters,
            is_owed: AtomicBool::new(reset),
        })
    }
}

impl Owed {
    pub(super) fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// The panel has them.
    pub(super) fn delivered(&self) {
        self.is_owed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if *self.is_owed.get_mut() {
            self.ledger.add(std::mem::take(&mut self.counters), self.panel);
        }
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
        ledger.add([counter("a", 5), counter("b", 0), counter("c", 7)], 0);
        let mut counters = vec![counter("a", 1), counter("b", 2)];
        ledger.add_owed(&mut counters, "user>>>", false, 0);
        let expected = [counter("a", 6), counter("b", 2), counter("c", 7)];
        assert_eq!(sorted(counters), expected);
        let mut taken = Vec::new();
        ledger.add_owed(&mut taken, "user>>>a>>>", true, 0);
        assert_eq!(taken, [counter("a", 5)]);
        let mut rest = Vec::new();
        ledger.add_owed(&mut rest, "", true, 0);
        assert_eq!(rest, [counter("c", 7)]);
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn an_answer_that_got_lost_is_owed_again() {
        let ledger = Ledger::default();
        drop(ledger.owed(vec![counter("a", 5)], 0, true));
        drop(ledger.owed(vec![counter("a", 8)], 0, false));
        let again = ledger.owed(vec![counter("a", 3)], 0, true);
        again.delivered();
        drop(again);
        let mut owed = Vec::new();
        ledger.add_owed(&mut owed, "", true, 0);
        assert_eq!(owed, [counter("a", 5)]);
    }

    #[test]
    fn what_one_panel_is_owed_no_other_is_told() {
        let ledger = Ledger::default();
        let first = ledger.panel();
        let late = ledger.owed(vec![counter("a", 5)], first, true);
        ledger.add([counter("b", 7)], first);
        ledger.begin_anew();
        assert_eq!(ledger.len(), 0);
        drop(late);
        assert_eq!(ledger.len(), 0, "an answer that got lost after the other panel came");
        let second = ledger.panel();
        drop(ledger.owed(vec![counter("c", 9)], second, true));
        let mut told = Vec::new();
        ledger.add_owed(&mut told, "", true, first);
        assert_eq!(told, [], "to the first one's question");
        ledger.add_owed(&mut told, "", true, second);
        assert_eq!(told, [counter("c", 9)]);
    }

    #[test]
    fn only_traffic_is_owed() {
        let ledger = Ledger::default();
        let online = Counter {
            name: "user>>>a>>>online".into(),
            value: 1,
        };
        ledger.add([online], 0);
        assert_eq!(ledger.len(), 0);
    }
}
