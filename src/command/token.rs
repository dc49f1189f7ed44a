//! `kariz token`: makes a token.

use crate::exit::Exit;
use std::fmt::Write;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Prints a random token, in hexadecimal.
pub(crate) fn token() -> Exit {
    let mut bytes = [0; TOKEN_BYTES];
    if let Err(error) = getrandom::fill(&mut bytes) {
        eprintln!("error: the kernel gives no random bytes: {error}");
        return Exit::Internal;
    }
    let token = bytes
        .iter()
        .fold(String::with_capacity(2 * TOKEN_BYTES), |mut token, byte| {
            write!(token, "{byte:02x}").expect("writing to a string cannot fail");
            token
        });
    super::print(&format!("{token}\n"))
}
