//! How the program ends (product specification, "Commands").

use std::process::ExitCode;

/// What the exit code tells a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// A check found something that keeps the program from working (`kariz doctor`).
    Failed = 1,
    /// The command line or the configuration is wrong; every problem was listed.
    Usage = 64,
    /// Something went wrong inside the program.
    Internal = 70,
    /// It could not start: an address is in use, a permission is missing.
    CannotStart = 75,
}

impl Exit {
    /// What marzban-node ends with where it refuses its environment.
    pub(crate) fn of_node(status: u8) -> Self {
        if status == 0 { Self::Done } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
