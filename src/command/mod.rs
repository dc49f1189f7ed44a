//! One file per command.

mod cert;
mod check;
mod demo;
mod doctor;
mod node;
mod run;
mod token;

use crate::cli::{Cert, Command};
use crate::exit::Exit;
use kariz_actors::node::settings::{self, Reading};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Carries out a command; says on standard error what went wrong.
pub(crate) fn dispatch(command: Command) -> Exit {
    match command {
        Command::Server(args) => run::run(&args, run::Sections::Server),
        Command::Client(args) => run::run(&args, run::Sections::Client),
        Command::Relay(args) => run::run(&args, run::Sections::Relay),
        Command::Run(args) => run::run(&args, run::Sections::All),
        Command::Node => node::node(),
        Command::Check(args) => check::check(&args),
        Command::Cert(Cert::Node(args)) => cert::node(&args),
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

/// What this process's environment, and `.env` in its working directory or above, say to a node.
fn environment() -> Reading {
    settings::read(&variable, &working_directory())
}

/// Without a working directory there is no `.env` to look for.
fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
