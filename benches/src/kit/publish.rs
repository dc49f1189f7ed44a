//! `publish`: what `compare` and `node` found, as tables in the README and as a picture beside the result files.
//!
//! All is made from `benches/results/compare.json` and `node.json` alone, and a test compares it with what is committed.

mod cast;
mod cell;
mod columns;
mod node;
mod notes;
mod picture;
mod section;
mod table;

use super::{compare, node as kit_node, report};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The result file of `compare` that the README shows.
const COMPARISON: &str = "compare.json";

/// The result file of `node` that it shows.
const NODES: &str = "node.json";

/// The picture, beside the result file.
const PICTURE: &str = "compare.svg";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A result file of `compare`, which becomes benches/results/compare.json; without it that file as it is.
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// A result file of `node`, which becomes benches/results/node.json; without it that file as it is.
    #[arg(long, value_name = "FILE")]
    node_result: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // Read first: what is no result of its command replaces nothing.
    let comparison: compare::Report = read(options.result.as_deref(), COMPARISON, compare::COMMAND)?;
    let nodes: kit_node::Report = read(options.node_result.as_deref(), NODES, kit_node::COMMAND)?;
    let readme = sections(&text(&readme_path())?, &comparison, &nodes)?;
    for (given, name) in [(&options.result, COMPARISON), (&options.node_result, NODES)] {
        take_over(given.as_deref(), &report::folder().join(name))?;
    }
    for (path, text) in [
        (readme_path(), readme),
        (report::folder().join(PICTURE), picture::of(&comparison)),
    ] {
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// The README with everything in it that is generated.
fn sections(readme: &str, comparison: &compare::Report, nodes: &kit_node::Report) -> Result<String> {
    let readme = section::replaced(readme, "compare", &section::of(comparison))?;
    section::replaced(&readme, "node", &node::of(nodes))
}

/// The given result, or the committed one.
fn read<O: DeserializeOwned, R: DeserializeOwned>(
    given: Option<&Path>,
    committed: &str,
    command: &str,
) -> Result<report::Report<O, R>> {
    let committed = report::folder().join(committed);
    report::read(given.unwrap_or(&committed), command)
}

/// Puts a given result in the place of the committed one.
fn take_over(given: Option<&Path>, committed: &Path) -> Result<()> {
    let Some(given) = given.filter(|given| given.canonicalize().ok() != committed.canonicalize().ok()) else {
        return Ok(());
    };
    std::fs::copy(given, committed)
        .with_context(|| format!("copying {} to {}", given.display(), committed.display()))?;
    Ok(())
}

fn readme_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests;
