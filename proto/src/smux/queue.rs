//! A queue of stream ids in which streams that ended may linger.

use super::StreamId;
use std::collections::VecDeque;

/// Entries of ended streams that are tolerated before the queue is swept.
const SLACK: usize = 64;

/// Ids in the order in which they were put; an id that names no stream any more is skipped by whoever takes it.
///
/// Removing an id from the middle would cost a search; instead the queue is swept when most of it is dead, which keeps
/// it within twice the number of streams and costs O(1) for each stream that ended.
#[derive(Debug, Default)]
pub(super) struct IdQueue {
    ids: VecDeque<StreamId>,
}

impl IdQueue {
    pub(super) fn push(&mut self, id: StreamId) {
        self.ids.push_back(id);
    }

    pub(super) fn front(&self) -> Option<StreamId> {
        self.ids.front().copied()
    }

    pub(super) fn pop(&mut self) -> Option<StreamId> {
        self.ids.pop_front()
    }

    pub(super) fn rotate(&mut self) {
        if let Some(id) = self.ids.pop_front() {
            self.ids.push_back(id);
        }
    }

    /// Called when a stream ended: sweeps if more than half of the queue can be dead.
    pub(super) fn sweep(&mut self, streams: usize, is_live: impl Fn(StreamId) -> bool) {
        if self.ids.len() > 2 * streams + SLACK {
            self.ids.retain(|id| is_live(*id));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_is_swept_when_more_than_its_slack_is_dead() {
        let mut queue = IdQueue::default();
        let ids = 0..(2 + SLACK as StreamId);
        ids.for_each(|id| queue.push(id));
        queue.sweep(1, |id| id == 7);
        assert_eq!(queue.len(), 2 + SLACK);
        queue.push(1000);
        queue.sweep(1, |id| id == 7);
        assert_eq!((queue.len(), queue.pop()), (1, Some(7)));
    }
}
