//! The relay role: bytes, ends and resets.

use crate::peers::{
    ask, assert_same, echo, ends_with_reset, eventually, exchange, is_turned_away, pattern, reset, target, visit,
};
use crate::plane::{Plane, on_each_driver};
use kariz_proto::control::Counter;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn every_byte_crosses_and_each_direction_ends_by_itself() {
    on_each_driver(|io| {
        let (up, down) = (pattern(3 << 20, 1), pattern(5 << 20, 2));
        let (expected, answer) = (up.clone(), down.clone());
        // Answers only after the visitor's direction has ended: without half-close it would answer nobody.
        let port = target(move |mut visitor: TcpStream| {
            let mut got = Vec::new();
            visitor.read_to_end(&mut got).unwrap();
            assert_same(&got, &expected);
            visitor.write_all(&answer).unwrap();
        });
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[port]);
        assert_same(&exchange(visit(public), up), &down);
    });
}

#[test]
fn a_target_may_speak_first() {
    on_each_driver(|io| {
        let port = target(|mut visitor: TcpStream| {
            visitor.write_all(b"220 ready\r\n").unwrap();
            echo(visitor);
        });
        let plane = Plane::start(io, 1);
        let mut visitor = visit(plane.relay(&[port]));
        let mut banner = String::new();
        BufReader::new(visitor.try_clone().unwrap())
            .read_line(&mut banner)
            .unwrap();
        assert_eq!(banner, "220 ready\r\n");
        ask(&mut visitor, b"hello");
    });
}

#[test]
fn a_visitor_sees_the_reset_of_its_target() {
    on_each_driver(|io| {
        let port = target(|mut visitor: TcpStream| {
            visitor.read_exact(&mut [0; 5]).unwrap();
            reset(visitor);
        });
        let plane = Plane::start(io, 1);
        let mut visitor = visit(plane.relay(&[port]));
        visitor.write_all(b"hello").unwrap();
        assert!(ends_with_reset(&mut visitor));
    });
}

#[test]
fn a_target_sees_the_reset_of_its_visitor() {
    on_each_driver(|io| {
        let (tell, told) = channel();
        let tell = Arc::new(Mutex::new(tell));
        let port = target(move |mut visitor: TcpStream| {
            visitor.write_all(b"hello").unwrap();
            tell.lock().unwrap().send(ends_with_reset(&mut visitor)).unwrap();
        });
        let plane = Plane::start(io, 1);
        let mut visitor = visit(plane.relay(&[port]));
        visitor.read_exact(&mut [0; 5]).unwrap();
        reset(visitor);
        assert!(told.recv_timeout(crate::peers::PATIENCE).unwrap());
    });
}

#[test]
fn nobody_listens_and_the_visitor_is_reset() {
    on_each_driver(|io| {
        let plane = Plane::start(io, 1);
        assert!(is_turned_away(plane.relay(&[crate::peers::free_port()]), b"hello"));
        eventually("the refusal is counted", || plane.total(Counter::Refused) == 1);
    });
}

#[test]
fn a_slow_reader_holds_up_nobody_else() {
    on_each_driver(|io| {
        let flood = pattern(8 << 20, 3);
        let sent = flood.clone();
        let bulk = target(move |mut visitor: TcpStream| visitor.write_all(&sent).unwrap());
        let talk = target(echo);
        let plane = Plane::start(io, 1);
        let slow = visit(plane.relay(&[bulk]));
        let second = crate::peers::free_port();
        plane
            .order(kariz_proto::control::Command::OpenRelay(
                crate::plane::public(2, second),
                crate::plane::remotes_at(&[talk], kariz_proto::model::Strategy::Failover),
            ))
            .unwrap();
        let mut fast = visit(second);
        for round in 0..200 {
            ask(&mut fast, format!("round {round}").as_bytes());
        }
        let mut got = Vec::new();
        (&slow).read_to_end(&mut got).unwrap();
        assert_same(&got, &flood);
    });
}

#[test]
fn everything_goes_back_to_its_pool() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 2);
        let public = plane.relay(&[port]);
        let before = {
            thread::sleep(Duration::from_millis(1200));
            plane.total(Counter::Sockets)
        };
        for round in 0..500_u32 {
            let length = if round % 50 == 0 { 400_000 } else { 500 };
            let sent = pattern(length, round);
            if round % 7 == 0 {
                let mut visitor = visit(public);
                ask(&mut visitor, &sent[..100]);
                reset(visitor);
            } else {
                assert_same(&exchange(visit(public), sent.clone()), &sent);
            }
        }
        eventually("no visitor is left", || plane.total(Counter::Visitors) == 0);
        let busy = [Counter::PipesBusy, Counter::BuffersBusy];
        eventually("nothing is borrowed", || {
            busy.iter().all(|gauge| plane.total(*gauge) == 0)
        });
        eventually("every socket is closed", || plane.total(Counter::Sockets) == before);
        assert_eq!(plane.total(Counter::Opened), 500);
    });
}
