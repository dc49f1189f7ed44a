//! `kariz demo`.

use crate::exit::Exit;

/// Moves traffic through every lane on loopback and prints what it measured.
pub(crate) fn demo() -> Exit {
    eprintln!("error: this build has no workers for the demo");
    Exit::Internal
}
