//! Log lines in batches, so that whoever logs does not wake the log's thread for every line.

use std::io::{self, BufWriter, Write};
use std::thread::sleep;
use std::time::Duration;

/// How long the thread rests after it has written. Lines that come meanwhile wake nobody; they are written together.
const REST: Duration = Duration::from_millis(2);

/// An output that rests after each flush, for a thread that flushes when no line waits for it.
///
/// To wake a thread costs more than to write the line: of the CPU time of `kariz node`'s pings it was a third.
pub(super) struct Batches<W: Write> {
    output: BufWriter<W>,
}

impl<W: Write> Batches<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output: BufWriter::new(output),
        }
    }
}

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let has_written = !self.output.buffer().is_empty();
        self.output.flush()?;
        if has_written {
            sleep(REST);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_flushed_is_written_in_order_and_once() {
        let mut batches = Batches::new(Vec::new());
        for line in ["a\n", "b\n"] {
            batches.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(batches.output.get_ref(), b"", "nothing is written before the flush");
        batches.flush().unwrap();
        batches.write_all(b"c\n").unwrap();
        batches.flush().unwrap();
        batches.flush().unwrap();
        assert_eq!(batches.output.get_ref(), b"a\nb\nc\n");
    }
}
