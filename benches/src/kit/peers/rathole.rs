//! rathole: one TCP connection for each visitor, out of a pool.

use super::TOKEN;
use crate::kit::contestant::End;
use crate::kit::pair::Addresses;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

pub(super) fn command(
    mut program: Command,
    end: End,
    addresses: &Addresses,
    file: impl FnOnce(String) -> Result<PathBuf>,
) -> Result<Command> {
    let Addresses { entry, link, target } = addresses;
    let (role, text) = match end {
        End::Outer => (
            "--server",
            format!(
                "[server]\nbind_addr = \"{link}\"\ndefault_token = \"{TOKEN}\"\n\n\
                 [server.services.bench]\nbind_addr = \"{entry}\"\n"
            ),
        ),
        End::Inner => (
            "--client",
            format!(
                "[client]\nremote_addr = \"{link}\"\ndefault_token = \"{TOKEN}\"\n\n\
                 [client.services.bench]\nlocal_addr = \"{target}\"\n"
            ),
        ),
    };
    program.arg(role).arg(file(text)?).env("RUST_LOG", "warn");
    Ok(program)
}
