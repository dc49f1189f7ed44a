//! The core's lines as a stream, for any number of readers.

use super::api::Api;
use futures_util::{Stream, stream};
use std::collections::VecDeque;
use std::sync::Arc;

/// The lines that are kept, then every new one, until the node ends. Each line is one item.
pub(super) fn lines(api: &Api) -> impl Stream<Item = Arc<str>> + Send + use<> {
    let state = api.state.clone();
    let reader = state.logs.reader();
    let begin = (state.clone(), reader, state.stopping(), VecDeque::new());
    stream::unfold(begin, |(state, mut reader, mut stopping, mut waiting)| async move {
        loop {
            if let Some(line) = waiting.pop_front() {
                return Some((line, (state, reader, stopping, waiting)));
            }
            waiting.extend(state.logs.take(&mut reader));
            if waiting.is_empty() {
                tokio::select! {
                    () = reader.changed() => {}
                    _ = stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
        }
    })
}
