//! The core's lines as a stream, for any number of readers.

use super::live::Live;
use crate::node::state::State;
use futures_util::{FutureExt, Stream, stream};
use std::collections::VecDeque;
use std::sync::Arc;

/// The lines that are kept, then every new one, until the node ends, or the backend or session of `live` that there is now. Each
/// line is one item. A reader that is too slow loses the oldest lines, and is told how many in a line of its own.
pub(super) fn lines(state: &Arc<State>, live: &Live) -> impl Stream<Item = Arc<str>> + Send + use<> {
    let reader = state.logs.reader(state.settings.log_lines);
    let ended = Box::pin(live.ended());
    let begin = (state.clone(), reader, state.stopping(), ended, VecDeque::new());
    stream::unfold(
        begin,
        |(state, mut reader, mut stopping, mut ended, mut waiting)| async move {
            loop {
                // Those who have no core any more hear nothing of the next one's.
                if ended.as_mut().now_or_never().is_some() {
                    return None;
                }
                if let Some(line) = waiting.pop_front() {
                    return Some((line, (state, reader, stopping, ended, waiting)));
                }
                let unseen = state.logs.take(&mut reader);
                if unseen.lost > 0 {
                    waiting.push_back(lost(unseen.lost));
                }
                waiting.extend(unseen.lines);
                if waiting.is_empty() {
                    tokio::select! {
                        () = reader.changed() => {}
                        _ = stopping.wait_for(|stopping| *stopping) => return None,
                        () = ended.as_mut() => return None,
                    }
                }
            }
        },
    )
}

/// What a reader gets in place of lines that it was too slow for.
pub(super) fn lost(lines: u64) -> Arc<str> {
    format!("kariz: {lines} lines are lost, for their reader is too slow").into()
}
