//! Backhaul, transports `tcp` and `tcpmux` (smux version 2), with the figures of its README.

use super::TOKEN;
use crate::kit::contestant::End;
use crate::kit::pair::Addresses;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

const MUX: &str = "mux_version = 2\nmux_framesize = 32768\nmux_recievebuffer = 4194304\nmux_streambuffer = 65536\n";

pub(super) fn command(
    mut program: Command,
    end: End,
    mux: bool,
    addresses: &Addresses,
    file: impl FnOnce(String) -> Result<PathBuf>,
) -> Result<Command> {
    let Addresses { entry, link, target } = addresses;
    let transport = if mux { "tcpmux" } else { "tcp" };
    // `skip_optz`: as root it would set sysctls (tcp_notsent_lowat = 32768 among them) that everybody after it runs under.
    let common = format!(
        "transport = \"{transport}\"\ntoken = \"{TOKEN}\"\nnodelay = true\nlog_level = \"warn\"\nskip_optz = true\n"
    );
    let mut text = match end {
        End::Outer => format!(
            "[server]\nbind_addr = \"{link}\"\n{common}channel_size = 2048\nkeepalive_period = 75\nheartbeat = 40\n\
             ports = [\"{entry}={target}\"]\n"
        ),
        End::Inner => format!(
            "[client]\nremote_addr = \"{link}\"\n{common}connection_pool = 8\nkeepalive_period = 75\nretry_interval = 1\n"
        ),
    };
    if mux {
        text.push_str(MUX);
        if end == End::Outer {
            text.push_str("mux_con = 8\n");
        }
    }
    program.arg("-c").arg(file(text)?);
    Ok(program)
}
