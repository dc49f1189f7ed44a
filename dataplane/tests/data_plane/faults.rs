//! What a panic costs: a task its connection, a worker its connections for a moment.

use crate::peers::{ask, echo, ends_with_reset, eventually, target, visit};
use crate::plane::{Plane, on_each_driver};
use kariz_proto::control::{Counter, Event, WorkerIndex};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_panicking_task_costs_its_own_visitor_only() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[port]);
        let mut others: Vec<_> = (0..100).map(|_| visit(public)).collect();
        others.iter_mut().for_each(|visitor| ask(visitor, b"before"));
        plane.plane.panic_on_next_visitor();
        let mut unlucky = None;
        eventually("a visitor's task panics", || {
            let mut visitor = visit(public);
            let _ = visitor.write_all(b"x");
            let served = matches!(visitor.read(&mut [0; 1]), Ok(1));
            unlucky = (!served).then_some(visitor);
            unlucky.is_some()
        });
        others.iter_mut().for_each(|visitor| ask(visitor, b"after"));
        ask(&mut visit(public), b"somebody new");
        assert_eq!(plane.total(Counter::Panics), 1);
        eventually("nothing is counted twice", || plane.total(Counter::Visitors) == 100);
    });
}

#[test]
fn a_dead_worker_resets_its_visitors_and_its_successor_accepts() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[port]);
        let mut visitors: Vec<TcpStream> = (0..20).map(|_| visit(public)).collect();
        visitors.iter_mut().for_each(|visitor| ask(visitor, b"before"));
        let killed = Instant::now();
        plane.plane.kill_worker(WorkerIndex(0));
        assert!(visitors.iter_mut().all(ends_with_reset), "an honest end for everybody");
        ask(&mut visit(public), b"after");
        assert!(killed.elapsed() < Duration::from_secs(5));
        plane.wait_for(|event| {
            matches!(
                event,
                Event::WorkerReplaced {
                    worker: WorkerIndex(0),
                    ..
                }
            )
            .then_some(())
        });
        eventually("the dead are not counted", || plane.total(Counter::Visitors) == 0);
    });
}

#[test]
fn a_dead_worker_leaves_the_others_alone() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 2);
        let public = plane.relay(&[port]);
        // The kernel spreads them over the workers by their ports: of so many, each worker has some.
        let mut visitors: Vec<TcpStream> = (0..40).map(|_| visit(public)).collect();
        visitors.iter_mut().for_each(|visitor| ask(visitor, b"before"));
        let of_second = plane.plane.snapshots()[1].get(Counter::Visitors);
        plane.plane.kill_worker(WorkerIndex(0));
        plane.wait_for(|event| matches!(event, Event::WorkerReplaced { .. }).then_some(()));
        let mut alive = 0;
        for mut visitor in visitors {
            if visitor.write_all(b"after").is_ok() && visitor.read_exact(&mut [0; 5]).is_ok() {
                alive += 1;
            }
        }
        assert_eq!(alive, of_second);
        for _ in 0..20 {
            ask(&mut visit(public), b"new ones, for both");
        }
    });
}
