//! The core's output: always read, line by line, into the log hub.

use crate::node::log_hub::MAX_LINE_BYTES;
use crate::node::state::State;
use crate::shared::Guarded;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::Notify;

/// Bytes that are taken from a pipe at once.
const READ_BYTES: usize = 16 << 10;

/// The last line that was not empty, of each of the core's two outputs.
#[derive(Clone, Default)]
pub(super) struct LastLines(Arc<Guarded<[String; 2]>>);

impl LastLines {
    /// That of standard output, or else of standard error.
    pub(super) fn get(&self) -> String {
        let [out, error] = &*self.0.lock();
        if out.is_empty() { error.clone() } else { out.clone() }
    }

    fn set(&self, is_error: bool, line: &str) {
        if line.is_empty() {
            return;
        }
        let last = &mut self.0.lock()[usize::from(is_error)];
        line.clone_into(last);
    }
}

/// Reads `output` to its end. `ready` is for the core's standard output alone, where it says that it has started.
pub(super) async fn drain(
    output: Option<impl AsyncRead + Unpin>,
    state: Arc<State>,
    last: LastLines,
    ready: Option<Arc<Notify>>,
) {
    let Some(output) = output else { return };
    let is_error = ready.is_none();
    let mut output = BufReader::with_capacity(READ_BYTES, output);
    let mut bytes = Vec::new();
    while read_line(&mut output, &mut bytes).await {
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim();
        state.logs.write(line);
        last.set(is_error, line);
        if state.settings.debug {
            tracing::debug!("{line}");
        }
        if is_ready(line)
            && let Some(ready) = &ready
        {
            ready.notify_one();
        }
    }
}

/// Takes the next line; `false` at the end. Of a line that is too long the rest is thrown away.
async fn read_line(output: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> bool {
    line.clear();
    let mut head = output.take(MAX_LINE_BYTES as u64);
    if !matches!(head.read_until(b'\n', line).await, Ok(1..)) {
        return false;
    }
    let output = head.into_inner();
    while line.last() != Some(&b'\n') && line.len() >= MAX_LINE_BYTES {
        let Ok(rest) = output.fill_buf().await else { break };
        let newline = rest.iter().position(|byte| *byte == b'\n');
        let passed = newline.map_or(rest.len(), |newline| newline + 1);
        output.consume(passed);
        if passed == 0 || newline.is_some() {
            break;
        }
    }
    true
}

/// Whether a line says that the core has started: `... core: Xray 1.8.24 started` (`spec/xray.md`, Process).
fn is_ready(line: &str) -> bool {
    let version = line.strip_suffix(" started").and_then(|line| line.rsplit_once("Xray "));
    version.is_some_and(|(_, version)| {
        version.starts_with(|first: char| first.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+_".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_told_from_others() {
        for line in [
            "2026/11/25 01:02:03 [Warning] core: Xray 1.8.24 started",
            "2026/11/25 01:02:03.123456 [Warning] core: Xray 26.3.27 started",
            "core: Xray 26.3.27-custom started",
        ] {
            assert!(is_ready(line), "{line}");
        }
        for line in [
            "Xray 26.3.27 (Xray, Penetrates Everything.) Custom (go1.26 linux/amd64)",
            "[Warning] app/x: user Xray has started",
            "core: Xray  started",
            "core: Xray 26.3.27 started late",
        ] {
            assert!(!is_ready(line), "{line}");
        }
    }

    #[tokio::test]
    async fn lines_of_any_length_are_read_and_the_long_ones_cut() {
        let long = "x".repeat(3 * MAX_LINE_BYTES + 7);
        let text = format!("first\n{long}\n\nlast without a newline");
        let mut output = BufReader::with_capacity(100, text.as_bytes());
        let (mut line, mut lengths) = (Vec::new(), Vec::new());
        while read_line(&mut output, &mut line).await {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [6, MAX_LINE_BYTES, 1, 22]);
    }
}
