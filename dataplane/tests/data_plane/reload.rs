//! A service that changes while it is open.

use crate::peers::{ask, echo, eventually, free_port, is_turned_away, target, visit};
use crate::plane::{Plane, listen, public, remotes_at};
use kariz_proto::control::{Command, CommandError, Counter, PublicService};
use kariz_proto::model::{IoDriver, PortRange, Strategy};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

fn changed(spec: &PublicService, change: impl FnOnce(&mut PublicService)) -> Arc<PublicService> {
    let mut spec = spec.clone();
    change(&mut spec);
    Arc::new(spec)
}

#[test]
fn other_buffers_need_other_listeners_on_the_same_port() {
    let plane = Plane::start(IoDriver::Auto, 2);
    let remotes = remotes_at(&[target(echo)], Strategy::Failover);
    let spec = public(1, free_port());
    let port = spec.listen.ports.first();
    plane.order(Command::OpenRelay(spec.clone(), remotes.clone())).unwrap();
    let mut before = visit(port);
    ask(&mut before, b"before");
    let wider = changed(&spec, |spec| spec.socket.receive_buffer = Some(1 << 20));
    plane.order(Command::OpenRelay(wider, remotes)).unwrap();
    for _ in 0..10 {
        ask(&mut visit(port), b"after");
    }
    ask(&mut before, b"lives on");
}

#[test]
fn a_service_that_cannot_move_stays_where_it_is() {
    let plane = Plane::start(IoDriver::Auto, 1);
    let remotes = remotes_at(&[target(echo)], Strategy::Failover);
    let spec = public(1, free_port());
    let port = spec.listen.ports.first();
    plane.order(Command::OpenRelay(spec.clone(), remotes.clone())).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listen(taken.local_addr().unwrap().port());
    let moved = changed(&spec, |spec| spec.listen = there);
    let refused = plane.order(Command::OpenRelay(moved, remotes.clone()));
    assert!(matches!(refused, Err(CommandError::Listen { .. })));
    ask(&mut visit(port), b"still here");
    drop(taken);
    plane
        .order(Command::OpenRelay(changed(&spec, |spec| spec.listen = there), remotes))
        .unwrap();
    ask(&mut visit(there.ports.first()), b"now there");
    eventually("the old port is closed", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
}

#[test]
fn a_range_may_grow_over_the_ports_that_it_has() {
    let plane = Plane::start(IoDriver::Auto, 1);
    let remotes = remotes_at(&[target(echo)], Strategy::Failover);
    let two_in_a_row = || {
        let (one, next) = (free_port(), free_port());
        (next == one + 1).then_some(one)
    };
    let port = (0..100).find_map(|_| two_in_a_row()).expect("two free ports in a row");
    let spec = public(1, port);
    let first = spec.listen.ports.first();
    plane.order(Command::OpenRelay(spec.clone(), remotes.clone())).unwrap();
    let wider = changed(&spec, |spec| {
        spec.listen.ports = PortRange::new(first, first + 1).unwrap();
    });
    plane.order(Command::OpenRelay(wider, remotes)).unwrap();
    ask(&mut visit(first), b"the old port");
    ask(&mut visit(first + 1), b"the new one");
}

#[test]
fn a_visitor_beyond_the_bound_is_reset_and_room_comes_back() {
    let plane = Plane::start(IoDriver::Auto, 2);
    let remotes = remotes_at(&[target(echo)], Strategy::Failover);
    let spec = changed(&public(1, free_port()), |spec| spec.max_visitors = Some(3));
    let port = spec.listen.ports.first();
    plane.order(Command::OpenRelay(spec, remotes)).unwrap();
    let mut visitors: Vec<_> = (0..3).map(|_| visit(port)).collect();
    visitors.iter_mut().for_each(|visitor| ask(visitor, b"within"));
    assert!(is_turned_away(port, b"hello"));
    assert_eq!(plane.total(Counter::Refused), 1);
    drop(visitors);
    eventually("they are gone", || plane.total(Counter::Visitors) == 0);
    ask(&mut visit(port), b"within again");
}
