//! The core's configuration as it was started, in a file for whoever looks for a fault (`spec/node-panel.md`, 3.3): with all
//! users and their secrets, so it is readable by its owner alone.

use crate::shared::Guarded;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
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
    /// How often it was written.
    files: u64,
    /// The number of the one that is there: an older one that took longer does not take its place.
    newest: Arc<Guarded<u64>>,
}

impl Generated {
    /// In `folder`, which is made if there is none.
    pub(super) fn at(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            due: None,
            files: 0,
            newest: Arc::default(),
        }
    }

    /// Users have changed.
    pub(super) fn is_behind(&mut self) {
        if self.folder.is_some() {
            self.due.get_or_insert_with(|| Instant::now() + PAUSE);
        }
    }

    /// When it is to be written again; `None` if it says what there is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Has `text` write it, on another thread. What goes wrong is logged.
    pub(super) fn write(&mut self, text: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) {
        self.due = None;
        self.files += 1;
        let Some(folder) = self.folder.clone() else { return };
        let (number, newest) = (self.files, self.newest.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&folder, text, number, &newest) {
                tracing::warn!("GENERATED_CONFIG_PATH={}: {error}", folder.display());
            }
        });
    }
}

/// Whoever reads it sees all of an old one or all of a new one.
fn write(
    folder: &Path,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    number: u64,
    newest: &Guarded<u64>,
) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    let mut file = BufWriter::new(file);
    text(&mut file)?;
    let file = file.into_inner()?;
    // Only other files wait for this lock, on threads like this one.
    let mut newest = newest.lock();
    if number > *newest {
        file.persist(folder.join(FILE))?;
        *newest = number;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_text(folder: &Path, text: &str, number: u64, newest: &Guarded<u64>) {
        write(folder, |file| file.write_all(text.as_bytes()), number, newest).unwrap();
    }

    #[test]
    fn a_file_is_its_owners_alone_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (below, newest) = (folder.path().join("a/b"), Guarded::default());
        write_text(&below, "an old one that is longer", 1, &newest);
        write_text(&below, "a new one", 2, &newest);
        let file = below.join(FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a new one");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn one_that_took_longer_does_not_take_the_place_of_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let newest = Guarded::default();
        write_text(folder.path(), "newer", 2, &newest);
        write_text(folder.path(), "older", 1, &newest);
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "newer");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn one_that_fails_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let newest = Guarded::default();
        write_text(folder.path(), "old", 1, &newest);
        let fails = |file: &mut dyn Write| file.write_all(b"half").and(Err(io::Error::other("no more")));
        write(folder.path(), fails, 2, &newest).unwrap_err();
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "old");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_users_are_written_once_in_a_while() {
        let mut nowhere = Generated::at(None);
        nowhere.is_behind();
        assert_eq!(nowhere.due(), None);
        let folder = tempfile::tempdir().unwrap();
        let mut generated = Generated::at(Some(folder.path().into()));
        assert_eq!(generated.due(), None);
        let first = Instant::now();
        generated.is_behind();
        tokio::time::advance(PAUSE / 2).await;
        generated.is_behind();
        assert_eq!(generated.due(), Some(first + PAUSE), "more changes do not put it off");
        generated.write(|file| file.write_all(b"{}"));
        assert_eq!(generated.due(), None);
    }
}
