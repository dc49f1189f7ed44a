//! The core's configuration as it was started, in a file for whoever looks for a fault (`spec/node-panel.md`, 3.3): with all
//! users and their secrets, so it is readable by its owner alone.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The file in its folder.
const FILE: &str = "xray.json";

/// Shortest time between two files that changes of users ask for.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the configuration is written down, if it is to be.
pub(super) struct Generated {
    folder: Option<PathBuf>,
    /// Users have changed since it was written.
    pub(super) is_behind: bool,
    written: Instant,
}

impl Generated {
    /// In `folder`, which is made if there is none.
    pub(super) fn at(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            is_behind: false,
            written: Instant::now(),
        }
    }

    /// When it is to be written again; `None` if it says what there is.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.is_behind && self.folder.is_some()).then(|| self.written + PAUSE)
    }

    /// Whether it is written at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes it, on another thread. What goes wrong is logged.
    pub(super) fn write(&mut self, text: Vec<u8>) {
        self.is_behind = false;
        self.written = Instant::now();
        let Some(folder) = self.folder.clone() else { return };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&folder, &text) {
                tracing::warn!("GENERATED_CONFIG_PATH={}: {error}", folder.display());
            }
        });
    }
}

/// Whoever reads it sees all of an old one or all of a new one.
fn write(folder: &Path, text: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(text)?;
    file.persist(folder.join(FILE))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        for text in ["an old one that is longer", "a new one"] {
            write(&below, text.as_bytes()).unwrap();
        }
        let file = below.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "a new one");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 1, "nothing else is left");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_users_are_written_once_in_a_while() {
        let mut nowhere = Generated::at(None);
        nowhere.is_behind = true;
        assert_eq!((nowhere.due(), nowhere.is_wanted()), (None, false));
        let folder = tempfile::tempdir().unwrap();
        let mut generated = Generated::at(Some(folder.path().into()));
        assert_eq!(generated.due(), None);
        generated.is_behind = true;
        assert_eq!(generated.due(), Some(Instant::now() + PAUSE));
        generated.write(b"{}".to_vec());
        assert_eq!(generated.due(), None);
    }
}
