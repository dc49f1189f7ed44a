//! A TUN interface: what the kernel routes to it is read as packets, what is written to it arrives.
#![allow(unsafe_code)] // One ioctl that no safe crate in the tree offers.

use super::namespace::{ip, run_tool};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

const NAME: &str = "path0";

/// Opens the interface `path0` with `address`/30 in the namespace of the calling thread, up, non-blocking.
pub(super) fn open(address: Ipv4Addr) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: ifreq is plain old data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives across the call; the name in it ends with a zero.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    ip(&["address", "add", &format!("{address}/30"), "dev", NAME])?;
    ip(&["link", "set", NAME, "mtu", "1500", "txqueuelen", "10000", "up"])?;
    Ok(file)
}

/// Limits what the kernel sends through the interface in the namespace of the calling thread.
pub(super) fn cap(mbit_per_s: u32) -> io::Result<()> {
    let rate = format!("{mbit_per_s}mbit");
    run_tool(
        "tc",
        &[
            "qdisc", "replace", "dev", NAME, "root", "tbf", "rate", &rate, "burst", "128k", "latency", "50ms",
        ],
    )
}
