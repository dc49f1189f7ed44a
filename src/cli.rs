//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Reverse tunnel and relay for hosts with a lot of bandwidth.
#[derive(Debug, Parser)]
#[command(name = "kariz", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The public end of the tunnel: runs [server] of the file
    Server(ConfigArgs),
    /// The inner end of the tunnel: runs [client] of the file
    Client(ConfigArgs),
    /// Forward ports without a tunnel: runs [relay] of the file
    Relay(ConfigArgs),
    /// Run every section that the file has
    Run(ConfigArgs),
    /// Validate a file and say every problem in it
    Check(ConfigArgs),
    /// Move real traffic through server, client and relay on loopback, and print what was measured
    Demo,
    /// Say what this machine is missing: kernel, io_uring, limits, sysctls
    Doctor,
    /// Make a token
    Token,
}

/// The configuration file of a command.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file (TOML)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Turn unknown keys from errors into warnings
    #[arg(long)]
    pub(crate) lenient: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
