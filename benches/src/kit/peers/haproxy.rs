//! HAProxy as a TCP relay: one thread, `option splice-auto`.

use anyhow::Result;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

pub(super) fn command(
    mut program: Command,
    from: SocketAddr,
    to: SocketAddr,
    file: impl FnOnce(String) -> Result<PathBuf>,
) -> Result<Command> {
    // So many connections and pipes fit where a process may have no more than 20,000 descriptors.
    let text = format!(
        "global\n    nbthread 1\n    maxconn 9600\n    maxpipes 256\n\n\
         defaults\n    mode tcp\n    option splice-auto\n    timeout connect 5s\n    timeout client 1h\n    \
         timeout server 1h\n\n\
         listen bench\n    bind {from}\n    server target {to}\n"
    );
    program.arg("-db").arg("-f").arg(file(text)?);
    Ok(program)
}
