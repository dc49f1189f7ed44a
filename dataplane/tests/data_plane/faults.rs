//! What a panic costs: a task its connection, a worker its connections for a moment.

use crate::peers::{ask, echo, ends_with_reset, eventually, free_port, is_served, is_turned_away, target, visit};
use crate::plane::{Plane, on_each_driver, public, remotes_at};
use kariz_proto::control::{Command, Counter, Event, WorkerIndex};
use kariz_proto::model::Strategy;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
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
        eventually("a visitor's task panics", || !is_served(public));
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
fn a_dead_worker_gives_back_what_its_visitors_had_taken_of_the_bounds() {
    on_each_driver(|io| {
        let plane = Plane::start(io, 1);
        let port = free_port();
        let mut spec = (*public(1, port)).clone();
        spec.max_visitors = Some(3);
        let remotes = remotes_at(&[target(echo)], Strategy::Failover);
        plane.order(Command::OpenRelay(Arc::new(spec), remotes)).unwrap();
        for _ in 0..2 {
            let mut visitors: Vec<_> = (0..3).map(|_| visit(port)).collect();
            visitors.iter_mut().for_each(|visitor| ask(visitor, b"within"));
            assert!(is_turned_away(port, b"hello"));
            plane.plane.kill_worker(WorkerIndex(0));
            plane.wait_for(|event| matches!(event, Event::WorkerReplaced { .. }).then_some(()));
        }
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
