//! Ends: orderly, silent and stalled.

use super::pair::*;
use crate::control::{Voucher, WorkerIndex};
use crate::model::Lane;
use crate::session::*;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn every_reason_reaches_the_other_end() {
    for reason in CloseReason::ALL
        .into_iter()
        .filter(|reason| *reason != CloseReason::GoingAway)
    {
        let mut pair = Pair::up();
        pair.server.close(pair.now, reason, Duration::ZERO, "because");
        pair.run();
        assert_eq!(
            pair.server_closed(),
            Some(Closed {
                reason,
                cause: CloseCause::Local
            })
        );
        let cause = CloseCause::Peer("because".into());
        assert_eq!(pair.client_closed(), Some(Closed { reason, cause }));
    }
    assert_eq!(CloseReason::from_wire(77), CloseReason::InternalError);
}

#[test]
fn a_draining_server_opens_nothing_and_ends_at_its_deadline() {
    let mut pair = Pair::up();
    pair.server.close(pair.now, CloseReason::GoingAway, DEADLINE, "restart");
    pair.run();
    let closing = ClientEvent::PeerClosing {
        reason: CloseReason::GoingAway,
        deadline: DEADLINE,
        text: "restart".into(),
    };
    assert_eq!(pair.client_events.last(), Some(&closing));
    let voucher = Voucher {
        worker: WorkerIndex(0),
        random: [0; 16],
    };
    let wanted = pair.server.want(pair.now, &"web".into(), Lane::Mux, &[voucher]);
    assert_eq!(wanted, Err(SessionError::GoingAway));
    let offered = pair.client.register(pair.now, vec![offer("mail", "secret2")]);
    assert_eq!(offered, Err(SessionError::GoingAway));
    pair.pass(DEADLINE - Duration::from_millis(1));
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Local);
    assert_eq!(pair.client_closed().unwrap().cause, CloseCause::Peer("restart".into()));
}

#[test]
fn a_draining_client_may_end_before_its_deadline() {
    let mut pair = Pair::up();
    pair.client.close(pair.now, CloseReason::GoingAway, DEADLINE, "");
    pair.run();
    assert!(matches!(
        pair.server_events.last(),
        Some(ServerEvent::PeerClosing { .. })
    ));
    pair.client.close(pair.now, CloseReason::Normal, Duration::ZERO, "done");
    pair.run();
    assert_eq!(pair.client_closed().unwrap().reason, CloseReason::Normal);
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Peer("done".into()));
}

#[test]
fn a_session_that_is_not_up_ends_at_once() {
    let services = vec![offer("web", "secret")];
    let mut pair = Pair::new(client_config(services), server_config(Instant::now(), &[]));
    pair.client.close(pair.now, CloseReason::GoingAway, DEADLINE, "");
    assert_eq!(pair.client_closed().unwrap().cause, CloseCause::Local);
    assert_eq!(pair.client.poll_timeout(), None);
    assert_eq!(
        pair.client.register(pair.now, vec![]),
        Err(SessionError::NotEstablished)
    );
}

#[test]
fn three_heartbeats_of_silence_end_a_session_on_both_ends() {
    let mut pair = Pair::up();
    let start = pair.now;
    while let Some(due) = pair.client.poll_timeout() {
        pair.now = due;
        pair.client.handle_timeout(due);
        pair.client_sends();
    }
    assert_eq!(pair.now, start + HEARTBEAT * MISSED_HEARTBEATS);
    let silent = Closed {
        reason: CloseReason::Timeout,
        cause: CloseCause::Silent,
    };
    assert_eq!(pair.client_closed(), Some(silent.clone()));
    while let Some(due) = pair.server.poll_timeout() {
        pair.server.handle_timeout(due);
    }
    assert_eq!(pair.server_closed(), Some(silent));
}

#[test]
fn any_byte_counts_as_life() {
    let mut pair = Pair::up();
    pair.now += HEARTBEAT * 2;
    // The first byte of a frame: no message yet.
    pair.client.handle_input(pair.now, &[0]);
    pair.client.handle_timeout(pair.now + HEARTBEAT * 2);
    assert!(!pair.client.is_closed());
    pair.client.handle_timeout(pair.now + HEARTBEAT * MISSED_HEARTBEATS);
    assert!(pair.client.is_closed());
}

#[test]
fn the_shorter_heartbeat_of_both_ends_is_used_by_the_client() {
    let now = Instant::now();
    let mut client = client_config(vec![offer("web", "secret")]);
    client.heartbeat = Duration::from_secs(60);
    let mut pair = Pair::new(client, server_config(now, &[("web", "secret")]));
    pair.establish();
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + HEARTBEAT));
}

#[test]
fn a_connection_that_breaks_is_lost_unless_the_peer_was_going_away() {
    let mut pair = Pair::up();
    pair.client.handle_eof(pair.now);
    assert_eq!(pair.client_closed().unwrap().cause, CloseCause::Lost);
    let mut pair = Pair::up();
    pair.server.close(pair.now, CloseReason::GoingAway, DEADLINE, "bye");
    pair.run();
    pair.client.handle_eof(pair.now);
    assert_eq!(pair.client_closed().unwrap().cause, CloseCause::Peer("bye".into()));
}

#[test]
fn a_peer_that_does_not_read_ends_the_session_at_the_bound() {
    let mut pair = Pair::up();
    let voucher = Voucher {
        worker: WorkerIndex(0),
        random: [0; 16],
    };
    let mut wants = 0;
    while pair
        .server
        .want(pair.now, &"web".into(), Lane::Mux, &[voucher; MAX_VOUCHERS_PER_WANT])
        .is_ok()
    {
        wants += 1;
    }
    let waits = pair.server_sends().len();
    assert!(waits > MAX_TRANSMIT_BYTES, "{waits}");
    assert!(
        waits - waits / wants <= MAX_TRANSMIT_BYTES,
        "without the last of {wants}"
    );
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Stalled);
}

#[test]
fn nothing_happens_after_the_end() {
    let mut pair = Pair::up();
    pair.client.close(pair.now, CloseReason::Normal, Duration::ZERO, "");
    pair.client.close(pair.now, CloseReason::Normal, Duration::ZERO, "");
    pair.client.handle_input(pair.now, &[1, 2, 3]);
    pair.client.handle_eof(pair.now);
    pair.client.handle_timeout(pair.now + DEADLINE);
    pair.collect();
    let ends = pair
        .client_events
        .iter()
        .filter(|event| matches!(event, ClientEvent::Closed(_)));
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_peer_cannot_drain_for_longer_than_an_hour() {
    for (deadline_ms, heard_ms) in [
        (3_599_999, 3_599_999),
        (3_600_000, 3_600_000),
        (3_600_001, 3_600_000),
        (u32::MAX, 3_600_000),
    ] {
        let mut pair = Pair::up();
        let close = wire::Close {
            reason: 1,
            deadline_ms,
            text: "\u{1b}[31m".into(),
        };
        pair.client
            .take_for_tests(pair.now, wire::control::Message::Close(close));
        pair.collect();
        let closing = ClientEvent::PeerClosing {
            reason: CloseReason::GoingAway,
            deadline: Duration::from_millis(heard_ms),
            text: " [31m".into(),
        };
        assert_eq!(pair.client_events.last(), Some(&closing));
    }
}

#[test]
fn an_end_does_not_drain_for_longer_than_an_hour() {
    let mut pair = Pair::up();
    let hour = Duration::from_secs(3600);
    pair.server.close(pair.now, CloseReason::GoingAway, hour * 2, "");
    pair.run();
    pair.pass(hour - Duration::from_millis(1));
    assert!(!pair.server.is_closed());
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Local);
}

#[test]
fn pings_without_answer_are_bounded() {
    let mut pair = Pair::up();
    for _ in 0..1000 {
        pair.client.ping(pair.now).unwrap();
    }
    pair.run();
    let pongs = pair
        .client_events
        .iter()
        .filter(|event| matches!(event, ClientEvent::Pong { .. }));
    assert_eq!(pongs.count(), 16);
}
