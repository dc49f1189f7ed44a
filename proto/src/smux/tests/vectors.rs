//! The byte vectors of `spec/smux.md`, Frame, both ways.

use super::*;
use crate::smux::parser::{Parser, Piece};

fn pieces(version: u8, bytes: &[u8]) -> Vec<String> {
    let dialect = crate::smux::frame::Dialect { version, resets: true };
    let (mut parser, mut input, mut pieces) = (Parser::default(), bytes, Vec::new());
    while let Some(piece) = parser.next(&mut input, dialect).unwrap() {
        pieces.push(format!("{piece:?}"));
    }
    pieces
}

#[track_caller]
fn check(hex: &str, version: u8, encoded: Vec<u8>, expected: &[Piece<'_>]) {
    assert_eq!(encoded, unhex(hex));
    let expected: Vec<_> = expected.iter().map(|piece| format!("{piece:?}")).collect();
    assert_eq!(pieces(version, &unhex(hex)), expected);
}

#[test]
fn syn_matches_its_vector() {
    check("0100000003000000", 1, frame(1, Command::Syn, 3, &[]), &[Piece::Syn(3)]);
    check("0200000002000000", 2, syn(2), &[Piece::Syn(2)]);
}

#[test]
fn push_matches_its_vector() {
    let expected = [Piece::Push { id: 3, length: 2 }, Piece::Data(b"hi")];
    check("01020200030000006869", 1, frame(1, Command::Push, 3, b"hi"), &expected);
}

#[test]
fn fin_matches_its_vector() {
    check("0101000003000000", 1, frame(1, Command::Fin, 3, &[]), &[Piece::Fin(3)]);
}

#[test]
fn nop_matches_its_vector() {
    check("0103000000000000", 1, frame(1, Command::Nop, 0, &[]), &[Piece::Nop]);
}

#[test]
fn update_matches_its_vector() {
    let expected = Piece::Update {
        id: 3,
        consumed: 10,
        window: 65536,
    };
    check("02040800030000000a00000000000100", 2, update(3, 10, 65536), &[expected]);
}

#[test]
fn reset_matches_its_vector() {
    check(
        "020504000300000007000000",
        2,
        rst(3, 7),
        &[Piece::Reset { id: 3, reason: 7 }],
    );
}

#[test]
fn mux_sends_what_the_vectors_say() {
    let mut end = End::new(Role::Dialled, foreign(MuxVersion::V1));
    let id = end.mux.open(0).unwrap();
    assert_eq!(end.control(), unhex("0100000003000000"));
    end.mux.set_ready(id, true);
    assert_eq!(end.mux.next_data(1 << 16).map(|pull| pull.id), Some(3));
    assert_eq!(
        [end.mux.pulled(id, 2).as_slice(), b"hi"].concat(),
        unhex("01020200030000006869")
    );
    end.mux.finish(id);
    assert_eq!(end.control(), unhex("0101000003000000"));
    end.wait(Duration::from_secs(10));
    assert_eq!(end.control(), unhex("0103000000000000"));
}

#[test]
fn kariz_opener_sends_syn_and_its_real_window() {
    let mut end = End::new(Role::Accepted, kariz(MuxVersion::V2));
    let id = end.mux.open(0).unwrap();
    assert_eq!(end.control(), unhex("020000000200000002040800020000000000000000001000"));
    end.mux.reset(id, 9);
    assert_eq!(end.control(), unhex("020504000200000009000000"));
}
