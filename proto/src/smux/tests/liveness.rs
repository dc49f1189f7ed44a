//! Keep-alive, dead peers, streams that are held back.

use super::*;

#[test]
fn foreign_opener_hears_nothing_before_its_first_data() {
    let mut end = dialled(foreign(MuxVersion::V1));
    let v1 = |command, id, payload: &[u8]| frame(1, command, id, payload);
    end.receive(&v1(Command::Syn, 2, &[])).unwrap();
    end.mux.queue_first(2, b"hello".to_vec()).unwrap();
    end.mux.set_ready(2, true);
    assert_eq!(
        (end.control(), end.pull(1), end.mux.has_pending()),
        (vec![], None, false)
    );
    end.receive(&v1(Command::Push, 2, b"x")).unwrap();
    assert!(end.mux.has_pending());
    assert_eq!(frames(&end.control()), [(PSH, 2, b"hello".to_vec())]);
    assert_eq!(end.pull(1), Some((2, 1)));
}

#[test]
fn server_first_protocol_is_held_back_for_20_ms_only() {
    let mut end = dialled(foreign(MuxVersion::V2));
    end.receive(&syn(2)).unwrap();
    end.mux.set_ready(2, true);
    assert_eq!(end.mux.next_timeout(), Some(end.now + Duration::from_millis(20)));
    end.wait(Duration::from_millis(19));
    assert_eq!(end.pull(1), None);
    end.wait(Duration::from_millis(1));
    assert_eq!(end.pull(1), Some((2, 1)));
}

#[test]
fn ends_of_a_held_back_stream_are_held_back_too() {
    let mut end = dialled(foreign(MuxVersion::V2));
    end.receive_all(&[syn(2), syn(4)]).unwrap();
    end.mux.finish(2);
    end.mux.reset(4, 0);
    assert_eq!(pending(&mut end), []);
    end.wait(Duration::from_millis(20));
    assert_eq!(pending(&mut end), [(FIN, 4), (FIN, 2)]);
}

#[test]
fn own_streams_and_kariz_streams_are_not_held_back() {
    let mut end = dialled(foreign(MuxVersion::V2));
    let own = end.mux.open(0).unwrap();
    end.mux.set_ready(own, true);
    end.control();
    assert_eq!(end.pull(1), Some((own, 1)));
    let mut end = dialled(kariz(MuxVersion::V2));
    end.receive(&syn(2)).unwrap();
    end.mux.set_ready(2, true);
    assert_eq!(end.pull(1), Some((2, 1)));
}

#[test]
fn keep_alive_goes_out_every_10_s() {
    let mut end = dialled(kariz(MuxVersion::V2));
    for _ in 0..3 {
        assert_eq!(end.mux.next_timeout(), Some(end.now + Duration::from_secs(10)));
        end.wait(Duration::from_secs(10));
        assert_eq!(pending(&mut end), [(NOP, 0)]);
        end.receive(&frame(2, Command::Nop, 0, &[])).unwrap();
    }
}

#[test]
fn blocked_carrier_gathers_one_keep_alive() {
    let mut end = dialled(kariz(MuxVersion::V2));
    (0..5).for_each(|_| end.wait(Duration::from_secs(10)));
    assert_eq!(pending(&mut end), [(NOP, 0)]);
}

#[test]
fn silent_peer_is_dead_60_s_after_its_last_byte() {
    let mut end = dialled(kariz(MuxVersion::V2));
    end.wait(Duration::from_secs(59));
    end.receive(&[2]).unwrap();
    end.wait(Duration::from_secs(59));
    let at = end.now + Duration::from_secs(1);
    assert_eq!(end.mux.handle_timeout(at).unwrap_err().silence, Duration::from_secs(60));
}

#[test]
fn peer_is_not_dead_because_this_end_does_not_read() {
    let mut end = dialled(Config {
        receive_buffer: 10,
        ..kariz(MuxVersion::V1)
    });
    end.receive_all(&[frame(1, Command::Syn, 2, &[]), frame(1, Command::Push, 2, &[0; 10])])
        .unwrap();
    end.wait(Duration::from_secs(100));
    end.wait(Duration::from_secs(59));
    end.mux.consumed(2, 10);
    end.wait(Duration::from_secs(1));
    end.wait(Duration::from_secs(59));
    assert!(end.mux.handle_timeout(end.now + Duration::from_secs(1)).is_err());
}
