//! Kariz: a reverse tunnel and relay on thread-per-core io_uring workers.
//!
//! This crate is the binary: it reads the command line, wires the two planes together and turns outcomes into
//! exit codes. What the program can do is in `kariz_actors` (control plane), `kariz_dataplane` (workers) and
//! `kariz_proto` (protocols and vocabulary).
//!
//! | module | what it is |
//! |---|---|
//! | `cli` | the command line |
//! | `command` | one file per command |
//! | `exit` | exit codes |
//! | `logging` | where log lines go |
//! | `plane` | joins the two planes |
//! | `signals` | what a supervisor asks for |
//! | `stack` | both planes of one specification, running |

mod cli;
mod command;
mod exit;
mod logging;
mod plane;
mod signals;
mod stack;

use clap::Parser;
use clap::error::ErrorKind;
use exit::Exit;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match cli::Cli::try_parse() {
        Ok(cli) => command::dispatch(cli.command),
        Err(error) => {
            // Nothing can be done about an output that is closed.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            }
        }
    };
    exit.into()
}
