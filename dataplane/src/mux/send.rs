//! Filling frames and sending them.

use super::stream::{self, Reading};
use super::{Abort, Carrier, CarrierError};
use crate::pool::BUFFER_BYTES;
use crate::worker::Worker;
use kariz_proto::smux::{HEADER_BYTES, Pull};
use std::rc::Rc;

/// Bytes that a carrier may send before others get a turn.
const TURN_BYTES: usize = 1 << 20;

/// Room below which no further data frame is begun in a batch.
const MIN_FRAME_ROOM: usize = HEADER_BYTES + 1024;

/// Sends until the carrier is retired and empty (`Ok`) or broken.
pub(super) async fn run(worker: &Rc<Worker>, carrier: &Rc<Carrier>) -> Result<(), CarrierError> {
    let mut since_turn = 0;
    loop {
        let (filled, sent) = {
            let mut batch = worker.batch.borrow_mut();
            let filled = fill(worker, carrier, &mut batch[..BUFFER_BYTES]);
            let sent = if filled > 0 {
                carrier.sock.send(&batch[..filled])?.unwrap_or(0)
            } else {
                0
            };
            if sent < filled {
                let mut rest = worker.buffers.take_full();
                rest[..filled - sent].copy_from_slice(&batch[sent..filled]);
                (filled - sent, Some(rest))
            } else {
                (filled, None)
            }
        };
        match (filled, sent) {
            (length, Some(rest)) => {
                carrier.sock.send_all(&rest[..length]).await?;
                since_turn = 0;
            }
            (0, None) => {
                if carrier.retired.get() && carrier.is_unused() {
                    return Ok(());
                }
                carrier.outgoing.woken().await;
                since_turn = 0;
            }
            (bytes, None) => since_turn += bytes,
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
        filled += frame(worker, carrier, &pull, &mut out[filled..]);
    }
    // A stream that has just ended wants its FIN out with its last bytes.
    filled + carrier.mux.borrow_mut().write_control(&mut out[filled..])
}

/// Reads a stream's socket into a frame; returns the frame's length, 0 if there is none.
fn frame(worker: &Rc<Worker>, carrier: &Rc<Carrier>, pull: &Pull, out: &mut [u8]) -> usize {
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
    let most = pull.max_len.min(room);
    match sock.recv(&mut out[HEADER_BYTES..HEADER_BYTES + most]) {
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
            let header = mux.pulled(pull.id, bytes);
            out[..HEADER_BYTES].copy_from_slice(&header);
            if bytes < most {
                mux.set_ready(pull.id, false);
                drop(mux);
                stream.reading.set(Reading::Empty);
                stream.kick();
            }
            HEADER_BYTES + bytes
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
