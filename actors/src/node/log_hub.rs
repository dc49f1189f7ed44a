//! The core's log lines: a ring that any number of readers follow.
//!
//! A reader is only a position in the ring. So "the last 100 lines on opening" and "at most 100 lines wait for a reader,
//! the oldest are dropped" (`spec/node-marzban.md`, 1.5; `spec/node-panel.md`, Rules for us) are one rule, a line costs the
//! same for any number of readers, and whoever writes a line never waits for one of them.

use crate::shared::Guarded;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// Lines that a reader of a Marzban panel gets on opening, and that wait for it at most.
pub(crate) const MARZBAN_LINES: usize = 100;

/// Longest line that is kept, in bytes; the rest of a longer one is cut off.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 10;

/// Most bytes of all lines that are kept, however many lines that are.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// The ring.
pub(crate) struct LogHub {
    /// Most lines that are kept.
    most: usize,
    ring: Guarded<Ring>,
    /// How many lines there were, ever.
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
    written: u64,
}

/// Follows the ring.
pub(crate) struct LogReader {
    hub: watch::Receiver<u64>,
    /// Number of the next line, counted from the first one ever.
    next: u64,
    /// Most lines that wait for it.
    most: usize,
}

/// What a reader had not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unseen {
    /// How many lines are gone before they were taken.
    pub(crate) lost: u64,
    /// The others, oldest first.
    pub(crate) lines: Vec<Arc<str>>,
}

impl LogHub {
    /// A hub that keeps `most` lines.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            ring: Guarded::default(),
            written: watch::Sender::new(0),
        }
    }

    /// Adds a line, and drops the oldest ones if there are too many.
    pub(crate) fn write(&self, line: &str) {
        let line: Arc<str> = Arc::from(&line[..line.floor_char_boundary(MAX_LINE_BYTES)]);
        let written = {
            let mut ring = self.ring.lock();
            while ring.lines.len() >= self.most || (ring.bytes + line.len() > MAX_BYTES && !ring.lines.is_empty()) {
                let oldest = ring.lines.pop_front().map_or(0, |line| line.len());
                ring.bytes -= oldest;
            }
            ring.bytes += line.len();
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

    /// A reader that begins with what is kept, of which it gets the last `most` lines; no more than that wait for it later.
    pub(crate) fn reader(&self, most: usize) -> LogReader {
        let ring = self.ring.lock();
        LogReader {
            hub: self.written.subscribe(),
            next: ring.written - ring.lines.len().min(most) as u64,
            most,
        }
    }

    /// A reader that begins with the next line, for which `most` lines wait at most.
    pub(crate) fn reader_of_new(&self, most: usize) -> LogReader {
        LogReader {
            next: self.ring.lock().written,
            hub: self.written.subscribe(),
            most,
        }
    }

    /// What `reader` has not seen.
    pub(crate) fn take(&self, reader: &mut LogReader) -> Unseen {
        // Marked as seen before the look: a line that comes in between wakes the reader once for nothing.
        reader.hub.borrow_and_update();
        let ring = self.ring.lock();
        let unseen = ring.written - reader.next.min(ring.written);
        let kept = usize::try_from(unseen)
            .unwrap_or(usize::MAX)
            .min(ring.lines.len())
            .min(reader.most);
        reader.next = ring.written;
        Unseen {
            lost: unseen - kept as u64,
            lines: ring.lines.iter().skip(ring.lines.len() - kept).cloned().collect(),
        }
    }

    /// Gauge: bytes of the lines that are kept; at most [`MAX_BYTES`].
    pub(crate) fn bytes(&self) -> usize {
        self.ring.lock().bytes
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
        hub.take(reader).lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reader_begins_with_what_is_kept_and_then_sees_each_line_once() {
        let hub = LogHub::new(MARZBAN_LINES);
        (0..MARZBAN_LINES + 5).for_each(|number| hub.write(&number.to_string()));
        let mut reader = hub.reader(MARZBAN_LINES);
        let expected: Vec<_> = (5..MARZBAN_LINES + 5).map(|number| number.to_string()).collect();
        assert_eq!(taken(&hub, &mut reader), expected);
        assert!(taken(&hub, &mut reader).is_empty());
        hub.write("more");
        assert_eq!(taken(&hub, &mut reader), ["more"]);
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_lines() {
        let hub = LogHub::new(MARZBAN_LINES);
        let (mut slow, mut quick) = (hub.reader(MARZBAN_LINES), hub.reader(MARZBAN_LINES));
        for number in 0..3 * MARZBAN_LINES {
            hub.write(&number.to_string());
            assert_eq!(taken(&hub, &mut quick), [number.to_string()]);
        }
        let Unseen { lost, lines } = hub.take(&mut slow);
        assert_eq!((lost, lines.len()), (2 * MARZBAN_LINES as u64, MARZBAN_LINES));
        assert_eq!(*lines[0], *(2 * MARZBAN_LINES).to_string());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let hub = LogHub::new(MARZBAN_LINES);
        hub.write(&"é".repeat(MAX_LINE_BYTES));
        let mut reader = hub.reader(MARZBAN_LINES);
        assert_eq!(taken(&hub, &mut reader)[0].len(), MAX_LINE_BYTES);
        hub.write(&format!("x{}", "é".repeat(MAX_LINE_BYTES)));
        assert_eq!(taken(&hub, &mut reader)[0].len(), MAX_LINE_BYTES - 1);
    }

    #[tokio::test]
    async fn a_line_wakes_a_reader_that_waits() {
        let hub = LogHub::new(MARZBAN_LINES);
        let mut reader = hub.reader(MARZBAN_LINES);
        let (_, ()) = tokio::join!(reader.changed(), async { hub.write("line") });
        assert_eq!(taken(&hub, &mut reader), ["line"]);
    }

    #[test]
    fn readers_of_one_hub_have_bounds_of_their_own() {
        let hub = LogHub::new(1_000);
        (0..500).for_each(|number| hub.write(&number.to_string()));
        let (mut all, mut few, mut new) = (hub.reader(1_000), hub.reader(3), hub.reader_of_new(2));
        assert_eq!(hub.take(&mut all).lines.len(), 500);
        assert_eq!(taken(&hub, &mut few), ["497", "498", "499"]);
        assert!(taken(&hub, &mut new).is_empty());
        (500..510).for_each(|number| hub.write(&number.to_string()));
        assert_eq!(hub.take(&mut all).lost, 0);
        let Unseen { lost, lines } = hub.take(&mut new);
        assert_eq!((lost, lines.len(), &*lines[1]), (8, 2, "509"));
    }

    #[test]
    fn long_lines_take_the_room_of_many() {
        let hub = LogHub::new(1_000);
        let long = "x".repeat(MAX_LINE_BYTES);
        (0..1_000).for_each(|_| hub.write(&long));
        assert_eq!(hub.bytes(), MAX_BYTES);
        let unseen = hub.take(&mut hub.reader(1_000));
        assert_eq!(unseen.lines.len(), MAX_BYTES / MAX_LINE_BYTES);
    }
}
