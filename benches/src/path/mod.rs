//! A path with delay: two network namespaces, and between them a forwarder that holds packets back.
//!
//! The kernel's own delay (netem) is missing on many machines, and a delaying proxy would end TCP, so that handshakes
//! would not feel the distance. Needs root, `/dev/net/tun` and the command `ip`.

mod forwarder;
mod namespace;
mod tun;

pub use namespace::{Namespace, enter as enter_namespace};

use forwarder::Forwarder;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Address of the first namespace on the path.
pub const FIRST: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

/// Address of the second namespace on the path.
pub const SECOND: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);

/// Two namespaces, [`FIRST`] and [`SECOND`], and a path between them; everything goes with it when it is dropped.
#[derive(Debug)]
pub struct DelayedPath {
    /// One end; its address is [`FIRST`].
    pub first: Namespace,
    /// The other end; its address is [`SECOND`].
    pub second: Namespace,
    cut: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DelayedPath {
    /// Makes both namespaces and joins them; every packet takes `one_way` to cross, in order, none is lost.
    ///
    /// # Errors
    /// Not root, no `/dev/net/tun`, or no `ip`.
    pub fn new(one_way: Duration) -> io::Result<Self> {
        let (first, second) = (Namespace::new()?, Namespace::new()?);
        let ends = [first.run(|| tun::open(FIRST))?, second.run(|| tun::open(SECOND))?];
        let (cut, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let forwarder = Forwarder::new(ends, one_way, cut.clone())?;
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("bench-path".into())
            .spawn(move || forwarder.run(&stopped))?;
        Ok(Self {
            first,
            second,
            cut,
            stop,
            thread: Some(thread),
        })
    }

    /// Limits both directions to `mbit_per_s` with a token bucket (`tc-tbf`), which holds back 50 ms' worth at most and
    /// drops what comes beyond.
    ///
    /// # Errors
    /// The command `tc` is missing, or the kernel has no TBF.
    pub fn cap(&self, mbit_per_s: u32) -> io::Result<()> {
        for end in [&self.first, &self.second] {
            end.run(move || tun::cap(mbit_per_s))?;
        }
        Ok(())
    }

    /// Lets every packet vanish from now on (or no longer), without telling anybody.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

impl Drop for DelayedPath {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;
    use crate::visitor;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Instant;

    #[test]
    fn a_handshake_and_a_round_trip_take_the_delay_and_a_cut_path_carries_nothing() {
        if !rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/net/tun").exists() {
            eprintln!("not run: needs root and /dev/net/tun");
            return;
        }
        let path = DelayedPath::new(Duration::from_millis(20)).unwrap();
        let target = path.second.run(|| Target::start((SECOND, 0).into())).unwrap();
        let address: SocketAddr = target.address();
        let (connected, answered, stream) = path.first.run(move || {
            let begin = Instant::now();
            let stream = TcpStream::connect(address).unwrap();
            let connected = begin.elapsed();
            visitor::echo(&stream, 1, 1000).unwrap();
            let answered = begin.elapsed() - connected;
            visitor::upload(&TcpStream::connect(address).unwrap(), 2, 300_000).unwrap();
            (connected, answered, TcpStream::connect(address).unwrap())
        });
        // The echo ends with a second round trip: the end, and the answer to it.
        for (time, least) in [(connected, 40), (answered, 80)] {
            assert!(time >= Duration::from_millis(least), "{time:?} is less than {least} ms");
        }
        path.cut(true);
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!(visitor::echo(&stream, 3, 1).is_err());
        path.cut(false);
        path.first
            .run(move || visitor::download(&TcpStream::connect(address).unwrap(), 4, 1000))
            .unwrap();
    }
}
