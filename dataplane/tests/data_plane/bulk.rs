//! Flows that move much: they starve nobody, and they need no pipe.

use crate::peers::{ask, assert_same, echo, eventually, pattern, target, visit};
use crate::plane::{Plane, on_each_driver, public, remotes_at};
use kariz_proto::control::{Command, Counter};
use kariz_proto::model::{SocketOptions, Strategy};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn a_hog_starves_neither_timers_nor_new_visitors_nor_other_flows() {
    on_each_driver(|io| {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let hog = target(move |mut visitor: TcpStream| {
            let block = vec![7; 256 << 10];
            while !stop.load(Ordering::Relaxed) && visitor.write_all(&block).is_ok() {}
        });
        let talk = target(echo);
        let plane = Plane::start(io, 1);
        let bulk = plane.relay(&[hog]);
        let small = crate::peers::free_port();
        plane
            .order(Command::OpenRelay(
                public(2, small),
                remotes_at(&[talk], Strategy::Failover),
            ))
            .unwrap();
        let mut old = visit(small);
        ask(&mut old, b"before");
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mut visitor = visit(bulk);
                thread::spawn(move || {
                    let mut buffer = vec![0; 256 << 10];
                    let mut total = 0_u64;
                    while let Ok(bytes @ 1..) = visitor.read(&mut buffer) {
                        total += bytes as u64;
                    }
                    total
                })
            })
            .collect();
        eventually("the hogs run", || plane.total(Counter::BytesOut) > 32 << 20);
        for _ in 0..50 {
            ask(&mut old, b"an old flow");
            ask(&mut visit(small), b"a new visitor");
        }
        // The gauges are set by a timer of the worker.
        eventually("timers run", || plane.total(Counter::Sockets) >= 6);
        over.store(true, Ordering::Relaxed);
        let read: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(read > 32 << 20);
    });
}

/// More flows than a worker has pipes (`MAX_PIPES` is 256).
const FLOWS: u32 = 300;

#[test]
fn flows_that_get_no_pipe_are_copied() {
    on_each_driver(|io| {
        let sent = pattern(1 << 20, 9);
        let flood = sent.clone();
        let port = target(move |mut visitor: TcpStream| visitor.write_all(&flood).unwrap());
        let plane = Plane::start(io, 1);
        let spec = {
            let mut spec = (*public(1, crate::peers::free_port())).clone();
            // So that a flow comes to rest before everything is in the kernel's buffers.
            spec.socket = SocketOptions {
                receive_buffer: Some(32 << 10),
                send_buffer: Some(32 << 10),
                ..SocketOptions::default()
            };
            Arc::new(spec)
        };
        let at = spec.listen.ports.first();
        plane
            .order(Command::OpenRelay(spec, remotes_at(&[port], Strategy::Failover)))
            .unwrap();
        // Each reads enough to make its flow bulk, then stops.
        let visitors: Vec<_> = (0..FLOWS)
            .map(|_| {
                let mut visitor = narrow_visit(at);
                let mut got = vec![0; 256 << 10];
                visitor.read_exact(&mut got).unwrap();
                (visitor, got)
            })
            .collect();
        let held = || plane.total(Counter::PipesBusy) + plane.total(Counter::BuffersBusy);
        eventually("every flow holds a pipe or a buffer", || held() == u64::from(FLOWS));
        assert!(plane.total(Counter::PipesBusy) <= 256);
        for (mut visitor, mut got) in visitors {
            visitor.read_to_end(&mut got).unwrap();
            assert_same(&got, &sent);
        }
        eventually("all of it goes back", || held() == 0);
    });
}

/// A visitor with a small receive buffer.
fn narrow_visit(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket
        .connect(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], port))))
        .unwrap();
    let visitor = TcpStream::from(socket);
    visitor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    visitor
}
