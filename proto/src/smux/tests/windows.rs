//! Receive windows: real from the start, growing, never taken back, never more than the buffer.

use super::*;
use crate::smux::window::Pool;
use crate::smux::{INITIAL_WINDOW, MAX_WINDOW, OPENING_WINDOW};
use proptest::prelude::*;

fn accepted(config: Config) -> End {
    End::new(Role::Accepted, config)
}

/// UPD frames that are pending, as id, consumed and window.
fn updates(end: &mut End) -> Vec<(StreamId, u32, u32)> {
    let updates = frames(&end.control()).into_iter().filter(|frame| frame.0 == 4);
    updates
        .map(|(_, id, payload)| {
            let word = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
            (id, word(0), word(4))
        })
        .collect()
}

/// Sends `total` bytes of stream `id` and consumes them at once; the windows that were promised meanwhile.
fn stream_through(end: &mut End, id: StreamId, total: usize, rate_per_ms: usize) -> Vec<u32> {
    let mut windows = Vec::new();
    for _ in 0..total / rate_per_ms {
        end.now += Duration::from_millis(1);
        end.receive(&push(id, &vec![0; rate_per_ms])).unwrap();
        end.mux.consumed(id, rate_per_ms);
        windows.extend(updates(end).into_iter().map(|update| update.2));
    }
    windows
}

#[test]
fn first_stream_of_a_kariz_peer_is_promised_1_mib_with_the_first_bytes() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    end.receive(&push(3, b"open")).unwrap();
    end.mux.consumed_before_answer(3, 4);
    assert_eq!(updates(&mut end), [], "it waits for the first bytes");
    assert_eq!(end.mux.unconsumed(), 0);
    end.mux.queue_first(3, Vec::new()).unwrap();
    assert_eq!(updates(&mut end), [(3, 4, OPENING_WINDOW - 4)]);
    let own = end.mux.open(0).unwrap();
    let [(id, 0, window)] = updates(&mut end)[..] else {
        panic!("one update")
    };
    assert!(
        id == own && window > INITIAL_WINDOW && window < OPENING_WINDOW,
        "half of the pool is for openings"
    );
}

#[test]
fn opening_window_of_a_kariz_peer_does_not_wait_when_something_is_consumed() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive_all(&[syn(3), push(3, b"x")]).unwrap();
    assert_eq!(updates(&mut end), []);
    end.mux.consumed(3, 1);
    assert_eq!(updates(&mut end), [(3, 1, OPENING_WINDOW - 1)]);
}

#[test]
fn time_until_the_first_bytes_is_not_taken_for_a_round_trip() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    end.now += Duration::from_millis(300);
    end.receive(&push(3, b"x")).unwrap();
    end.mux.queue_first(3, Vec::new()).unwrap();
    assert_eq!(updates(&mut end), [(3, 0, OPENING_WINDOW)]);
    end.now += Duration::from_millis(2);
    end.receive(&push(3, &[0; 65_535])).unwrap();
    end.receive(&push(3, b"x")).unwrap();
    assert_eq!(end.mux.pool.round_trip(), Some(Duration::from_millis(2)));
}

#[test]
fn foreign_peer_gets_its_first_window_with_the_first_read() {
    let mut end = accepted(foreign(MuxVersion::V2));
    end.receive_all(&[syn(3), push(3, b"x")]).unwrap();
    assert_eq!(updates(&mut end), []);
    end.mux.consumed(3, 1);
    assert_eq!(updates(&mut end), [(3, 1, OPENING_WINDOW)]);
}

#[test]
fn foreign_peer_learns_the_window_of_our_stream_behind_its_syn() {
    let mut end = accepted(foreign(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    assert_eq!(
        frames(&end.control())
            .iter()
            .map(|frame| (frame.0, frame.1))
            .collect::<Vec<_>>(),
        [(0, id), (4, id)]
    );
}

/// How much of the opening window is consumed when it is renewed, on a path with this round trip.
fn renewed_after(round_trip: Duration) -> usize {
    const PIECE: usize = 32 * 1024;
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    end.mux.queue_first(3, Vec::new()).unwrap();
    end.control();
    end.mux.pool.set_round_trip(round_trip, Duration::ZERO);
    // The opening window seems to take long to have its effect, so that the round trip stays as it is.
    end.now += Duration::from_secs(1);
    for consumed in (PIECE..).step_by(PIECE) {
        end.receive(&push(3, &[0; PIECE])).unwrap();
        end.mux.consumed(3, PIECE - 1);
        assert_eq!(updates(&mut end), [], "before {consumed} bytes");
        end.mux.consumed(3, 1);
        if !updates(&mut end).is_empty() {
            return consumed;
        }
    }
    unreachable!("the window is full at some time")
}

#[test]
fn window_is_renewed_when_half_of_it_is_consumed_and_an_eighth_over_a_distance() {
    assert_eq!(renewed_after(Duration::from_millis(1)), OPENING_WINDOW as usize / 2);
    assert_eq!(renewed_after(Duration::from_millis(5)), OPENING_WINDOW as usize / 8);
}

/// A peer that fills the window of stream `id` in each of `rounds` round trips; the windows that it was promised.
fn fill_windows(end: &mut End, id: StreamId, rounds: u32, round_trip: Duration) -> Vec<u32> {
    let mut windows = Vec::new();
    for _ in 0..rounds {
        end.now += round_trip;
        let inbound = &end.mux.streams[&id].inbound;
        for chunk in vec![0; (inbound.promised() - inbound.unconsumed()) as usize].chunks(32768) {
            end.receive(&push(id, chunk)).unwrap();
            end.mux.consumed(id, chunk.len());
        }
        windows.extend(updates(end).into_iter().map(|update| update.2));
    }
    windows
}

#[test]
fn window_grows_to_the_stream_buffer_where_the_path_needs_it() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    end.control();
    let windows = fill_windows(&mut end, 3, 6, Duration::from_millis(100));
    assert_eq!(windows.iter().max(), Some(&(2 << 20)));
    assert_eq!(end.mux.pool.round_trip(), Some(Duration::from_millis(100)));
}

#[test]
fn window_does_not_grow_beyond_what_a_short_path_needs() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive_all(&[syn(3), syn(5)]).unwrap();
    end.control();
    // Stream 5 measures the path: its peer answers the first UPD within a millisecond.
    end.receive(&push(5, &[0; 65535])).unwrap();
    stream_through(&mut end, 5, 8 << 20, 1 << 15);
    let measured = end.mux.pool.round_trip().unwrap();
    end.mux
        .pool
        .set_round_trip(Duration::from_millis(1), Duration::from_secs(8));
    assert!(measured >= Duration::from_millis(1));
    // 8 MB/s over a round trip of 1 ms need 8 KiB.
    let windows = stream_through(&mut end, 3, 8 << 20, 1 << 13);
    assert!(windows.iter().all(|window| *window <= OPENING_WINDOW), "{windows:?}");
    assert_eq!(end.mux.streams[&3].inbound.target(), OPENING_WINDOW);
}

#[test]
fn window_never_exceeds_what_the_sender_can_count() {
    let config = Config {
        receive_buffer: u32::MAX,
        stream_buffer: u32::MAX,
        ..kariz(MuxVersion::V2)
    };
    let mut end = accepted(config);
    end.receive(&syn(3)).unwrap();
    let windows = fill_windows(&mut end, 3, 8, Duration::from_millis(100));
    assert!(windows.iter().all(|window| *window <= MAX_WINDOW));
    assert!(windows.iter().max() > Some(&(64 << 20)));
    assert_eq!(Pool::new(&config).max_window(), MAX_WINDOW);
}

#[test]
fn small_stream_buffer_is_kept() {
    let mut end = accepted(Config {
        stream_buffer: 10_000,
        ..kariz(MuxVersion::V2)
    });
    end.receive(&syn(3)).unwrap();
    assert_eq!(updates(&mut end), [], "less than the peer assumes cannot be promised");
    let windows = stream_through(&mut end, 3, 1 << 20, 1000);
    assert!(
        windows.len() > 100 && windows.iter().all(|window| *window == 10_000),
        "{windows:?}"
    );
}

#[test]
fn newcomer_gets_a_window_beside_streams_that_hold_all_they_can() {
    let mut end = accepted(kariz(MuxVersion::V2));
    for id in (3..31).step_by(2) {
        end.receive(&syn(id)).unwrap();
        let promised = end.mux.streams[&id].inbound.promised();
        end.control();
        for chunk in vec![0; promised as usize].chunks(65535) {
            end.receive(&push(id, chunk)).unwrap();
        }
    }
    end.receive(&syn(31)).unwrap();
    assert!(end.mux.streams[&31].inbound.promised() >= INITIAL_WINDOW);
    assert!(!end.mux.receive_paused());
    stream_through(&mut end, 31, 1 << 20, 1 << 14);
}

#[test]
fn hog_gives_its_share_up_when_others_come() {
    let mut end = accepted(kariz(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    end.control();
    assert_eq!(
        fill_windows(&mut end, 3, 6, Duration::from_millis(100)).last(),
        Some(&(2 << 20))
    );
    let others = [5, 7, 9, 11];
    others.iter().for_each(|id| assert!(end.receive(&syn(*id)).is_ok()));
    for _ in 0..20 {
        for id in others.iter().chain(&[3]) {
            stream_through(&mut end, *id, 1 << 20, 1 << 15);
        }
    }
    let promised = |id: StreamId| end.mux.streams[&id].inbound.promised();
    let all: Vec<_> = [3, 5, 7, 9, 11].map(promised).into();
    assert!(all.iter().all(|window| *window > 200_000), "{all:?}");
    assert!(all.iter().sum::<u32>() <= 4 << 20);
}

#[derive(Debug, Clone)]
enum Step {
    Syn,
    Open,
    Push { stream: usize, length: u16 },
    Consume { stream: usize, share: u8 },
    Fin { stream: usize },
    Finish { stream: usize },
    Reset { stream: usize },
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..8usize;
    prop_oneof![
        1 => Just(Step::Syn),
        1 => Just(Step::Open),
        8 => (stream.clone(), 1..u16::MAX).prop_map(|(stream, length)| Step::Push { stream, length }),
        8 => (stream.clone(), any::<u8>()).prop_map(|(stream, share)| Step::Consume { stream, share }),
        1 => stream.clone().prop_map(|stream| Step::Fin { stream }),
        1 => stream.clone().prop_map(|stream| Step::Finish { stream }),
        1 => stream.prop_map(|stream| Step::Reset { stream }),
        1 => (0..500u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn promised_windows_stay_inside_the_receive_buffer(steps in prop::collection::vec(step(), 1..300)) {
        let config = Config { max_streams: 8, ..kariz(MuxVersion::V2) };
        let mut end = accepted(config);
        let (mut ids, mut next) = (Vec::new(), 3);
        for step in steps {
            let pick = |stream: usize| ids.get(stream).copied().unwrap_or(0);
            match step {
                Step::Syn => {
                    if end.mux.streams() < 8 {
                        end.receive(&syn(next)).unwrap();
                        ids.push(next);
                    }
                    next += 2;
                }
                Step::Open => ids.extend(end.mux.open(0)),
                Step::Push { stream, length } => {
                    let id = pick(stream);
                    end.control();
                    if let Some(stream) = end.mux.streams.get(&id) && !stream.fin_received {
                        let room = stream.inbound.promised() - stream.inbound.unconsumed();
                        end.receive(&push(id, &vec![0; room.min(length.into()) as usize])).unwrap();
                    }
                }
                Step::Consume { stream, share } => {
                    let id = pick(stream);
                    if let Some(stream) = end.mux.streams.get(&id) {
                        let length = u64::from(stream.inbound.unconsumed()) * (u64::from(share) + 1) / 256;
                        end.mux.consumed(id, length as usize);
                    }
                }
                Step::Fin { stream } => {
                    let id = pick(stream);
                    end.control();
                    if end.mux.streams.get(&id).is_some_and(|stream| !stream.fin_received) {
                        end.receive(&fin(id)).unwrap();
                    }
                }
                Step::Finish { stream } => {
                    end.mux.finish(pick(stream));
                    end.control();
                }
                Step::Reset { stream } => end.mux.reset(pick(stream), 0),
                Step::Wait(ms) => end.now += Duration::from_millis(ms.into()),
            }
            end.control();
            ids.retain(|id| end.mux.streams.contains_key(id));
            let streams = end.mux.streams.values();
            let (open, closed): (Vec<_>, Vec<_>) = streams.partition(|stream| !stream.closed);
            let promised: u64 = open.iter().map(|stream| u64::from(stream.inbound.promised())).sum();
            let kept: u64 = closed.iter().map(|stream| u64::from(stream.inbound.unconsumed())).sum();
            // What closed streams hold within a floor of theirs can come on top of the promises.
            let on_top = kept.min(closed.len() as u64 * u64::from(INITIAL_WINDOW));
            prop_assert!(promised + kept <= u64::from(config.receive_buffer) + on_top);
            let unconsumed: u64 = end.mux.streams.values().map(|stream| u64::from(stream.inbound.unconsumed())).sum();
            prop_assert_eq!(end.mux.unconsumed(), unconsumed);
            for stream in end.mux.streams.values().filter(|stream| !stream.fin_received) {
                let starving = stream.inbound.promised() < INITIAL_WINDOW / 2;
                prop_assert!(!starving || stream.inbound.unconsumed() > 0, "no stream can be stuck without a window");
            }
        }
    }
}
