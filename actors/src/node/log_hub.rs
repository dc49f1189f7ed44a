//! The core's log lines: a ring that any number of readers follow.
//!
//! A reader is only a position in the ring. So "the last 100 lines on opening" and "at most 100 lines wait for a reader,
//! the oldest are dropped" (`spec/node-marzban.md`, 1.5) are one rule, a line costs the same for any number of readers, and
//! whoever writes a line never waits for one of them.

use crate::shared::Guarded;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// Lines that are kept.
pub(crate) const MAX_LINES: usize = 100;

/// Longest line that is kept, in bytes; the rest of a longer one is cut off.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 10;

/// The ring.
pub(crate) struct LogHub {
    ring: Guarded<Ring>,
    /// How many lines there were, ever.
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<str>>,
    written: u64,
}

/// Follows the ring from the oldest line that is kept.
pub(crate) struct LogReader {
    hub: watch::Receiver<u64>,
    /// Number of the next line, counted from the first one ever.
    next: u64,
}

impl Default for LogHub {
    fn default() -> Self {
        Self {
            ring: Guarded::default(),
            written: watch::Sender::new(0),
        }
    }
}

impl LogHub {
    /// Adds a line, and drops the oldest one if there are too many.
    pub(crate) fn write(&self, line: &str) {
        let line = Arc::from(&line[..line.floor_char_boundary(MAX_LINE_BYTES)]);
        let written = {
            let mut ring = self.ring.lock();
            if ring.lines.len() == MAX_LINES {
                ring.lines.pop_front();
            }
            ring.lines.push_back(line);
            ring.written += 1;
            ring.written
        };
        // Two writers may come in the wrong order here; the larger number is the right one.
        self.written.send_if_modified(|last| {
            let newer = written > *last;
            *last = written.max(*last);
            newer
        });
    }

    /// A reader that begins with what is kept.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader {
            hub: self.written.subscribe(),
            next: 0,
        }
    }

    /// The lines that `reader` has not seen and that are still kept, oldest first.
    pub(crate) fn take(&self, reader: &mut LogReader) -> Vec<Arc<str>> {
        // Marked as seen before the look: a line that comes in between wakes the reader once for nothing.
        reader.hub.borrow_and_update();
        let ring = self.ring.lock();
        let unseen = ring.written - reader.next.min(ring.written);
        let kept = usize::try_from(unseen).unwrap_or(usize::MAX).min(ring.lines.len());
        reader.next = ring.written;
        ring.lines.iter().skip(ring.lines.len() - kept).cloned().collect()
    }
}

impl LogReader {
    /// Waits until there may be a line that was not taken. Never resolves once the hub is gone.
    pub(crate) async fn changed(&mut self) {
        if self.hub.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(hub: &LogHub, reader: &mut LogReader) -> Vec<String> {
        hub.take(reader).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reader_begins_with_what_is_kept_and_then_sees_each_line_once() {
        let hub = LogHub::default();
        (0..MAX_LINES + 5).for_each(|number| hub.write(&number.to_string()));
        let mut reader = hub.reader();
        let expected: Vec<_> = (5..MAX_LINES + 5).map(|number| number.to_string()).collect();
        assert_eq!(taken(&hub, &mut reader), expected);
        assert!(taken(&hub, &mut reader).is_empty());
        hub.write("more");
        assert_eq!(taken(&hub, &mut reader), ["more"]);
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_lines() {
        let hub = LogHub::default();
        let (mut slow, mut quick) = (hub.reader(), hub.reader());
        for number in 0..3 * MAX_LINES {
            hub.write(&number.to_string());
            assert_eq!(taken(&hub, &mut quick), [number.to_string()]);
        }
        let lines = taken(&hub, &mut slow);
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines[0], (2 * MAX_LINES).to_string());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let hub = LogHub::default();
        hub.write(&"é".repeat(MAX_LINE_BYTES));
        let mut reader = hub.reader();
        assert_eq!(taken(&hub, &mut reader)[0].len(), MAX_LINE_BYTES);
        hub.write(&format!("x{}", "é".repeat(MAX_LINE_BYTES)));
        assert_eq!(taken(&hub, &mut reader)[0].len(), MAX_LINE_BYTES - 1);
    }

    #[tokio::test]
    async fn a_line_wakes_a_reader_that_waits() {
        let hub = LogHub::default();
        let mut reader = hub.reader();
        let (_, ()) = tokio::join!(reader.changed(), async { hub.write("line") });
        assert_eq!(taken(&hub, &mut reader), ["line"]);
    }
}
