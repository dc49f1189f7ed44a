//! Several remotes of a relay: in their order or all at once, and out while they do not answer.

use crate::peers::{ask, echo, eventually, free_port, target, target_on, visit};
use crate::plane::{Plane, on_each_driver, public, remotes_at};
use kariz_proto::control::{Command, CommandError, Event};
use kariz_proto::model::{IoDriver, Strategy};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A target that tells its name, then echoes.
fn named(name: u8) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut visitor| {
        if visitor.write_all(&[name]).is_ok() {
            echo(visitor);
        }
    }
}

fn name_of(visitor: &mut TcpStream) -> u8 {
    let mut name = [0];
    visitor.read_exact(&mut name).unwrap();
    name[0]
}

fn failed_dials(plane: &Plane) -> usize {
    let is_failed = |event: &Event| matches!(event, Event::DialFailed { .. });
    plane.events().iter().filter(|event| is_failed(event)).count()
}

#[test]
fn failover_leaves_a_dead_remote_out_until_a_probe_reaches_it() {
    on_each_driver(|io| {
        let (first, second) = (free_port(), target(named(2)));
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[first, second]);
        for _ in 0..10 {
            assert_eq!(name_of(&mut visit(public)), 2);
        }
        assert_eq!(failed_dials(&plane), 3, "after three failures nobody tries it");
        target_on(TcpListener::bind(("127.0.0.1", first)).unwrap(), named(1));
        eventually("the first is back", || name_of(&mut visit(public)) == 1);
        assert_eq!(failed_dials(&plane), 0);
    });
}

#[test]
fn when_all_are_out_all_are_tried() {
    let (first, second) = (free_port(), free_port());
    let plane = Plane::start(IoDriver::Epoll, 1);
    let public = plane.relay(&[first, second]);
    for _ in 0..5 {
        assert!(crate::peers::is_turned_away(public, b"hello"));
    }
    assert_eq!(failed_dials(&plane), 10);
    target_on(TcpListener::bind(("127.0.0.1", second)).unwrap(), named(2));
    assert_eq!(name_of(&mut visit(public)), 2, "at once, without a probe");
}

#[test]
fn balance_sends_a_visitor_to_the_remote_with_the_fewest() {
    on_each_driver(|io| {
        let ports = [target(named(0)), target(named(1))];
        let plane = Plane::start(io, 1);
        let at = free_port();
        plane
            .order(Command::OpenRelay(public(1, at), remotes_at(&ports, Strategy::Balance)))
            .unwrap();
        let mut count = [0; 2];
        let mut visitors = Vec::new();
        for _ in 0..10 {
            let mut visitor = visit(at);
            count[usize::from(name_of(&mut visitor))] += 1;
            visitors.push(visitor);
        }
        assert_eq!(count, [5, 5]);
        visitors.iter_mut().for_each(|visitor| ask(visitor, b"each its own"));
    });
}

#[test]
fn remote_without_an_address_asks_for_a_lookup_and_is_not_put_out() {
    let port = target(named(1));
    let plane = Plane::start(IoDriver::Epoll, 1);
    let known = remotes_at(&[port], Strategy::Failover);
    let mut unknown = (*known).clone();
    unknown.remotes[0].1.clear();
    let spec = public(1, free_port());
    let listen = spec.listen.ports.first();
    plane
        .order(Command::OpenRelay(spec.clone(), Arc::new(unknown)))
        .unwrap();
    for _ in 0..5 {
        assert!(crate::peers::is_turned_away(listen, b"hello"));
    }
    assert_eq!(failed_dials(&plane), 5);
    plane.order(Command::OpenRelay(spec, known)).unwrap();
    assert_eq!(name_of(&mut visit(listen)), 1);
}

#[test]
fn relay_whose_address_is_taken_holds_nobody_up() {
    let plane = Plane::start(IoDriver::Epoll, 1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let spec = public(1, taken.local_addr().unwrap().port());
    let begun = Instant::now();
    let refused = plane.order(Command::OpenRelay(spec, remotes_at(&[1], Strategy::Failover)));
    assert!(matches!(refused, Err(CommandError::Listen { .. })), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
