//! The programs that a run has at hand.

use super::children::Process;
use super::kariz::{Kariz, KarizOptions};
use super::peers::{Peers, Recipe};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Kariz and its peers, and the folder for their configuration files and logs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    kariz: Option<Kariz>,
    before: Option<Kariz>,
    peers: Peers,
    folder: PathBuf,
}

impl Programs {
    /// Finds or builds Kariz, unless the options leave it out.
    pub(crate) fn prepare(options: &KarizOptions, peers: Peers, folder: &Path) -> Result<Self> {
        Ok(Self {
            kariz: Kariz::prepare(options, folder)?,
            before: None,
            peers,
            folder: folder.to_owned(),
        })
    }

    /// Adds another build of Kariz, which runs with the same options.
    pub(crate) fn add_before(&mut self, program: &Path, options: &KarizOptions) -> Result<()> {
        let options = KarizOptions {
            kariz: Some(program.to_owned()),
            ..options.clone()
        };
        self.before = Kariz::prepare(&options, &self.folder)?;
        Ok(())
    }

    pub(crate) fn before(&self) -> Result<&Kariz> {
        self.before
            .as_ref()
            .context("this run is without another build of kariz")
    }

    pub(crate) fn has_before(&self) -> bool {
        self.before.is_some()
    }

    pub(crate) fn has_kariz(&self) -> bool {
        self.kariz.is_some()
    }

    pub(crate) fn kariz(&self) -> Result<&Kariz> {
        self.kariz.as_ref().context("this run is without kariz")
    }

    /// What Kariz says that it is.
    pub(crate) fn kariz_version(&self) -> String {
        self.kariz.as_ref().map_or_else(|| "none".into(), Kariz::version)
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Configuration files and logs go here.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a process of a peer.
    pub(crate) fn start_peer(&self, recipe: &Recipe) -> Result<Process> {
        let command = recipe.command(&self.peers, &self.folder)?;
        Process::start(command, &self.folder, &recipe.name())
    }
}
