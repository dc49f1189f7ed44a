//! `publish`: what a comparison found, as tables in the README and as a picture beside the result file.
//!
//! Both are made from `benches/results/compare.json` alone, and a test compares them with what is committed.

mod cast;
mod cell;
mod columns;
mod notes;
mod picture;
mod section;
mod table;

use super::compare::{COMMAND, Report};
use super::report;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The result file that the README shows.
const RESULT: &str = "compare.json";

/// The picture, beside the result file.
const PICTURE: &str = "compare.svg";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A result file of `compare`, which becomes benches/results/compare.json; without it that file as it is.
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let result = report::folder().join(RESULT);
    // Read first: what is no result of a comparison replaces nothing.
    let report = read(options.result.as_deref().unwrap_or(&result))?;
    let readme = section::replaced(&text(&readme_path())?, &section::of(&report))?;
    if let Some(path) = &options.result
        && path.canonicalize().ok() != result.canonicalize().ok()
    {
        std::fs::copy(path, &result).with_context(|| format!("copying {} to {}", path.display(), result.display()))?;
    }
    for (path, text) in [
        (readme_path(), readme),
        (report::folder().join(PICTURE), picture::of(&report)),
    ] {
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn read(path: &Path) -> Result<Report> {
    report::read(path, COMMAND)
}

fn readme_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests;
