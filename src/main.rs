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
mod memory;
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
    use_small_pages();
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

/// Has memory mapped in small pages only. The allocator asks for huge ones, and two MiB at a time become resident where a
/// visitor needs two KiB: three times the idle memory. Children inherit it.
fn use_small_pages() {
    // An old kernel refuses, and then there is only more memory in use.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
