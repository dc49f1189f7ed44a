//! The files that a panel's configuration names for the core's log. The core writes to its standard output alone, and the node
//! writes the lines on: who was let in where into the one, everything else into the other (`spec/node-panel.md`, 4.4).

use super::logs::lost;
use crate::node::state::State;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

/// What a configuration says where there is to be no file.
const NO_FILE: [&str; 2] = ["none", ""];

/// The files' paths, as a configuration has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogPaths {
    access: Option<PathBuf>,
    error: Option<PathBuf>,
}

impl LogPaths {
    /// `log.access` and `log.error`; relative ones are taken as they are.
    pub(super) fn new(access: Option<&str>, error: Option<&str>) -> Self {
        let path = |text: Option<&str>| text.filter(|text| !NO_FILE.contains(text)).map(PathBuf::from);
        Self {
            access: path(access),
            error: path(error),
        }
    }
}

/// Writes lines for as long as it is there.
pub(super) struct LogFiles(JoinHandle<()>);

impl LogFiles {
    /// Begins with the next line; `None` if no file is asked for.
    pub(super) fn begin(state: &Arc<State>, paths: &LogPaths) -> Option<Self> {
        let task = write(state.clone(), paths.clone());
        (*paths != LogPaths::default()).then(|| Self(tokio::spawn(task)))
    }
}

impl Drop for LogFiles {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn write(state: Arc<State>, paths: LogPaths) {
    let mut reader = state.logs.reader_of_new(state.settings.log_lines);
    let mut access = open(paths.access).await;
    let mut error = open(paths.error).await;
    loop {
        let unseen = state.logs.take(&mut reader);
        let (mut of_access, mut of_error) = (String::new(), String::new());
        if unseen.lost > 0 {
            of_error.extend([&*lost(unseen.lost), "\n"]);
        }
        for line in &unseen.lines {
            let text = match is_access(line) {
                true => &mut of_access,
                false => &mut of_error,
            };
            text.extend([&**line, "\n"]);
        }
        append(&mut access, &of_access).await;
        append(&mut error, &of_error).await;
        reader.changed().await;
    }
}

async fn open(path: Option<PathBuf>) -> Option<(PathBuf, File)> {
    let path = path?;
    match OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&path)
        .await
    {
        Ok(file) => Some((path, file)),
        Err(error) => {
            tracing::warn!("the core's lines cannot be written to {}: {error}", path.display());
            None
        }
    }
}

/// A file that cannot be written to is given up.
async fn append(file: &mut Option<(PathBuf, File)>, text: &str) {
    let Some((path, open)) = file else { return };
    let written = async {
        open.write_all(text.as_bytes()).await?;
        open.flush().await
    };
    if let Err(error) = written.await {
        tracing::warn!(
            "the core's lines are not written to {} any more: {error}",
            path.display()
        );
        *file = None;
    }
}

/// Whether a line says that somebody was let in: `... accepted tcp:example.com:443 [in -> out] email: 8.bob`.
fn is_access(line: &str) -> bool {
    let accepted = line.split_once(" accepted ").map(|(_, rest)| rest);
    accepted.is_some_and(|rest| (rest.starts_with("tcp:") || rest.starts_with("udp:")) && rest.contains(" email: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_access_are_told_from_others() {
        let line = "2026/11/25 01:02:03.1 from 127.0.0.1:4 accepted tcp:example.com:443 [in -> out] email: 8.bob";
        assert!(is_access(line));
        for other in [
            "2026/11/25 01:02:03 [Warning] core: Xray 26.3.27 started",
            "from 127.0.0.1:4 accepted tcp:127.0.0.1:0 [API_INBOUND -> API]",
            "from 1.2.3.4:5 rejected  proxy/vless: invalid request email: x",
        ] {
            assert!(!is_access(other), "{other}");
        }
    }

    #[test]
    fn none_is_no_file() {
        assert_eq!(LogPaths::new(Some("none"), Some("")), LogPaths::default());
        assert_eq!(LogPaths::new(None, None), LogPaths::default());
        assert_eq!(LogPaths::new(Some("/a"), None).access, Some("/a".into()));
    }
}
