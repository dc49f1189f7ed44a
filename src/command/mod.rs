//! One file per command.

mod check;
mod demo;
mod doctor;
mod run;
mod token;

use crate::cli::Command;
use crate::exit::Exit;
use std::io::{ErrorKind, Write};

/// Carries out a command; says on standard error what went wrong.
pub(crate) fn dispatch(command: Command) -> Exit {
    match command {
        Command::Server(args) => run::run(&args, run::Sections::Server),
        Command::Client(args) => run::run(&args, run::Sections::Client),
        Command::Relay(args) => run::run(&args, run::Sections::Relay),
        Command::Run(args) => run::run(&args, run::Sections::All),
        Command::Check(args) => check::check(&args),
        Command::Demo => demo::demo(),
        Command::Doctor => doctor::doctor(),
        Command::Token => token::token(),
    }
}

/// Writes the result of a command to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> Exit {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: the result cannot be written: {error}");
            Exit::Internal
        }
        _ => Exit::Done,
    }
}
