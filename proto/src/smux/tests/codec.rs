//! Any sequence of frames, cut anywhere, means the same.

use super::*;
use crate::smux::frame::Dialect;
use crate::smux::parser::{Parser, Piece};
use proptest::prelude::*;

/// What the parser said, with the parts of a payload joined.
fn parse<'a>(reads: impl Iterator<Item = &'a [u8]>, version: u8) -> Result<Vec<Vec<u8>>, Violation> {
    let dialect = Dialect { version, resets: true };
    let (mut parser, mut frames) = (Parser::default(), Vec::<Vec<u8>>::new());
    for mut read in reads {
        while let Some(piece) = parser.next(&mut read, dialect)? {
            match piece {
                Piece::Syn(id) => frames.push(frame(version, Command::Syn, id, &[])),
                Piece::Fin(id) => frames.push(frame(version, Command::Fin, id, &[])),
                Piece::Nop => frames.push(frame(version, Command::Nop, 0, &[])),
                Piece::Update { id, consumed, window } => frames.push(update(id, consumed, window)),
                Piece::Reset { id, reason } => {
                    frames.push(frame(version, Command::Reset, id, &reason.to_le_bytes()));
                }
                Piece::Push { id, length } => {
                    frames.push(
                        Header {
                            command: Command::Push,
                            length,
                            id,
                        }
                        .encode(version)
                        .to_vec(),
                    );
                }
                Piece::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    frames.last_mut().expect("a header came first").extend_from_slice(bytes);
                }
            }
        }
        assert!(read.is_empty());
    }
    Ok(frames)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u32>().prop_map(syn),
        any::<u32>().prop_map(fin),
        Just(frame(2, Command::Nop, 0, &[])),
        any::<(u32, u32, u32)>().prop_map(|(id, consumed, window)| update(id, consumed, window)),
        any::<(u32, u32)>().prop_map(|(id, reason)| rst(id, reason)),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(id, payload)| push(id, &payload)),
    ]
}

proptest! {
    #[test]
    fn frames_survive_the_wire_wherever_reads_end(
        frames in prop::collection::vec(any_frame(), 0..20),
        cuts in prop::collection::vec(1..40usize, 1..50),
    ) {
        let bytes = frames.concat();
        let (mut reads, mut rest) = (Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (read, after) = rest.split_at(rest.len().min(*cut));
            reads.push(read);
            rest = after;
        }
        prop_assert_eq!(parse(reads.into_iter(), 2)?, frames);
    }

    #[test]
    fn header_survives_the_wire(command in 0..6u8, length: u16, id: u32, version in 1..3u8) {
        let bytes = [version, command, length.to_le_bytes()[0], length.to_le_bytes()[1]];
        let bytes: [u8; 8] = [bytes, id.to_le_bytes()].concat().try_into().unwrap();
        if let Ok(header) = Header::decode(bytes, Dialect { version, resets: true }) {
            prop_assert_eq!(header.encode(version), bytes);
            prop_assert_eq!((header.length, header.id, header.command as u8), (length, id, command));
        }
    }

    #[test]
    fn garbage_gives_the_same_violation_wherever_reads_end(bytes in prop::collection::vec(0..6u8, 0..200), cut: usize) {
        let (front, back) = bytes.split_at(cut % (bytes.len() + 1));
        let whole = parse([bytes.as_slice()].into_iter(), 2);
        prop_assert_eq!(parse([front, back].into_iter(), 2), whole.clone());
        prop_assert_eq!(parse(bytes.chunks(1), 2), whole);
    }
}

#[test]
fn every_single_cut_of_every_frame_is_bridged() {
    let all = [
        syn(3),
        push(3, b"payload"),
        update(3, 7, 65536),
        frame(2, Command::Nop, 0, &[]),
        rst(3, 1),
        fin(3),
    ];
    let bytes = all.concat();
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(parse([front, back].into_iter(), 2).unwrap(), all, "cut at {cut}");
    }
}
