//! Filling frames and sending them.

use super::stream::{self, Reading};
use super::{Abort, Carrier, CarrierError};
use crate::worker::Worker;
use kariz_proto::smux::{HEADER_BYTES, Pull};
use std::io::IoSliceMut;
use std::rc::Rc;

/// Bytes that a carrier may send before others get a turn.
const TURN_BYTES: usize = 1 << 20;

/// Bytes of a batch. What is sent at once goes out in packets of up to 64 KiB less their headers; a batch of exactly
/// 64 KiB would put a tiny packet behind every large one (measured: a third of the throughput for each CPU second).
const BATCH_BYTES: usize = 65_000;

/// Where a batch begins in its buffer, so that the first payload is at 16: some CPUs copy ten times more slowly to a
/// place that is 1 to 15 bytes ahead of its source modulo the page size, and what comes from a socket begins with a page.
const LEAD: usize = 16 - HEADER_BYTES;

/// Most frames that one read fills.
const MAX_FRAMES: usize = 16;

/// Room below which no further data frame is begun in a batch.
const MIN_FRAME_ROOM: usize = HEADER_BYTES + 1024;

/// Sends until the carrier is retired and empty (`Ok`) or broken.
pub(super) async fn run(worker: &Rc<Worker>, carrier: &Rc<Carrier>) -> Result<(), CarrierError> {
    let mut since_turn = 0;
    loop {
        let mut buffer = worker.buffers.take_full();
        let filled = fill(worker, carrier, &mut buffer[LEAD..LEAD + BATCH_BYTES]);
        if filled == 0 {
            // An idle carrier holds no buffer.
            drop(buffer);
            if carrier.retired.get() && carrier.is_unused() {
                return Ok(());
            }
            carrier.outgoing.woken().await;
            since_turn = 0;
            continue;
        }
        let batch = &buffer[LEAD..LEAD + filled];
        match carrier.sock.send(batch)? {
            Some(sent) if sent == filled => since_turn += filled,
            sent => {
                carrier.sock.send_all(&batch[sent.unwrap_or(0)..]).await?;
                since_turn = 0;
            }
        }
        drop(buffer);
        if filled >= BATCH_BYTES / 2 && !carrier.sock.has_room() {
            // Whose turn it is shows when there is room: what is filled before that is in everybody's way.
            carrier.sock.writable().await?;
            since_turn = 0;
        }
        if since_turn >= TURN_BYTES {
            worker.turns.pass().await;
            since_turn = 0;
        }
    }
}

/// Fills one batch: control frames first, then data of the streams whose turn it is.
fn fill(worker: &Rc<Worker>, carrier: &Rc<Carrier>, out: &mut [u8]) -> usize {
    let mut filled = carrier.mux.borrow_mut().write_control(out);
    while out.len() - filled >= MIN_FRAME_ROOM {
        let pull = carrier.mux.borrow_mut().next_data(out.len() - filled);
        let Some(pull) = pull else { break };
        filled += frames(worker, carrier, &pull, &mut out[filled..]);
    }
    // A stream that has just ended wants its FIN out with its last bytes.
    filled + carrier.mux.borrow_mut().write_control(&mut out[filled..])
}

/// Reads a stream's socket once, into as many frames as there is room for; returns the frames' length, 0 if there is
/// none. One large read costs far less than several small ones: each of them acknowledges what it took.
fn frames(worker: &Rc<Worker>, carrier: &Rc<Carrier>, pull: &Pull, out: &mut [u8]) -> usize {
    let Some(stream) = carrier.stream(pull.id) else {
        carrier.mux.borrow_mut().set_ready(pull.id, false);
        return 0;
    };
    let Some(sock) = stream.sock.get() else {
        carrier.mux.borrow_mut().set_ready(pull.id, false);
        return 0;
    };
    let room = stream.room();
    if room == 0 {
        stream.reading.set(Reading::Held);
        carrier.mux.borrow_mut().set_ready(pull.id, false);
        stream::rest(worker, &stream);
        return 0;
    }
    let frame_size = carrier.frame_size;
    let mut most = 0;
    let mut slices: [_; MAX_FRAMES] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
    let mut spare = &mut *out;
    for slice in &mut slices {
        let length = frame_size
            .min(pull.window.min(room) - most)
            .min(spare.len().saturating_sub(HEADER_BYTES));
        if length == 0 {
            break;
        }
        let (frame, behind) = spare.split_at_mut(HEADER_BYTES + length);
        *slice = IoSliceMut::new(&mut frame[HEADER_BYTES..]);
        spare = behind;
        most += length;
    }
    match sock.recv_vectored(&mut slices) {
        Ok(Some(0)) => {
            stream.reading.set(Reading::Ended);
            sock.mark_half_closed();
            carrier.mux.borrow_mut().finish(pull.id);
            stream::end_if_drained(carrier, &stream);
            0
        }
        Ok(Some(bytes)) => {
            stream.count(worker, false, bytes);
            let mut mux = carrier.mux.borrow_mut();
            let frames = bytes.div_ceil(frame_size);
            for frame in 0..frames {
                let at = frame * (HEADER_BYTES + frame_size);
                let header = mux.pulled(pull.id, frame_size.min(bytes - frame * frame_size));
                out[at..at + HEADER_BYTES].copy_from_slice(&header);
            }
            if bytes < most {
                mux.set_ready(pull.id, false);
                drop(mux);
                stream.reading.set(Reading::Empty);
                stream.kick();
            }
            frames * HEADER_BYTES + bytes
        }
        Ok(None) => {
            carrier.mux.borrow_mut().set_ready(pull.id, false);
            stream.reading.set(Reading::Empty);
            stream.kick();
            0
        }
        Err(_) => {
            carrier.abort(&stream, Abort::Peer);
            0
        }
    }
}
