//! Visitors cross the tunnel: in the direct lane and in the mux lane, with smux v1 and v2.

use crate::peers::{
    PATIENCE, ask, assert_same, echo, ends_with_reset, eventually, exchange, free_port, is_served, is_turned_away,
    pattern, reset, target, visit,
};
use crate::plane::on_each_driver;
use crate::tunnel::{Tunnel, WAYS, in_each_way};
use kariz_proto::control::{Counter, Epoch, WorkerIndex};
use kariz_proto::model::Lane;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn every_byte_crosses_and_each_direction_ends_by_itself() {
    let (up, down) = (pattern(2 << 20, 1), pattern(3 << 20, 2));
    let (expected, answer) = (up.clone(), down.clone());
    let port = target(move |mut visitor: TcpStream| {
        let mut got = Vec::new();
        visitor.read_to_end(&mut got).unwrap();
        assert_same(&got, &expected);
        visitor.write_all(&answer).unwrap();
    });
    in_each_way(port, |tunnel, _| {
        let visitors: Vec<_> = (0..4)
            .map(|_| {
                let (visitor, up) = (visit(tunnel.port), up.clone());
                thread::spawn(move || exchange(visitor, up))
            })
            .collect();
        for visitor in visitors {
            assert_same(&visitor.join().unwrap(), &down);
        }
        tunnel.comes_to_rest();
    });
}

#[test]
fn a_target_may_speak_first() {
    let port = target(|mut visitor: TcpStream| {
        visitor.write_all(b"220 ready\r\n").unwrap();
        echo(visitor);
    });
    in_each_way(port, |tunnel, _| {
        let mut visitor = visit(tunnel.port);
        let mut banner = [0; 11];
        visitor.read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"220 ready\r\n");
        ask(&mut visitor, b"hello");
    });
}

#[test]
fn a_visitor_sees_the_reset_of_its_target() {
    let port = target(|mut visitor: TcpStream| {
        visitor.read_exact(&mut [0; 5]).unwrap();
        reset(visitor);
    });
    in_each_way(port, |tunnel, way| {
        let mut visitor = visit(tunnel.port);
        visitor.write_all(b"hello").unwrap();
        assert!(ends_with_reset(&mut visitor), "{way:?}");
        tunnel.comes_to_rest();
    });
}

#[test]
fn a_target_sees_the_reset_of_its_visitor() {
    let (tell, told) = channel();
    let tell = Arc::new(Mutex::new(tell));
    let port = target(move |mut visitor: TcpStream| {
        visitor.write_all(b"hello").unwrap();
        tell.lock().unwrap().send(ends_with_reset(&mut visitor)).unwrap();
    });
    in_each_way(port, |tunnel, way| {
        let mut visitor = visit(tunnel.port);
        visitor.read_exact(&mut [0; 5]).unwrap();
        reset(visitor);
        assert!(told.recv_timeout(PATIENCE).unwrap(), "{way:?}");
        tunnel.comes_to_rest();
    });
}

#[test]
fn a_visitor_whose_target_refuses_is_reset() {
    in_each_way(free_port(), |tunnel, way| {
        assert!(is_turned_away(tunnel.port, b"hello"), "{way:?}");
        assert!(is_turned_away(tunnel.port, b""), "{way:?}");
        eventually("both are counted", || tunnel.server.total(Counter::Refused) == 2);
        tunnel.comes_to_rest();
    });
}

/// What the kernel takes at least for a visitor who does not read, in bytes; most take megabytes, but
/// `net.ipv4.tcp_notsent_lowat` may ask for little.
const UNREAD_BYTES: u64 = 32 << 10;

#[test]
fn a_slow_reader_loses_nothing_and_holds_up_no_other_stream() {
    let flood = pattern(6 << 20, 3);
    let sent = flood.clone();
    let port = target(move |mut visitor: TcpStream| {
        let mut wish = [0];
        visitor.read_exact(&mut wish).unwrap();
        match wish {
            [b'f'] => visitor.write_all(&sent).unwrap(),
            _ => echo(visitor),
        }
    });
    in_each_way(port, |tunnel, way| {
        let mut slow = visit(tunnel.port);
        slow.write_all(b"f").unwrap();
        eventually("the flood is under way", || {
            tunnel.server.total(Counter::BytesOut) > UNREAD_BYTES
        });
        // smux v1 has no window for a stream: there a slow reader stops its carrier (`spec/smux.md`, Streams).
        if way.lane == Lane::Direct || way.version == kariz_proto::model::MuxVersion::V2 {
            let mut fast = visit(tunnel.port);
            fast.write_all(b"e").unwrap();
            (0..100).for_each(|_| ask(&mut fast, b"beside the flood"));
        }
        let mut got = Vec::new();
        slow.read_to_end(&mut got).unwrap();
        assert_same(&got, &flood);
        drop(slow);
        tunnel.comes_to_rest();
    });
}

#[test]
fn a_carrier_goes_on_after_the_visitor_that_held_it_back_was_reset() {
    let port = target(|mut visitor: TcpStream| {
        let mut wish = [0];
        visitor.read_exact(&mut wish).unwrap();
        if wish == *b"f" {
            let block = vec![1; 1 << 20];
            while visitor.write_all(&block).is_ok() {}
        } else {
            echo(visitor);
        }
    });
    in_each_way(port, |tunnel, _| {
        let stuck: Vec<_> = (0..8)
            .map(|_| {
                let mut visitor = visit(tunnel.port);
                visitor.write_all(b"f").unwrap();
                visitor
            })
            .collect();
        let moved = || tunnel.server.total(Counter::BytesOut);
        eventually("nothing moves any more", || {
            let before = moved();
            thread::sleep(Duration::from_millis(300));
            before > 8 * UNREAD_BYTES && moved() == before
        });
        stuck.into_iter().for_each(reset);
        for _ in 0..8 {
            let mut visitor = visit(tunnel.port);
            visitor.write_all(b"e").unwrap();
            ask(&mut visitor, b"the carriers are alive");
        }
        tunnel.comes_to_rest();
    });
}

#[test]
fn many_visitors_leave_nothing_behind() {
    let port = target(echo);
    in_each_way(port, |tunnel, way| {
        for round in 0..150 {
            let mut visitor = visit(tunnel.port);
            ask(&mut visitor, &pattern(2000, round));
            if round % 5 == 0 {
                reset(visitor);
            }
        }
        tunnel.comes_to_rest();
        // Eight listeners at most, and carriers that are kept ready.
        let sockets = || tunnel.client.total(Counter::Sockets);
        eventually("only ready carriers are left", || sockets() <= 16);
        assert_eq!(tunnel.client.total(Counter::Opened), 150, "{way:?}");
        assert_eq!(tunnel.server.total(Counter::Violations), 0);
    });
}

#[test]
fn visitors_survive_the_loss_of_the_control_carrier_and_new_ones_wait_for_the_next() {
    let port = target(echo);
    in_each_way(port, |tunnel, _| {
        let mut old = visit(tunnel.port);
        ask(&mut old, b"before");
        tunnel.lost(Epoch(1));
        ask(&mut old, b"without a session's control carrier");
        let mut new = visit(tunnel.port);
        new.write_all(b"hello").unwrap();
        tunnel.up(Epoch(2));
        new.read_exact(&mut [0; 5]).unwrap();
        ask(&mut old, b"after");
        tunnel.lost(Epoch(2));
        tunnel.up(Epoch(3));
        ask(&mut new, b"a carrier of an older epoch");
    });
}

#[test]
fn a_visitor_that_waits_for_a_carrier_is_reset_when_its_worker_dies() {
    on_each_driver(|io| {
        let tunnel = Tunnel::start(io, WAYS[0], target(echo));
        tunnel.lost(Epoch(1));
        let mut visitors: Vec<_> = (0..10).map(|_| visit(tunnel.port)).collect();
        eventually("all wait", || tunnel.server.total(Counter::Waiting) == 10);
        tunnel.server.plane.kill_worker(WorkerIndex(0));
        tunnel.server.plane.kill_worker(WorkerIndex(1));
        assert!(visitors.iter_mut().all(ends_with_reset));
        tunnel.up(Epoch(2));
        eventually("successors serve", || is_served(tunnel.port));
    });
}

#[test]
fn a_dead_worker_on_either_side_is_a_reset_for_its_visitors_and_the_tunnel_goes_on() {
    in_each_way(target(echo), |tunnel, way| {
        for plane in [&tunnel.server, &tunnel.client] {
            let mut visitors: Vec<_> = (0..10).map(|_| visit(tunnel.port)).collect();
            visitors.iter_mut().for_each(|visitor| ask(visitor, b"before"));
            plane.plane.kill_worker(WorkerIndex(0));
            plane.plane.kill_worker(WorkerIndex(1));
            assert!(visitors.iter_mut().all(ends_with_reset), "{way:?}");
            // Within twice the 5 s in which listeners and carriers have to be back.
            eventually("a successor serves", || is_served(tunnel.port));
        }
    });
}
