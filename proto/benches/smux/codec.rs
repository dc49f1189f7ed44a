//! Control frames: parsed whole and in pieces, and written by streams that come and go.

use super::{BATCH_BYTES, end, ready};
use criterion::{Criterion, Throughput};
use kariz_proto::model::MuxVersion;
use kariz_proto::smux::{HEADER_BYTES, Incoming, Mux, Role, StreamId};
use std::hint::black_box;
use std::time::Instant;

/// Frames of a batch.
const FRAMES: usize = 4000;

/// Length of the reads that cut every frame.
const PIECE_BYTES: usize = 7;

/// Streams that come and go at once.
const BORN: usize = 64;

const WINDOW: u32 = 1 << 20;
const REASON: u32 = 7;

pub(super) fn bench(criterion: &mut Criterion) {
    let (mut mux, ids, _) = ready(MuxVersion::V2, 1, |_| 0);
    let id = ids[0];
    // The same UPD may come any number of times: it moves nothing back.
    let nops = frame(3, 0, &[]).repeat(FRAMES);
    let updates = frame(4, id, &[0_u32.to_le_bytes(), WINDOW.to_le_bytes()].concat()).repeat(FRAMES);
    parse(&mut mux, &updates, updates.len());
    assert_eq!(mux.next_data(1 << 16).map(|pull| pull.window), Some(WINDOW as usize));

    let mut group = criterion.benchmark_group("smux_codec");
    for (name, input, piece) in [
        ("parse_nop", &nops, nops.len()),
        ("parse_update", &updates, updates.len()),
        ("parse_update_in_pieces", &updates, PIECE_BYTES),
    ] {
        group.throughput(Throughput::ElementsAndBytes {
            elements: FRAMES as u64,
            bytes: input.len() as u64,
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse(&mut mux, black_box(input), piece))
        });
    }

    let mut mux = end(Role::Dialled, MuxVersion::V2, BORN as u32);
    let mut peer = end(Role::Accepted, MuxVersion::V2, BORN as u32);
    let (mut out, mut answer) = (vec![0; BATCH_BYTES], vec![0; BATCH_BYTES]);
    let written = open_and_reset(&mut mux, &mut out, |frames| meet(&mut peer, frames, &mut answer));
    group.throughput(Throughput::ElementsAndBytes {
        elements: BORN as u64,
        bytes: written as u64,
    });
    group.bench_function("open_and_reset_both_ends", |bencher| {
        bencher.iter(|| {
            let bytes = open_and_reset(&mut mux, &mut out, |frames| meet(&mut peer, frames, &mut answer));
            assert_eq!(bytes, written);
        });
    });
    let mut mux = end(Role::Dialled, MuxVersion::V2, BORN as u32);
    group.bench_function("open_and_reset_one_end", |bencher| {
        bencher.iter(|| {
            let bytes = open_and_reset(&mut mux, &mut out, |frames| {
                black_box(frames);
            });
            assert_eq!(bytes, written);
        });
    });
    group.finish();
}

/// Feeds `input` in pieces; there is nothing in it for a driver.
fn parse(mux: &mut Mux, input: &[u8], piece: usize) {
    let now = Instant::now();
    for piece in input.chunks(piece) {
        mux.receive(now, piece, &mut |_| unreachable!("frames without payload"))
            .expect("the frames are legal");
    }
}

/// SYN, UPD and RST of many streams; returns how many bytes they were.
fn open_and_reset(mux: &mut Mux, out: &mut [u8], mut send: impl FnMut(&[u8])) -> usize {
    let ids: [_; BORN] = std::array::from_fn(|_| mux.open(0).expect("the streams before these are gone"));
    let opening = mux.write_control(out);
    send(&out[..opening]);
    ids.iter().for_each(|id| mux.reset(*id, REASON));
    let ending = mux.write_control(out);
    send(&out[..ending]);
    assert!(mux.streams() == 0 && !mux.has_pending());
    opening + ending
}

/// The peer sees every stream open, or end with the reason, and answers.
fn meet(peer: &mut Mux, frames: &[u8], answer: &mut [u8]) {
    let wanted = if peer.streams() == 0 { [BORN, 0] } else { [0, BORN] };
    let [mut opened, mut ended] = [0; 2];
    peer.receive(Instant::now(), frames, &mut |incoming| match incoming {
        Incoming::Opened(_) => opened += 1,
        Incoming::Reset(_, REASON) => ended += 1,
        other => unreachable!("{other:?}"),
    })
    .expect("the frames are legal");
    assert_eq!([opened, ended], wanted);
    black_box(peer.write_control(answer));
}

fn frame(command: u8, id: StreamId, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, command];
    frame.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    assert_eq!(frame.len(), HEADER_BYTES);
    frame.extend_from_slice(payload);
    frame
}
