//! Tests of the whole way from text to specification.

mod bounds;
mod examples;
mod fuzzing;
mod keys;
mod problems;
mod values;

use super::value::Sources;
use super::{Loaded, Options, Problems, parse_with};
use std::ffi::OsString;

/// A server without services, to be completed.
const SERVER: &str = "[server]\nbind_addr = \":4040\"\ntransport = \"tcpmux\"\ndefault_token = \"0123456789abcdef\"\n";

/// A client without services, to be completed.
const CLIENT: &str =
    "[client]\nremote_addr = \"192.0.2.1:4040\"\ntransport = \"tcpmux\"\ndefault_token = \"0123456789abcdef\"\n";

/// Reads `text` strictly, without files; the environment has `TOKEN` and nothing else.
fn read(text: &str) -> Result<Loaded, Problems> {
    read_with(text, Options::default())
}

fn read_with(text: &str, options: Options) -> Result<Loaded, Problems> {
    let environment = |name: &str| (name == "TOKEN").then(|| OsString::from("from the environment"));
    parse_with(text, options, &Sources::Isolated(&environment), None)
}

/// What a refused text is refused for, one line each.
fn refusal(text: &str) -> Vec<String> {
    match read(text) {
        Ok(loaded) => panic!("accepted: {text}\n{:?}", loaded.spec),
        Err(problems) => problems.list.iter().map(ToString::to_string).collect(),
    }
}
