//! One row for each key of the configuration: set to something else than its default, and its effect observed from
//! outside. A key without a row fails.

mod mux;
mod process;
mod routing;
mod session;
mod sockets;
mod timing;

use crate::harness::*;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The tests of all keys, and the test that none is missing.
pub fn trials() -> Vec<Trial> {
    let rows = [
        sockets::rows(),
        mux::rows(),
        session::rows(),
        timing::rows(),
        routing::rows(),
        process::rows(),
    ]
    .concat();
    let covered: BTreeSet<String> = rows.iter().map(|row| row.key.to_owned()).collect();
    let mut suite = Suite::new("keys");
    for Row { key, lane, test } in rows {
        suite = suite.only(lane, key, move |scene| test(scene));
    }
    let complete = move |_: Scene| {
        let covered = covered.clone();
        async move {
            let known: BTreeSet<String> = kariz_actors::config::keys().into_iter().collect();
            let missing: Vec<_> = known.difference(&covered).collect();
            let unknown: Vec<_> = covered.difference(&known).collect();
            ensure!(missing.is_empty(), "keys without a row: {missing:?}");
            ensure!(unknown.is_empty(), "rows without a key: {unknown:?}");
            Ok(())
        }
    };
    suite.once("every_key_has_a_row", complete).done()
}

type RowTest = Arc<dyn Fn(Scene) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// A key and how its effect is seen.
#[derive(Clone)]
struct Row {
    key: &'static str,
    lane: Lane,
    test: RowTest,
}

/// The row of `key`, seen in `lane`.
fn row<F, Fut>(key: &'static str, lane: Lane, test: F) -> Row
where
    F: Fn(Scene) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    Row {
        key,
        lane,
        test: Arc::new(move |scene| Box::pin(test(scene))),
    }
}

/// The row of `key` in the direct lane.
fn direct<F, Fut>(key: &'static str, test: F) -> Row
where
    F: Fn(Scene) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    row(key, Lane::Direct, test)
}

/// Where a key of a service is in the tests' files.
fn place(key: &str) -> String {
    key.replace("NAME", tunnel::SERVICE)
}
