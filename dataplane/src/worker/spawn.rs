//! The one way to start a task: monoio does not catch panics, and one connection's must not end the worker.

use super::Worker;
use futures_util::FutureExt;
use kariz_proto::control::Counter;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

/// Starts a task on this worker. A panic ends that task alone: what it owns is dropped (sockets are armed, so their
/// peers see a reset), it is counted and logged.
pub(crate) fn spawn(worker: &Rc<Worker>, task: impl Future<Output = ()> + 'static) {
    let worker = worker.clone();
    // Whatever a panicking task shares with others is in cells that are consistent between statements. Combinators
    // instead of an async block: that would hold the task's state twice.
    monoio::spawn(AssertUnwindSafe(task).catch_unwind().map(move |outcome| {
        if let Err(panic) = outcome {
            worker.count(Counter::Panics);
            tracing::error!(
                worker = worker.index.0,
                cause = panic_text(&*panic),
                "a connection's task panicked"
            );
        }
    }));
}

/// Starts a task that the worker cannot do without: a panic ends the worker, and it gets a successor.
pub(crate) fn spawn_essential(task: impl Future<Output = ()> + 'static) {
    monoio::spawn(task);
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
