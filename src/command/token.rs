//! `kariz token`: makes a token.

use crate::exit::Exit;
use anyhow::Context;
use std::fmt::Write;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Prints a random token.
pub(crate) fn token() -> Exit {
    match make() {
        Ok(token) => super::print(&format!("{token}\n")),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Internal
        }
    }
}

/// A random token, in hexadecimal.
///
/// # Errors
///
/// If the kernel gives no random bytes.
pub(crate) fn make() -> anyhow::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("the kernel gives no random bytes")?;
    Ok(bytes
        .iter()
        .fold(String::with_capacity(2 * TOKEN_BYTES), |mut token, byte| {
            write!(token, "{byte:02x}").expect("writing to a string cannot fail");
            token
        }))
}
