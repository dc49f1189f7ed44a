//! The core's configuration as it was started, in a file for whoever looks for a fault (`spec/node-panel.md`, 3.3): with all
//! users and their secrets, so it is readable by its owner alone.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The file in its folder.
const FILE: &str = "xray.json";

/// How long users may change before their file is written, and the shortest time between two files that this asks for.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the configuration is written down, if it is to be.
pub(super) struct Generated {
    folder: Option<PathBuf>,
    /// When it is to be written again: users have changed since it was.
    due: Option<Instant>,
    /// The file that is being written. There is never more than one: each holds users who were.
    writing: Option<JoinHandle<()>>,
}

impl Generated {
    /// In `folder`, which is made if there is none.
    pub(super) fn at(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            due: None,
            writing: None,
        }
    }

    /// It does not say any more what there is.
    pub(super) fn fall_behind(&mut self) {
        if self.folder.is_some() {
            self.due.get_or_insert_with(|| Instant::now() + PAUSE);
        }
    }

    /// When it is to be written again; `None` if it says what there is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Has `text` write it, on another thread; later, if one is still being written. What goes wrong is logged.
    pub(super) fn write(&mut self, text: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) {
        let Some(folder) = self.folder.clone() else { return };
        self.due = None;
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return self.fall_behind();
        }
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&folder, text) {
                tracing::warn!("GENERATED_CONFIG_PATH={}: {error}", folder.display());
            }
        }));
    }
}

/// Whoever reads it sees all of an old one or all of a new one.
fn write(folder: &Path, text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    let mut file = BufWriter::new(file);
    text(&mut file)?;
    file.into_inner()?.persist(folder.join(FILE))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_file_is_its_owners_alone_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        for text in ["an old one that is longer", "a new one"] {
            write(&below, |file| file.write_all(text.as_bytes())).unwrap();
        }
        let file = below.join(FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a new one");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        write(&below, |file| {
            file.write_all(b"half").and(Err(io::Error::other("no more")))
        })
        .unwrap_err();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a new one");
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 1, "nothing else is left");
    }

    #[tokio::test]
    async fn one_is_written_at_a_time_and_the_next_one_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut generated = Generated::at(Some(folder.path().into()));
        let (go_on, wait) = mpsc::channel();
        generated.write(move |file| {
            wait.recv().map_err(io::Error::other)?;
            file.write_all(b"first")
        });
        generated.write(|_| panic!("the first one is not there yet"));
        assert!(generated.due().is_some());
        go_on.send(()).unwrap();
        generated.writing.take().unwrap().await.unwrap();
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), b"first");
        generated.write(|file| file.write_all(b"second"));
        assert_eq!(generated.due(), None);
        generated.writing.take().unwrap().await.unwrap();
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), b"second");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_users_are_written_once_in_a_while() {
        let mut nowhere = Generated::at(None);
        nowhere.fall_behind();
        assert_eq!(nowhere.due(), None);
        let folder = tempfile::tempdir().unwrap();
        let mut generated = Generated::at(Some(folder.path().into()));
        assert_eq!(generated.due(), None);
        let first = Instant::now();
        generated.fall_behind();
        tokio::time::advance(PAUSE / 2).await;
        generated.fall_behind();
        assert_eq!(generated.due(), Some(first + PAUSE), "more changes do not put it off");
    }
}
