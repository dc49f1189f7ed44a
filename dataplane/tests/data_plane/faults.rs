//! What a panic costs: a task its connection, a worker its connections for a moment.

use crate::peers::{ask, echo, ends_with_reset, eventually, free_port, is_served, is_turned_away, target, visit};
use crate::plane::{Plane, on_each_driver, public, remotes_at};
use crate::tunnel::{Tunnel, WAYS, in_each_way};
use kariz_dataplane::PanicPoint;
use kariz_proto::control::{Command, Counter, Event, WorkerIndex};
use kariz_proto::model::{IoDriver, Lane, Strategy};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_panicking_task_of_a_relay_costs_its_own_visitor_only() {
    on_each_driver(|io| {
        let port = target(echo);
        let plane = Plane::start(io, 1);
        let public = plane.relay(&[port]);
        let mut others: Vec<_> = (0..100).map(|_| visit(public)).collect();
        others.iter_mut().for_each(|visitor| ask(visitor, b"before"));
        plane.plane.panic_at(PanicPoint::Visitor);
        eventually("a visitor's task panics", || !is_served(public));
        others.iter_mut().for_each(|visitor| ask(visitor, b"after"));
        ask(&mut visit(public), b"somebody new");
        assert_eq!(plane.total(Counter::Panics), 1);
        eventually("nothing is counted twice", || plane.total(Counter::Visitors) == 100);
    });
}

#[test]
fn a_panicking_task_of_either_end_of_a_tunnel_costs_its_own_visitor_only() {
    in_each_way(target(echo), |tunnel, way| {
        // The client's part of the direct lane is a relay of its own.
        for plane in [&tunnel.server, &tunnel.client] {
            let mut others: Vec<_> = (0..100).map(|_| visit(tunnel.port)).collect();
            others.iter_mut().for_each(|visitor| ask(visitor, b"before"));
            let before = plane.total(Counter::Panics);
            plane.plane.panic_at(PanicPoint::Visitor);
            let mut turned_away = 0;
            let panics = || plane.total(Counter::Panics) - before;
            eventually("a visitor's task panics", || {
                turned_away += u64::from(!is_served(tunnel.port));
                panics() > 0
            });
            others.iter_mut().for_each(|visitor| ask(visitor, b"after"));
            // The other worker may have its panic still to come.
            (0..20).for_each(|_| turned_away += u64::from(!is_served(tunnel.port)));
            assert_eq!(turned_away, panics(), "{way:?}");
        }
        tunnel.comes_to_rest();
    });
}

#[test]
fn a_panicking_task_of_a_carrier_resets_its_visitors_and_no_others() {
    in_each_way(target(echo), |tunnel, way| {
        if way.lane == Lane::Direct {
            return;
        }
        for plane in [&tunnel.server, &tunnel.client] {
            let before = plane.total(Counter::Panics);
            let mut visitors: Vec<_> = (0..100).map(|_| visit(tunnel.port)).collect();
            visitors.iter_mut().for_each(|visitor| ask(visitor, b"before"));
            plane.plane.panic_at(PanicPoint::Carrier);
            let mut lost = 0;
            for visitor in &mut visitors {
                // The first bytes that cross run into the panic of their carrier's task. The kernel tells of a reset once,
                // be it in writing.
                let outcome = visitor
                    .write_all(b"after")
                    .and_then(|()| visitor.read_exact(&mut [0; 5]));
                if let Err(error) = outcome {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{way:?}");
                    lost += 1;
                }
            }
            let panics = plane.total(Counter::Panics) - before;
            assert!((1..=2).contains(&panics), "{panics} panics");
            assert!(
                (1..=2 * 16).contains(&lost),
                "{lost} visitors lost with {panics} carriers"
            );
            drop(visitors);
            eventually("new visitors are served", || is_served(tunnel.port));
            tunnel.comes_to_rest();
        }
    });
}

#[test]
fn a_panicking_handshake_takes_no_place_with_it() {
    let tunnel = Tunnel::start(IoDriver::Auto, WAYS[0], target(echo));
    tunnel.server.plane.panic_at(PanicPoint::Handshake);
    eventually("both workers have had their panic", || {
        assert!(std::net::TcpStream::connect(tunnel.carriers()).is_ok());
        tunnel.server.total(Counter::Panics) == 2
    });
    eventually("nobody is counted any more", || {
        tunnel.server.total(Counter::Handshakes) == 0
    });
    ask(&mut visit(tunnel.port), b"somebody new");
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
