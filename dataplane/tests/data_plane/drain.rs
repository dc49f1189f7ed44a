//! Going away: nobody new, some time for the others, a reset for who is left.

use crate::peers::{ask, echo, ends_with_reset, eventually, target, visit};
use crate::plane::{Plane, on_each_driver};
use kariz_proto::control::{Command, Event};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn what_is_left_at_the_deadline_is_reset_and_then_it_is_drained() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 2);
        let public = plane.relay(&[port]);
        let mut visitors: Vec<_> = (0..10).map(|_| visit(public)).collect();
        visitors.iter_mut().for_each(|visitor| ask(visitor, b"before"));
        let begun = Instant::now();
        let deadline = Duration::from_millis(500);
        plane.order(Command::Drain { deadline }).unwrap();
        visitors.iter_mut().for_each(|visitor| ask(visitor, b"still served"));
        let is_drained = |event| matches!(event, Event::Drained).then_some(());
        plane.wait_for(is_drained);
        assert!(begun.elapsed() >= deadline, "not before the visitors were gone");
        assert!(visitors.iter_mut().all(ends_with_reset));
        assert!(
            TcpStream::connect(("127.0.0.1", public)).is_err(),
            "nobody listens any more"
        );
    });
}

#[test]
fn it_is_drained_as_soon_as_the_last_visitor_has_gone() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 1);
        let mut visitor = visit(plane.relay(&[port]));
        ask(&mut visitor, b"before");
        let deadline = Duration::from_secs(3600);
        plane.order(Command::Drain { deadline }).unwrap();
        ask(&mut visitor, b"still served");
        assert!(plane.events().is_empty(), "not drained with a visitor");
        drop(visitor);
        plane.wait_for(|event| matches!(event, Event::Drained).then_some(()));
    });
}

#[test]
fn a_worker_that_dies_while_draining_accepts_nobody_afterwards() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[port]);
        let mut visitor = visit(public);
        ask(&mut visitor, b"before");
        let deadline = Duration::from_secs(3600);
        plane.order(Command::Drain { deadline }).unwrap();
        plane.plane.kill_worker(kariz_proto::control::WorkerIndex(0));
        assert!(ends_with_reset(&mut visitor));
        plane.wait_for(|event| matches!(event, Event::Drained).then_some(()));
        // The kernel lets go of what the dead one's ring held a moment later.
        eventually("nobody listens", || TcpStream::connect(("127.0.0.1", public)).is_err());
    });
}
