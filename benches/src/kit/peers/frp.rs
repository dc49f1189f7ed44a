//! frp, with and without `tcpMux`. TLS, its default between the two ends, is off: no other contestant encrypts the data
//! of visitors, and with TLS it could not splice.

use super::TOKEN;
use crate::kit::contestant::End;
use crate::kit::pair::Addresses;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

pub(super) fn command(
    mut program: Command,
    end: End,
    mux: bool,
    addresses: &Addresses,
    file: impl FnOnce(String) -> Result<PathBuf>,
) -> Result<Command> {
    let Addresses { entry, link, target } = addresses;
    let text = match end {
        End::Outer => format!(
            "bindAddr = \"{}\"\nbindPort = {}\nproxyBindAddr = \"{}\"\nauth.token = \"{TOKEN}\"\n\
             transport.tcpMux = {mux}\nlog.level = \"warn\"\n",
            link.ip(),
            link.port(),
            entry.ip(),
        ),
        End::Inner => format!(
            "serverAddr = \"{}\"\nserverPort = {}\nauth.token = \"{TOKEN}\"\nloginFailExit = false\n\
             transport.tcpMux = {mux}\ntransport.tls.enable = false\nlog.level = \"warn\"\n\n\
             [[proxies]]\nname = \"bench\"\ntype = \"tcp\"\nlocalIP = \"{}\"\nlocalPort = {}\nremotePort = {}\n",
            link.ip(),
            link.port(),
            target.ip(),
            target.port(),
            entry.port(),
        ),
    };
    program.arg("-c").arg(file(text)?);
    Ok(program)
}
