//! The command line.

use clap::{Args, Parser, Subcommand};
use kariz_actors::node::settings::VARIABLES;
use std::fmt::Write;
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
    /// Run a proxy core for a Marzban panel; set up by the environment, as marzban-node is
    #[command(after_help = variables_of_a_node())]
    Node,
    /// Validate a file, or the environment of a node, and say every problem in it
    Check(CheckArgs),
    /// Make a certificate
    #[command(subcommand)]
    Cert(Cert),
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

/// What to check.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Checked {
    /// The configuration file (TOML)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The environment of `kariz node`
    #[arg(long)]
    pub(crate) node: bool,
}

/// How to check it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) checked: Checked,
    /// Turn unknown keys from errors into warnings
    #[arg(long, conflicts_with = "node")]
    pub(crate) lenient: bool,
}

/// What the certificate is for.
#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// The node's own: a pair for the name that panels ask for
    Node(CertNodeArgs),
}

/// Where the pair goes.
#[derive(Debug, Args)]
pub(crate) struct CertNodeArgs {
    /// The certificate; without it SSL_CERT_FILE of the environment
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key; without it SSL_KEY_FILE of the environment
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Make an RSA key, as marzban-node does, instead of P-256; takes seconds
    #[arg(long)]
    pub(crate) rsa: bool,
    /// How long the RSA key is
    #[arg(long, hide = true, requires = "rsa", default_value_t = 4096, value_parser = clap::value_parser!(u16).range(2048..=4096))]
    pub(crate) bits: u16,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

/// The environment of `kariz node`, for its help.
fn variables_of_a_node() -> String {
    let mut text = "Environment, or `.env` in the working directory or above:\n".to_owned();
    for variable in VARIABLES {
        // Written to a string: nothing that can fail.
        let _ = write!(text, "  {:<22} {}", variable.name, variable.about);
        if !variable.default.is_empty() {
            let _ = write!(text, " [default: {}]", variable.default);
        }
        text.push('\n');
    }
    text
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
