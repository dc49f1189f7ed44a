//! Each breach of the protocol ends the carrier by its name.

use super::*;
use crate::smux::{MAX_PENDING_RESETS, MAX_WINDOW, OpenError};

fn accepted() -> End {
    End::new(Role::Accepted, kariz(MuxVersion::V2))
}

#[track_caller]
fn expect(mut end: End, frames: &[Vec<u8>], violation: Violation) {
    assert_eq!(end.receive_all(frames), Err(violation));
    assert_eq!(
        end.receive_all(&[frame(2, Command::Nop, 0, &[])]),
        Err(violation),
        "the carrier stays broken"
    );
    assert_eq!(end.mux.open(0), Err(OpenError::Broken(violation)));
}

#[test]
fn frame_of_another_version() {
    expect(
        accepted(),
        &[frame(1, Command::Syn, 3, &[])],
        Violation::WrongVersion(1),
    );
}

#[test]
fn unknown_command() {
    expect(accepted(), &[unhex("0206000003000000")], Violation::UnknownCommand(6));
}

#[test]
fn update_in_version_1() {
    let mut end = End::new(Role::Accepted, kariz(MuxVersion::V1));
    assert_eq!(
        end.receive(&unhex("01040800030000000000000000000100")),
        Err(Violation::UnknownCommand(4))
    );
}

#[test]
fn reset_from_a_foreign_peer() {
    let end = End::new(Role::Accepted, foreign(MuxVersion::V2));
    expect(end, &[syn(3), rst(3, 0)], Violation::UnknownCommand(5));
}

#[test]
fn payload_where_none_belongs() {
    for command in [Command::Syn, Command::Fin, Command::Nop] {
        let violation = Violation::WrongLength {
            command: command as u8,
            length: 1,
        };
        expect(accepted(), &[frame(2, command, 3, b"x")], violation);
    }
}

#[test]
fn update_and_reset_of_another_length() {
    expect(
        accepted(),
        &[frame(2, Command::Update, 3, &[0; 7])],
        Violation::WrongLength { command: 4, length: 7 },
    );
    // Longer than any control frame: refused by its header, so that nothing of it is kept.
    expect(
        accepted(),
        &[frame(2, Command::Update, 3, &[0; 9])[..HEADER_BYTES].to_vec()],
        Violation::WrongLength { command: 4, length: 9 },
    );
    expect(
        accepted(),
        &[frame(2, Command::Reset, 3, &[0; 8])],
        Violation::WrongLength { command: 5, length: 8 },
    );
}

#[test]
fn stream_opened_by_the_wrong_end() {
    expect(accepted(), &[syn(2)], Violation::WrongParity(2));
    expect(
        End::new(Role::Dialled, kariz(MuxVersion::V2)),
        &[syn(3)],
        Violation::WrongParity(3),
    );
}

#[test]
fn stream_opened_twice() {
    expect(accepted(), &[syn(3), syn(3)], Violation::AlreadyOpen(3));
    let mut end = accepted();
    let own = end.mux.open(0).unwrap();
    expect(end, &[syn(own)], Violation::WrongParity(own));
}

#[test]
fn id_that_was_passed() {
    expect(accepted(), &[syn(7), syn(5)], Violation::IdTooLow(5));
    expect(accepted(), &[syn(1)], Violation::IdTooLow(1));
    expect(
        End::new(Role::Dialled, kariz(MuxVersion::V2)),
        &[syn(0)],
        Violation::IdTooLow(0),
    );
    let foreign = End::new(Role::Accepted, foreign(MuxVersion::V2));
    expect(foreign, &[syn(7), syn(5), fin(5), syn(7)], Violation::AlreadyOpen(7));
}

#[test]
fn frame_for_a_stream_that_nobody_opened() {
    for frame in [
        push(3, b"x"),
        push(3, b""),
        fin(3),
        update(3, 0, 1),
        rst(3, 0),
        push(2, b"x"),
        fin(0),
        fin(1),
    ] {
        let id = u32::from_le_bytes(frame[4..8].try_into().unwrap());
        expect(accepted(), &[frame], Violation::NeverOpened(id));
    }
    let foreign = End::new(Role::Accepted, foreign(MuxVersion::V2));
    expect(foreign, &[syn(7), push(5, b"x")], Violation::NeverOpened(5));
}

#[test]
fn frame_for_a_stream_whose_opening_was_not_sent_yet() {
    for frame in [push(2, b"x"), fin(2), update(2, 0, 1), rst(2, 0)] {
        let mut end = accepted();
        assert_eq!(end.mux.open(0), Ok(2));
        expect(end, &[frame], Violation::NeverOpened(2));
    }
}

#[test]
fn data_beyond_the_window() {
    let mut end = accepted();
    end.receive(&syn(3)).unwrap();
    end.mux.queue_first(3, Vec::new()).unwrap();
    let window = 1 << 20;
    assert_eq!(
        frames(&end.control()),
        [(4, 3, [0u32.to_le_bytes(), (window as u32).to_le_bytes()].concat())]
    );
    for _ in 0..window / 32768 {
        end.receive(&push(3, &[0; 32768])).unwrap();
    }
    expect(end, &[push(3, b"x")], Violation::WindowExceeded(3));
}

#[test]
fn data_beyond_what_the_foreign_sender_assumes() {
    let mut end = End::new(Role::Accepted, foreign(MuxVersion::V2));
    end.receive(&syn(3)).unwrap();
    for _ in 0..262_144 / 32768 {
        end.receive(&push(3, &[0; 32768])).unwrap();
    }
    expect(end, &[push(3, b"x")], Violation::WindowExceeded(3));
}

#[test]
fn data_after_the_end() {
    expect(accepted(), &[syn(3), fin(3), push(3, b"x")], Violation::DataAfterFin(3));
}

#[test]
fn second_end() {
    expect(accepted(), &[syn(3), fin(3), fin(3)], Violation::SecondFin(3));
}

/// An end with stream 2, of which 100 bytes were sent and 50 acknowledged.
fn sender(config: Config) -> End {
    let mut end = End::new(Role::Accepted, config);
    let id = end.mux.open(0).unwrap();
    end.control();
    end.mux.set_ready(id, true);
    assert_eq!(end.pull(100), Some((2, 100)));
    end.receive(&update(2, 50, 1 << 20)).unwrap();
    end
}

#[test]
fn more_consumed_than_sent() {
    for config in [kariz(MuxVersion::V2), foreign(MuxVersion::V2)] {
        expect(
            sender(config),
            &[update(2, 101, 1 << 20)],
            Violation::ConsumedTooMuch(2),
        );
    }
}

#[test]
fn consumed_that_runs_backwards() {
    expect(
        sender(kariz(MuxVersion::V2)),
        &[update(2, 49, 1 << 21)],
        Violation::ConsumedRewound(2),
    );
}

#[test]
fn window_that_is_too_large() {
    let mut largest = sender(kariz(MuxVersion::V2));
    largest.receive(&update(2, 50, MAX_WINDOW)).unwrap();
    assert_eq!(largest.mux.streams[&2].outbound.room(true), MAX_WINDOW - 50);
    expect(
        sender(kariz(MuxVersion::V2)),
        &[update(2, 50, MAX_WINDOW + 1)],
        Violation::WindowTooLarge(2),
    );
}

#[test]
fn window_that_is_taken_back() {
    expect(
        sender(kariz(MuxVersion::V2)),
        &[update(2, 50, (1 << 20) - 1)],
        Violation::WindowTakenBack(2),
    );
}

/// An end that refuses every further stream, and whose refusals up to the bound wait to be sent.
fn refusing(config: Config) -> End {
    let max_streams = 1;
    let mut end = End::new(Role::Accepted, Config { max_streams, ..config });
    end.receive(&syn(3)).unwrap();
    for n in 0..MAX_PENDING_RESETS as u32 {
        assert_eq!(end.receive(&syn(5 + 2 * n)), Ok(vec![]));
    }
    end
}

#[test]
fn opener_that_does_not_read_its_refusals() {
    let next = 5 + 2 * MAX_PENDING_RESETS as u32;
    for config in [kariz(MuxVersion::V2), foreign(MuxVersion::V2)] {
        expect(refusing(config), &[syn(next)], Violation::ResetFlood);
    }
    let mut end = refusing(kariz(MuxVersion::V2));
    end.mux.write_control(&mut [0; 16]);
    assert_eq!(end.receive(&syn(next)), Ok(vec![]), "one refusal has left");
}

#[test]
fn end_with_a_backlog_of_resets_opens_nothing() {
    let mut end = refusing(kariz(MuxVersion::V2));
    end.mux.config.max_streams = 2;
    assert_eq!(end.mux.open(0), Err(OpenError::ResetBacklog));
    end.mux.write_control(&mut [0; 16]);
    assert_eq!(end.mux.open(0), Ok(2));
}
