//! Bytes of a control carrier: frames, encryption, and messages in the stream of decrypted bytes.

use super::noise::{MAX_NOISE_BYTES, TAG_BYTES};
use super::proof::Binding;
use super::{MAX_MESSAGE_BYTES, MAX_TRANSMIT_BYTES, Violation, wire};
use bytes::Bytes;
use prost::Message;
use snow::{HandshakeState, TransportState};
use std::collections::VecDeque;

/// Length of a frame's length.
pub(super) const FRAME_HEADER_BYTES: usize = 2;
/// Bytes of a length-delimited message's length, for messages within bounds.
const MAX_LENGTH_BYTES: usize = 3;

/// Both directions of a control carrier's byte stream.
#[derive(Default)]
pub(super) struct Link {
    /// Received and not yet looked at.
    input: Vec<u8>,
    /// How much of `input` is used up.
    used: usize,
    /// Decrypted and not yet looked at: messages, each with its length, may cross frames.
    plain: Vec<u8>,
    /// How much of `plain` is used up.
    plain_used: usize,
    transport: Option<Box<TransportState>>,
    output: VecDeque<Bytes>,
    output_bytes: usize,
}

impl Link {
    /// Takes what was received.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(bytes);
    }

    /// What was received and is not used up.
    pub(super) fn pending(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Uses up bytes of [`Self::pending`].
    pub(super) fn consume(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.input.len());
    }

    /// The next block of two-byte length and content; `None` if it is incomplete.
    pub(super) fn block(&mut self, longest: usize, too_long: Violation) -> Result<Option<Vec<u8>>, Violation> {
        let pending = self.pending();
        let Some((length, rest)) = pending.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > longest {
            return Err(too_long);
        }
        let Some(content) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.consume(FRAME_HEADER_BYTES + length);
        Ok(Some(content))
    }

    /// The handshake is over: from now on there are only transport messages. Returns what the session is bound to.
    pub(super) fn secure(&mut self, handshake: HandshakeState) -> Binding {
        let mut binding = Binding::default();
        binding.copy_from_slice(handshake.get_handshake_hash());
        let transport = handshake.into_transport_mode().expect("the handshake is finished");
        self.transport = Some(Box::new(transport));
        binding
    }

    /// The next message; `None` if it is incomplete. One of a later version is empty.
    pub(super) fn message(&mut self) -> Result<Option<wire::Control>, Violation> {
        loop {
            if let Some((message, length)) = split_message(&self.plain[self.plain_used..])? {
                let message = wire::Control::decode(message).map_err(|_| Violation::Malformed)?;
                self.plain_used += length;
                return Ok(Some(message));
            }
            if !self.decrypt()? {
                return Ok(None);
            }
        }
    }

    /// Decrypts one frame; false if there is none.
    fn decrypt(&mut self) -> Result<bool, Violation> {
        let Some(frame) = self.block(MAX_NOISE_BYTES, Violation::HandshakeTooLong)? else {
            return Ok(false);
        };
        if frame.len() <= TAG_BYTES {
            return Err(Violation::FrameTooShort);
        }
        let transport = self
            .transport
            .as_mut()
            .ok_or(Violation::Unexpected("transport message"))?;
        self.plain.drain(..self.plain_used);
        self.plain_used = 0;
        let start = self.plain.len();
        self.plain.resize(start + frame.len() - TAG_BYTES, 0);
        transport
            .read_message(&frame, &mut self.plain[start..])
            .map_err(|_| Violation::Decrypt)?;
        Ok(true)
    }

    /// Sends bytes as they are: prefixes and handshake messages.
    pub(super) fn send_raw(&mut self, bytes: Vec<u8>) {
        self.output_bytes += bytes.len();
        self.output.push_back(bytes.into());
    }

    /// Sends a handshake message with its length in front.
    pub(super) fn send_block(&mut self, content: &[u8]) {
        let length = u16::try_from(content.len()).expect("a Noise message or ticket is within its bound");
        let mut block = Vec::with_capacity(FRAME_HEADER_BYTES + content.len());
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(content);
        self.send_raw(block);
    }

    /// Sends a message, encrypted; in several frames if it is long. Without a transport it goes nowhere.
    pub(super) fn send(&mut self, message: wire::control::Message) {
        self.send_plain(&wire::Control { message: Some(message) }.encode_length_delimited_to_vec());
    }

    /// Sends bytes of the stream of messages, encrypted.
    pub(super) fn send_plain(&mut self, plain: &[u8]) {
        for part in plain.chunks(MAX_NOISE_BYTES - TAG_BYTES) {
            let Some(transport) = self.transport.as_mut() else {
                return;
            };
            let mut frame = vec![0; part.len() + TAG_BYTES];
            let length = transport
                .write_message(part, &mut frame)
                .expect("the buffer fits, and no session lives for 2^64 messages");
            self.send_block(&frame[..length]);
        }
    }

    /// Bytes to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.output.pop_front()?;
        self.output_bytes -= bytes.len();
        Some(bytes)
    }

    /// Whether too much waits to be sent.
    pub(super) fn is_stalled(&self) -> bool {
        self.output_bytes > MAX_TRANSMIT_BYTES
    }
}

/// The first message in a stream of length-delimited ones, and how many bytes it takes; `None` if it is incomplete.
pub(super) fn split_message(plain: &[u8]) -> Result<Option<(&[u8], usize)>, Violation> {
    let mut length = 0;
    for (index, byte) in plain.iter().enumerate() {
        if index == MAX_LENGTH_BYTES {
            return Err(Violation::MessageTooLong);
        }
        length |= usize::from(byte & 0x7f) << (7 * index);
        if length > MAX_MESSAGE_BYTES {
            return Err(Violation::MessageTooLong);
        }
        if byte & 0x80 == 0 {
            let start = index + 1;
            return Ok(plain
                .get(start..start + length)
                .map(|message| (message, start + length)));
        }
    }
    Ok(None)
}
