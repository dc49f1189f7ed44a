//! Rules of `spec/smux.md` about streams that are not violations.

use super::*;
use crate::smux::{Counters, OpenError, RESET_REFUSED};

#[test]
fn ids_start_at_3_for_the_dialler_and_at_2_for_the_acceptor() {
    for (role, ids) in [(Role::Dialled, [3, 5, 7]), (Role::Accepted, [2, 4, 6])] {
        let mut end = End::new(role, kariz(MuxVersion::V2));
        assert_eq!([(); 3].map(|()| end.mux.open(0).unwrap()), ids);
        assert_eq!(pending(&mut end), ids.map(|id| (SYN, id)));
    }
}

#[test]
fn last_id_is_used_and_then_another_carrier_is_needed() {
    for (role, last) in [(Role::Dialled, u32::MAX), (Role::Accepted, u32::MAX - 1)] {
        let mut end = End::new(role, kariz(MuxVersion::V2));
        end.mux.ids.jump_to(last);
        assert_eq!(end.mux.open(0), Ok(last));
        assert_eq!(end.mux.open(0), Err(OpenError::IdsExhausted));
        end.control();
        assert_eq!(end.receive(&fin(last)), Ok(vec![Event::Fin(last)]));
    }
}

#[test]
fn streams_of_both_ends_count_towards_the_limit() {
    let mut end = dialled(Config {
        max_streams: 2,
        ..kariz(MuxVersion::V2)
    });
    end.receive(&syn(2)).unwrap();
    let own = end.mux.open(0).unwrap();
    assert_eq!(end.mux.open(0), Err(OpenError::TooManyStreams));
    assert_eq!(end.mux.streams(), 2);
    end.mux.reset(own, 0);
    assert_eq!(end.mux.open(0), Ok(5));
}

#[test]
fn stream_above_the_limit_is_refused_and_the_others_live() {
    let mut end = dialled(Config {
        max_streams: 1,
        ..kariz(MuxVersion::V2)
    });
    assert_eq!(
        end.receive_all(&[syn(2), syn(4), push(4, b"x"), push(2, b"y")])
            .unwrap()
            .len(),
        2
    );
    assert!(frames(&end.control()).contains(&(RST, 4, RESET_REFUSED.to_le_bytes().to_vec())));
    assert_eq!(
        end.mux.counters(),
        Counters {
            refused: 1,
            stale_frames: 1,
            reset_as_fin: 0
        }
    );
}

#[test]
fn foreign_peer_is_refused_with_a_fin_that_it_cannot_lose() {
    let mut end = dialled(Config {
        max_streams: 1,
        ..foreign(MuxVersion::V2)
    });
    end.receive_all(&[syn(2), syn(4)]).unwrap();
    assert_eq!(pending(&mut end), []);
    end.wait(Duration::from_millis(20));
    assert_eq!(pending(&mut end), [(FIN, 4)]);
    assert_eq!(
        end.mux.counters(),
        Counters {
            refused: 1,
            stale_frames: 0,
            reset_as_fin: 1
        }
    );
}

#[test]
fn half_close_is_exact_in_both_directions() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    end.mux.finish(id);
    assert_eq!(pending(&mut end), [(SYN, id), (FIN, id)]);
    assert_eq!(
        end.receive(&push(id, b"later")),
        Ok(vec![Event::Data(id, b"later".to_vec())])
    );
    assert_eq!(end.receive(&fin(id)), Ok(vec![Event::Fin(id)]));
    assert_eq!(end.mux.streams(), 0);

    end.receive_all(&[syn(2), fin(2)]).unwrap();
    end.mux.set_ready(2, true);
    assert_eq!(end.pull(10), Some((2, 10)));
    end.mux.finish(2);
    assert_eq!(pending(&mut end), [(FIN, 2)]);
    assert_eq!(end.mux.streams(), 0);
}

#[test]
fn closed_stream_stays_until_its_bytes_are_consumed() {
    let mut end = dialled(kariz(MuxVersion::V2));
    end.receive_all(&[syn(2), push(2, b"12345"), fin(2)]).unwrap();
    end.mux.finish(2);
    end.control();
    assert_eq!(
        (end.mux.streams(), end.mux.streams.len(), end.mux.unconsumed()),
        (0, 1, 5)
    );
    end.mux.consumed(2, 3);
    assert_eq!((end.mux.streams.len(), end.mux.unconsumed()), (1, 2));
    end.mux.consumed(2, 2);
    assert_eq!((end.mux.streams.len(), end.mux.unconsumed()), (0, 0));
    assert!(!end.mux.has_pending(), "no window is promised to an ended stream");
}

#[test]
fn stream_is_refused_while_too_many_closed_ones_wait_for_their_targets() {
    let mut end = dialled(Config {
        max_streams: 2,
        ..kariz(MuxVersion::V2)
    });
    for id in [2, 4, 6, 8] {
        assert_eq!(end.receive_all(&[syn(id), push(id, b"x"), fin(id)]).unwrap().len(), 3);
        end.mux.finish(id);
        end.control();
    }
    assert_eq!((end.mux.streams(), end.mux.streams.len()), (0, 4));
    assert_eq!(end.receive(&syn(10)), Ok(vec![]));
    assert_eq!(end.mux.counters().refused, 1);
    end.mux.consumed(2, 1);
    assert_eq!(end.receive(&syn(12)), Ok(vec![Event::Opened(12)]));
}

#[test]
fn reset_between_kariz_ends_is_rst() {
    let mut end = dialled(kariz(MuxVersion::V2));
    end.receive_all(&[syn(2), push(2, b"x")]).unwrap();
    end.mux.reset(2, 7);
    assert_eq!((end.mux.streams(), end.mux.unconsumed()), (0, 0));
    assert_eq!(frames(&end.control()), [(RST, 2, 7u32.to_le_bytes().to_vec())]);
    assert_eq!(end.mux.counters(), Counters::default());
    assert_eq!(
        end.receive_all(&[syn(4), push(4, b"x"), rst(4, 9)]).unwrap().last(),
        Some(&Event::Reset(4, 9))
    );
    assert_eq!((end.mux.streams(), end.mux.unconsumed()), (0, 0));
    assert_eq!(end.control(), []);
}

#[test]
fn reset_towards_a_foreign_peer_is_one_fin_and_counted() {
    let mut end = dialled(foreign(MuxVersion::V2));
    let [first, second] = [end.mux.open(0).unwrap(), end.mux.open(0).unwrap()];
    end.mux.finish(second);
    end.control();
    end.mux.reset(first, 7);
    end.mux.reset(second, 7);
    assert_eq!(pending(&mut end), [(FIN, first)]);
    assert_eq!(end.mux.counters().reset_as_fin, 2);
}

#[test]
fn stream_that_was_reset_before_its_syn_never_shows() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    end.mux.reset(id, 7);
    assert_eq!(pending(&mut end), []);
}

#[test]
fn frames_for_a_closed_stream_are_ignored_and_counted() {
    let mut end = dialled(kariz(MuxVersion::V2));
    end.receive(&syn(2)).unwrap();
    end.mux.reset(2, 0);
    assert_eq!(
        end.receive_all(&[push(2, b"x"), update(2, 0, 1 << 20), fin(2), rst(2, 0)]),
        Ok(vec![])
    );
    assert_eq!(end.mux.counters().stale_frames, 4);
}

#[test]
fn stream_reset_in_the_middle_of_a_frame_gets_no_more_of_it() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let frame = push(2, b"0123456789");
    end.receive(&syn(2)).unwrap();
    assert_eq!(end.receive(&frame[..12]), Ok(vec![Event::Data(2, b"0123".to_vec())]));
    end.mux.reset(2, 0);
    assert_eq!(
        end.receive(&[&frame[12..], &syn(4)].concat()),
        Ok(vec![Event::Opened(4)])
    );
    assert_eq!(end.mux.unconsumed(), 0);
}

#[test]
fn empty_data_is_ignored() {
    let mut end = dialled(kariz(MuxVersion::V2));
    assert_eq!(
        end.receive_all(&[syn(2), push(2, b""), push(2, b"x")]).unwrap().len(),
        2
    );
}

#[test]
fn largest_frame_is_taken_whatever_this_end_sends() {
    let mut end = dialled(Config {
        frame_size: 1,
        ..kariz(MuxVersion::V2)
    });
    let payload = vec![7; 65535];
    assert_eq!(
        end.receive_all(&[syn(2), push(2, &payload)]).unwrap()[1],
        Event::Data(2, payload)
    );
}

#[test]
fn foreign_streams_may_arrive_in_another_order_than_their_ids() {
    let mut end = End::new(Role::Accepted, foreign(MuxVersion::V2));
    let opened = end.receive_all(&[syn(7), syn(3), syn(5), push(3, b"x")]).unwrap();
    assert_eq!(opened[..3], [Event::Opened(7), Event::Opened(3), Event::Opened(5)]);
    assert_eq!(end.receive(&syn(u32::MAX)), Ok(vec![Event::Opened(u32::MAX)]));
    assert_eq!(
        end.receive(&syn(u32::MAX - 2048)),
        Ok(vec![Event::Opened(u32::MAX - 2048)])
    );
    assert_eq!(
        end.receive(&syn(u32::MAX - 2050)),
        Err(Violation::IdTooLow(u32::MAX - 2050))
    );
}

#[test]
fn oldest_of_too_many_skipped_ids_are_given_up() {
    let mut end = End::new(Role::Accepted, foreign(MuxVersion::V2));
    // 3 to 2047 are skipped, which is one less than may be, then two more.
    end.receive(&syn(2049)).unwrap();
    end.receive(&syn(2055)).unwrap();
    assert_eq!(end.receive(&syn(5)), Ok(vec![Event::Opened(5)]));
    assert_eq!(end.receive(&syn(2053)), Ok(vec![Event::Opened(2053)]));
    assert_eq!(end.receive(&syn(3)), Err(Violation::IdTooLow(3)));
}

#[test]
fn what_go_does_beside_the_rules_is_borne() {
    let mut end = dialled(foreign(MuxVersion::V2));
    let own = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(own, true);
    assert_eq!(end.pull(100), Some((own, 100)));
    let window_shrinks = update(own, 60, 65536);
    let reader_overtaken = update(own, 40, 65536);
    end.receive_all(&[window_shrinks, reader_overtaken]).unwrap();
    assert_eq!(end.mux.streams[&own].outbound.room(true), 65536 - 40);
    let events = end.receive_all(&[fin(own), push(own, b"behind Close"), fin(own)]);
    assert_eq!(events, Ok(vec![Event::Fin(own)]));
    assert_eq!(end.mux.counters().stale_frames, 2);
}

#[test]
fn streams_that_come_and_go_behind_a_blocked_carrier_leave_nothing() {
    for config in [kariz(MuxVersion::V2), foreign(MuxVersion::V2)] {
        let mut end = dialled(config);
        for id in (2..200_000).step_by(2) {
            end.receive_all(&[syn(id), push(id, b"x")]).unwrap();
            end.mux.set_ready(id, true);
            end.mux.consumed(id, 1);
            end.mux.finish(id);
            if config.kariz {
                end.receive(&rst(id, 0)).unwrap();
            } else {
                end.receive(&fin(id)).unwrap();
                end.control();
            }
        }
        let mux = &end.mux;
        assert_eq!((mux.streams(), mux.streams.len(), mux.resets.len()), (0, 0, 0));
        assert!(mux.urgent.len() < 200 && mux.ordered.len() < 200 && mux.held.len() < 200);
    }
}

#[test]
fn stream_costs_little() {
    let size = size_of::<crate::smux::stream::Stream>();
    assert!(size <= 160, "{size} bytes");
}
