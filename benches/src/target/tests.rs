use super::*;
use crate::visitor::{self, TrafficError};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

fn target() -> Target {
    Target::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never happened: {what}");
}

#[test]
fn uploads_downloads_and_echoes_are_byte_exact() {
    let target = target();
    for length in [0, 1, 64 * 1024, 64 * 1024 + 1, 5_000_000] {
        for work in [visitor::upload, visitor::download, visitor::echo] {
            work(&TcpStream::connect(target.address()).unwrap(), 42, length).unwrap();
        }
    }
    eventually("all are complete", || {
        target.counters().completed.load(Ordering::Relaxed) == 15
    });
    assert_eq!(target.counters().short_ends.load(Ordering::Relaxed), 0);
    eventually("all are gone", || target.counters().open.load(Ordering::Relaxed) == 0);
}

#[test]
fn a_clean_end_before_the_announced_length_is_counted() {
    let target = target();
    let mut stream = TcpStream::connect(target.address()).unwrap();
    stream
        .write_all(&crate::request::Request::new(crate::request::Work::Sink, 1, 100).encode())
        .unwrap();
    stream.write_all(&[0; 10]).unwrap();
    drop(stream);
    eventually("the short end is seen", || {
        target.counters().short_ends.load(Ordering::Relaxed) == 1
    });
}

#[test]
fn a_wrong_byte_is_reported_with_its_position() {
    let target = target();
    let mut stream = TcpStream::connect(target.address()).unwrap();
    stream
        .write_all(&crate::request::Request::new(crate::request::Work::Sink, 1, 100).encode())
        .unwrap();
    let mut data = crate::pattern::Pattern::new(1).slice(0, 100).to_vec();
    data[60] ^= 0x80;
    stream.write_all(&data).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut receipt = [0; crate::request::RECEIPT_LEN];
    stream.read_exact(&mut receipt).unwrap();
    let receipt = crate::request::Receipt::parse(&receipt);
    assert_eq!((receipt.received, receipt.mismatch), (100, Some(60)));
}

#[test]
fn a_reset_by_the_target_is_no_clean_end() {
    let target = target();
    let stream = TcpStream::connect(target.address()).unwrap();
    let end = visitor::download_until_reset(&stream, 5, 1000).unwrap();
    assert!(end <= 1000);
    let stream = TcpStream::connect(target.address()).unwrap();
    let request = crate::request::Request::new(crate::request::Work::Source, 5, 1000);
    (&stream).write_all(&request.encode()).unwrap();
    let short = visitor::receive(&stream, 5, 2000);
    assert!(
        matches!(
            short,
            Err(TrafficError::Short {
                received: 1000,
                expected: 2000
            })
        ),
        "{short:?}"
    );
}
