use super::framing::{self, End};
use super::splice;
use crate::load::free_port;
use crate::target::Target;
use crate::visitor;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn local(port: u16) -> SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}

fn connect(address: SocketAddr) -> TcpStream {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            return stream;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens at {address}");
}

/// Two hops in a row.
fn pair_carries_everything(hop: fn(SocketAddr, SocketAddr) -> io::Result<()>) {
    let target = Target::start(local(0)).unwrap();
    let (entry, exit) = (local(free_port().unwrap()), local(free_port().unwrap()));
    let to = target.address();
    std::thread::spawn(move || hop(exit, to));
    std::thread::spawn(move || hop(entry, exit));
    drop(connect(exit));
    let before = target.counters().short_ends.load(Ordering::Relaxed);
    carries_everything(entry, &target);
    assert!(target.counters().short_ends.load(Ordering::Relaxed) <= before + 1);
    visitor::download_until_reset(&connect(entry), 9, 10_000).unwrap();
}

fn carries_everything(entry: SocketAddr, target: &Target) {
    std::thread::scope(|scope| {
        for seed in 0..40 {
            scope.spawn(move || {
                let (stream, length) = (connect(entry), 3_000_001 + seed);
                match seed % 3 {
                    0 => visitor::upload(&stream, seed, length),
                    1 => visitor::download(&stream, seed, length),
                    _ => visitor::echo(&stream, seed, length),
                }
                .unwrap();
            });
        }
    });
    let mut waited = 0;
    while target.counters().open.load(Ordering::Relaxed) > 0 && waited < 200 {
        std::thread::sleep(Duration::from_millis(10));
        waited += 1;
    }
    assert_eq!(target.counters().open.load(Ordering::Relaxed), 0);
    assert_eq!(target.counters().completed.load(Ordering::Relaxed), 40);
}

#[test]
fn a_splice_pair_carries_every_byte_and_every_end() {
    pair_carries_everything(splice::run);
}

#[test]
fn a_framing_pair_carries_every_byte_and_every_end() {
    let target = Target::start(local(0)).unwrap();
    let (entry, exit) = (local(free_port().unwrap()), local(free_port().unwrap()));
    let to = target.address();
    std::thread::spawn(move || framing::run(End::Exit, exit, to));
    drop(connect(exit));
    std::thread::spawn(move || framing::run(End::Entry, entry, exit));
    carries_everything(entry, &target);
    visitor::download_until_reset(&connect(entry), 9, 10_000).unwrap();
}

#[cfg(feature = "runtimes")]
mod runtimes {
    use super::pair_carries_everything;
    use crate::contender::runtime;

    #[test]
    fn a_tokio_pair_carries_every_byte_and_every_end() {
        pair_carries_everything(runtime::tokio::run);
    }

    #[test]
    fn a_realm_pair_carries_every_byte_and_every_end() {
        pair_carries_everything(runtime::realm::run);
    }

    #[test]
    fn a_tokio_uring_pair_carries_every_byte_and_every_end() {
        if io_uring_is_usable() {
            pair_carries_everything(runtime::uring::run);
        }
    }

    #[test]
    fn a_monoio_pair_carries_every_byte_and_every_end() {
        if io_uring_is_usable() {
            pair_carries_everything(runtime::monoio::run);
        }
    }

    fn io_uring_is_usable() -> bool {
        let trial = tokio_uring::Runtime::new(&tokio_uring::builder());
        if let Err(error) = &trial {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no io_uring: {error}");
            eprintln!("skipped: no io_uring here ({error})");
        }
        trial.is_ok()
    }
}
