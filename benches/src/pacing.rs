//! A steady sender: the kernel lets no more than so many bytes a second out of a socket.
#![allow(unsafe_code)] // One socket option that no safe crate in the tree offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Limits what `socket` sends to `mbit_per_s`, spread evenly (`SO_MAX_PACING_RATE`, socket(7)).
///
/// # Errors
/// As `setsockopt(2)`.
pub fn pace(socket: impl AsFd, mbit_per_s: u16) -> io::Result<()> {
    let bytes_per_s = u64::from(mbit_per_s) * 1_000_000 / 8;
    let length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the pointer is valid for `length` bytes during the call, and the descriptor is borrowed across it.
    let code = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw const bytes_per_s).cast(),
            length,
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::load::bulk::{Bulk, Direction, Flow};
    use crate::target::Target;
    use std::time::{Duration, Instant};

    #[test]
    fn a_paced_flow_is_no_faster_than_its_pace_either_way() {
        let target = Target::start((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for direction in [Direction::Up, Direction::Down] {
            let flow = Flow {
                streams: 1,
                direction,
                mbit_per_s: Some(80),
            };
            let load = Bulk::start(target.address(), target.counters(), flow).unwrap();
            // The first burst of a connection may run ahead of the pace.
            std::thread::sleep(Duration::from_millis(200));
            let (begin, before) = (Instant::now(), load.received());
            std::thread::sleep(Duration::from_millis(500));
            let mbit = (load.received() - before) as f64 * 8e-6 / begin.elapsed().as_secs_f64();
            load.stop().unwrap();
            assert!(mbit > 1.0 && mbit < 160.0, "{direction:?}: {mbit} Mbit/s of 80");
        }
    }
}
