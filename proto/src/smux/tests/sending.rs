//! Control frames, first bytes and turns; flow control of v1.

use super::*;
use crate::smux::{MAX_FIRST_BYTES, MAX_PAYLOAD_BYTES, QueueError};

#[test]
fn finished_stream_sends_one_fin_and_nothing_else() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(id, true);
    end.mux.finish(id);
    end.mux.finish(id);
    assert_eq!(end.mux.next_data(1 << 16), None);
    assert_eq!(pending(&mut end), [(FIN, id)]);
    end.mux.finish(id);
    end.mux.set_ready(id, true);
    assert_eq!(end.mux.next_data(1 << 16), None);
    assert!(!end.mux.has_pending());
}

#[test]
fn first_bytes_go_before_data_and_fin() {
    let mut end = dialled(Config {
        frame_size: 3,
        ..kariz(MuxVersion::V2)
    });
    let id = end.mux.open(0).unwrap();
    end.mux.set_ready(id, true);
    end.mux.queue_first(id, b"hello".to_vec()).unwrap();
    assert_eq!(end.mux.next_data(1 << 16), None);
    assert_eq!(pending(&mut end), [(SYN, id), (PSH, id), (PSH, id)]);
    assert_eq!(end.pull(3), Some((id, 3)));
    let other = end.mux.open(0).unwrap();
    end.mux.queue_first(other, b"1".to_vec()).unwrap();
    end.mux.finish(other);
    assert_eq!(pending(&mut end), [(SYN, other), (PSH, other), (FIN, other)]);
}

#[test]
fn first_bytes_are_bounded_and_really_first() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    assert_eq!(end.mux.queue_first(99, vec![]), Err(QueueError::NotOpen));
    assert_eq!(
        end.mux.queue_first(id, vec![0; MAX_FIRST_BYTES + 1]),
        Err(QueueError::TooLong)
    );
    assert_eq!(end.mux.queue_first(id, vec![0; MAX_FIRST_BYTES]), Ok(()));
    assert_eq!(end.mux.queue_first(id, vec![0]), Err(QueueError::NotFirst));
    let late = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(late, true);
    assert_eq!(end.pull(1), Some((late, 1)));
    assert_eq!(end.mux.queue_first(late, vec![0]), Err(QueueError::NotFirst));
    end.mux.finish(late);
    assert_eq!(end.mux.queue_first(late, vec![0]), Err(QueueError::NotOpen));
}

#[test]
fn control_frames_continue_where_a_small_buffer_ended() {
    let mut end = dialled(kariz(MuxVersion::V2));
    end.receive(&syn(2)).unwrap();
    end.mux.reset(2, 1);
    for _ in 0..3 {
        let id = end.mux.open(0).unwrap();
        end.mux.queue_first(id, vec![7; 100]).unwrap();
        end.mux.finish(id);
    }
    end.wait(Duration::from_secs(10));
    let (mut sent, mut out) = (Vec::new(), [0; 16]);
    while end.mux.has_pending() {
        let length = end.mux.write_control(&mut out);
        assert!(length > 0);
        sent.extend_from_slice(&out[..length]);
    }
    let frames = frames(&sent);
    assert_eq!((frames[0].0, frames[1].0), (RST, NOP));
    for id in [3, 5, 7] {
        let of_stream: Vec<_> = frames.iter().filter(|frame| frame.1 == id).collect();
        assert_eq!((of_stream[0].0, of_stream.last().unwrap().0), (SYN, FIN));
        assert_eq!(
            of_stream
                .iter()
                .filter(|frame| frame.0 == PSH)
                .map(|frame| frame.2.len())
                .sum::<usize>(),
            100
        );
    }
}

#[test]
fn turn_respects_room_frame_size_and_window() {
    let mut end = dialled(kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    end.control();
    assert!(!end.mux.has_pending());
    end.mux.set_ready(id, true);
    assert!(end.mux.has_pending());
    assert_eq!(end.mux.next_data(8 + 1023), None);
    assert_eq!(end.mux.next_data(8 + 1024).unwrap().max_len, 1024);
    assert_eq!(end.mux.next_data(1 << 20).unwrap().max_len, 32768);
    assert_eq!(end.pull(32768), Some((id, 32768)));
    assert_eq!(end.pull(32767), Some((id, 32767)));
    assert_eq!(end.pull(10), Some((id, 1)), "the rest of the initial window");
    assert!(!end.mux.has_pending());
    assert_eq!(end.mux.next_data(1 << 20), None);
    end.receive(&update(id, 65536, 65536)).unwrap();
    assert_eq!(end.pull(10), Some((id, 10)));
    end.mux.set_ready(id, false);
    assert!(!end.mux.has_pending());
}

#[test]
fn frame_has_no_more_payload_than_its_header_can_say() {
    let mut end = dialled(Config {
        frame_size: u16::MAX,
        ..kariz(MuxVersion::V1)
    });
    let id = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(id, true);
    let pull = end.mux.next_data(1 << 20).unwrap();
    assert!(pull.max_len == MAX_PAYLOAD_BYTES && pull.window > MAX_PAYLOAD_BYTES);
    assert_eq!(end.mux.pulled(id, MAX_PAYLOAD_BYTES)[2..4], [0xff, 0xff]);
}

#[test]
fn v1_stops_reading_at_the_receive_buffer() {
    let mut end = dialled(Config {
        receive_buffer: 10,
        ..kariz(MuxVersion::V1)
    });
    end.receive_all(&[frame(1, Command::Syn, 2, &[]), frame(1, Command::Push, 2, &[0; 9])])
        .unwrap();
    assert!(!end.mux.receive_paused());
    end.receive(&frame(1, Command::Push, 2, &[0; 5])).unwrap();
    assert!(end.mux.receive_paused());
    end.mux.consumed(2, 4);
    assert!(end.mux.receive_paused());
    end.mux.consumed(2, 1);
    assert!(!end.mux.receive_paused());
    assert_eq!(end.control(), [], "v1 has no UPD");
}

#[test]
fn v1_sends_without_a_window() {
    let mut end = dialled(kariz(MuxVersion::V1));
    let id = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(id, true);
    for _ in 0..1000 {
        assert_eq!(end.pull(32768), Some((id, 32768)));
    }
}
