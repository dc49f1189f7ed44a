//! Unix sockets that a core listens on: one that was killed leaves their files behind, and no other core could listen there
//! (`spec/xray.md`, Process; `spec/node-panel.md`, 4.4).

use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The files that `inbounds` listen on: `"listen": "/path"` or `"/path,0666"`.
pub(crate) fn of<'a>(inbounds: impl IntoIterator<Item = &'a Value>) -> Vec<PathBuf> {
    let path = |inbound: &Value| {
        let listen = inbound["listen"].as_str().filter(|listen| listen.starts_with('/'))?;
        // A mode may follow, behind the only comma.
        let path = listen.split_once(',').filter(|(_, mode)| !mode.contains(','));
        Some(PathBuf::from(path.map_or(listen, |(path, _)| path)))
    };
    inbounds.into_iter().filter_map(path).collect()
}

/// Removes those of `paths` that are sockets on which nobody listens. All others stay, and so does everything else.
pub(super) async fn remove_stale(paths: &[PathBuf]) {
    for path in paths {
        if is_stale(path).await {
            match fs::remove_file(path) {
                Ok(()) => tracing::info!("{}: removed, for the core that listened there is gone", path.display()),
                Err(error) => tracing::warn!("{}: {error}", path.display()),
            }
        }
    }
}

async fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    // One whose queue is full has somebody, too.
    is_socket && matches!(UnixStream::connect(path).await, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixListener;

    #[test]
    fn sockets_are_what_inbounds_listen_on_by_path() {
        let inbounds = [
            json!({ "listen": "/run/a" }),
            json!({ "listen": "/run/b,0666" }),
            json!({ "listen": "/run/a,b,0666" }),
            json!({ "listen": "@abstract" }),
            json!({ "listen": "127.0.0.1" }),
            json!({ "listen": 7 }),
            json!("no inbound"),
        ];
        assert_eq!(of(&inbounds), ["/run/a", "/run/b", "/run/a,b,0666"].map(PathBuf::from));
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["left", "taken", "file", "link", "nothing"].map(|name| folder.path().join(name));
        let [left, taken, file, link, _] = &paths;
        drop(UnixListener::bind(left).unwrap());
        let _listener = UnixListener::bind(taken).unwrap();
        fs::write(file, "").unwrap();
        std::os::unix::fs::symlink(left, link).unwrap();
        remove_stale(&paths).await;
        let there = paths.each_ref().map(|path| fs::symlink_metadata(path).is_ok());
        assert_eq!(there, [false, true, true, true, false]);
    }
}
