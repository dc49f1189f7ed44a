//! Configuration files: TOML text becomes raw sections, raw sections become [`kariz_proto::model`], and every
//! problem on the way is reported at once (product specification, "Command line and configuration").
//!
//! | module | what it is |
//! |---|---|
//! | `problem` | what is wrong, where, and what was expected |
//! | `reader` | walks the parsed text, knows line and dotted key of everything, collects problems |
//! | `raw` | one struct per section with the keys that it takes; these die here |
//! | `value` | what a single value may be: addresses, durations, sizes, secrets, words |
//! | `build` | raw sections to validated specifications: defaults, limits between keys |
//! | `check` | what only shows when sections are seen together: bind conflicts, services without counterpart |
//!
//! The raw structs are filled from `toml`'s spanned tree by their own small trait instead of serde's: serde stops
//! at the first value of a wrong type, and an operator wants to hear about all of them, each with its line.

mod build;
mod check;
pub mod fuzz;
mod load;
mod problem;
mod raw;
mod reader;
#[cfg(test)]
mod tests;
mod value;

pub use load::{MAX_FILE_BYTES, load};
pub use problem::{MAX_PROBLEMS, Problem, Problems, Severity};

use kariz_proto::model::Spec;
use reader::Reader;
use value::Sources;

/// How strictly a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Turns unknown keys from errors into warnings (`--lenient`).
    pub lenient: bool,
}

/// A configuration that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What the file asks for.
    pub spec: Spec,
    /// What deserves attention but does not keep the program from starting, in the order of lines.
    pub warnings: Vec<Problem>,
}

/// The dotted paths of all keys, in every accepted spelling; `NAME` stands for the name of a service. Tests compare
/// this list with their own, so that no key stays without one.
pub fn keys() -> Vec<String> {
    let mut paths = Vec::new();
    <raw::RawFile as reader::FromToml>::paths("", &mut paths);
    paths
}

/// Reads a configuration from `text`. Secrets may come from the environment and from files; relative paths of
/// files are seen from the working directory.
///
/// # Errors
///
/// Every problem in the text, in the order of lines, warnings included.
pub fn parse(text: &str, options: Options) -> Result<Loaded, Problems> {
    parse_with(text, options, &Sources::Process(None), None)
}

/// [`parse`] with the places that secrets come from, and with the warning for inline secrets if the text is from a
/// file that every user of the machine can read.
fn parse_with(
    text: &str,
    options: Options,
    sources: &Sources<'_>,
    inline_secret_warning: Option<&str>,
) -> Result<Loaded, Problems> {
    let mut reader = Reader::new(text, options, sources);
    let raw: raw::RawFile = reader.read(text);
    if let Some(warning) = inline_secret_warning {
        reader.warn_about_inline_secrets(warning);
    }
    let spec = build::spec(&raw, &mut reader);
    check::across_sections(&raw, &spec, &mut reader);
    match reader.finish() {
        Ok(warnings) => Ok(Loaded { spec, warnings }),
        Err(problems) => Err(problems),
    }
}
