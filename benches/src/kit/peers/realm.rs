//! realm as a TCP relay, as it comes: it splices.

use std::net::SocketAddr;
use std::process::Command;

pub(super) fn command(mut program: Command, from: SocketAddr, to: SocketAddr) -> Command {
    program.args(["-l", &from.to_string(), "-r", &to.to_string()]);
    program
}
