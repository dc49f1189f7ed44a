//! Key pairs, made with `kariz cert node`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key and its certificate.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    pub(super) fn make(kariz: &Path, folder: &Path, name: &str) -> Result<Self> {
        let pair = Self {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        let mut command = Command::new(kariz);
        command
            .args(["cert", "node", "--cert"])
            .arg(&pair.certificate)
            .arg("--key")
            .arg(&pair.key);
        let output = command.output().with_context(|| format!("running {command:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "kariz cert node ended with {}: {said}",
            output.status
        );
        Ok(pair)
    }
}
