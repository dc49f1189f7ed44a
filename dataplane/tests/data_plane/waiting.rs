//! Visitors that wait for a carrier, and how many carriers are asked for.

use crate::peers::{PATIENCE, ask, echo, ends_with_reset, eventually, free_port, is_turned_away, reset, target, visit};
use crate::plane::{Plane, on_each_driver, public};
use crate::tunnel::{SESSION, Tunnel, WAYS};
use kariz_proto::control::{
    BudgetSet, CarrierKey, Command, Counter, Epoch, Event, ServedService, ServiceId, SessionSpec,
};
use kariz_proto::model::{IoDriver, Lane, MuxParams};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// Visitors of one service that wait on one worker, at most (`dataplane/src/server/waiting.rs`).
const MAX_WAITING: u64 = 4096;

/// Vouchers in one Want, at most (`dataplane/src/server/asking.rs`).
const MAX_VOUCHERS_PER_WANT: usize = 512;

#[test]
fn visitor_who_resets_while_waiting_is_let_go_and_one_who_only_has_ended_is_served() {
    on_each_driver(|io| {
        let tunnel = Tunnel::start(io, WAYS[0], target(echo));
        tunnel.lost(Epoch(1));
        let mut ended = visit(tunnel.port);
        ended.write_all(b"that is all").unwrap();
        ended.shutdown(Shutdown::Write).unwrap();
        (0..10).for_each(|_| reset(visit(tunnel.port)));
        let waiting = || tunnel.server.total(Counter::Waiting);
        eventually("those who have left do not wait", || waiting() == 1);
        eventually("they are counted", || tunnel.server.total(Counter::Refused) == 10);
        tunnel.up(Epoch(2));
        let mut answer = Vec::new();
        ended.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"that is all");
    });
}

#[test]
fn who_waits_when_a_drain_begins_is_turned_away_at_once_and_others_go_on() {
    on_each_driver(|io| {
        let tunnel = Tunnel::start(io, WAYS[0], target(echo));
        let mut inside = visit(tunnel.port);
        ask(&mut inside, b"before");
        tunnel.lost(Epoch(1));
        let mut waiting: Vec<_> = (0..12).map(|_| visit(tunnel.port)).collect();
        eventually("all wait", || tunnel.server.total(Counter::Waiting) == 12);
        let begun = Instant::now();
        tunnel.server.order(Command::Drain { deadline: PATIENCE }).unwrap();
        assert!(waiting.iter_mut().all(ends_with_reset));
        assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
        eventually("they are counted", || tunnel.server.total(Counter::Refused) == 12);
        ask(&mut inside, b"after");
    });
}

#[test]
fn visitor_beyond_the_queue_is_turned_away_and_those_in_it_are_served() {
    raise_descriptor_limit();
    let tunnel = Tunnel::start_with_workers(IoDriver::Auto, WAYS[1], target(echo), 1);
    tunnel.lost(Epoch(1));
    let mut visitors: Vec<TcpStream> = (0..MAX_WAITING).map(|_| visit(tunnel.port)).collect();
    eventually("the queue is full", || {
        tunnel.server.total(Counter::Waiting) == MAX_WAITING
    });
    assert_eq!(tunnel.server.total(Counter::Refused), 0);
    assert!(is_turned_away(tunnel.port, b""));
    eventually("it is counted", || tunnel.server.total(Counter::Refused) == 1);
    tunnel.up(Epoch(2));
    for number in [0, MAX_WAITING as usize - 1] {
        ask(&mut visitors[number], b"served after all");
    }
}

/// Each of so many visitors has a descriptor here and one in the worker.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[test]
fn one_want_has_so_many_vouchers_and_the_rest_are_in_the_next() {
    const POOL: usize = MAX_VOUCHERS_PER_WANT + 88;
    let plane = Plane::start(IoDriver::Auto, 1);
    plane.order(Command::OpenService(public(1, free_port()))).unwrap();
    let session = SessionSpec {
        session: SESSION,
        epoch: Epoch(1),
        carrier_key: CarrierKey([9; 32]),
        lane: Lane::Direct,
        kariz_mux: true,
        max_carriers: 4096,
        max_visitors: None,
        budgets: BudgetSet::default(),
        services: vec![ServedService {
            service: ServiceId(1),
            pool: POOL as u32,
            mux: MuxParams::default(),
        }],
    };
    plane.order(Command::SessionUp(Arc::new(session))).unwrap();
    let want = || {
        plane.wait_for(|event| match event {
            Event::Want { vouchers, .. } => Some(vouchers.len()),
            _ => None,
        })
    };
    assert_eq!([want(), want()], [MAX_VOUCHERS_PER_WANT, POOL - MAX_VOUCHERS_PER_WANT]);
    std::thread::sleep(PATIENCE / 5);
    let more: Vec<_> = plane.events();
    assert!(
        !more.iter().any(|event| matches!(event, Event::Want { .. })),
        "asked for what is under way: {more:?}"
    );
    assert_eq!(plane.total(Counter::Vouchers), POOL as u64);
}
