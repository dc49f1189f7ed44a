//! Calls over gRPC, on as much of HTTP/2 as one call after the other takes (RFC 9113): heads are written without a table, and
//! those of answers not read. A call went well if a message came and its stream ended.

use crate::kit::node::environment::KEY;
use crate::kit::node::place::Node;
use crate::kit::node::tls::Stream;
use anyhow::{Context, Result, bail, ensure};
use kariz_proto::panel::BaseInfoResponse;
use kariz_proto::xray::app::stats::command::{QueryStatsRequest, QueryStatsResponse};
use prost::Message;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Flag of a SETTINGS or PING frame that answers another.
const ACK: u8 = 1;
/// Flag of a DATA or HEADERS frame, the last one of its stream.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Bytes that the answers of a connection may have, more than they will: a window that nobody has to wait for.
const WINDOW: u32 = 0x7fff_0000;

/// Setting: the window of each stream.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// In front of a message: not compressed, and its length.
const PREFIX_LEN: usize = 5;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// A connection for calls.
pub(super) struct Caller<S> {
    stream: S,
    /// What came and was not used.
    unread: Vec<u8>,
    next_stream: u32,
}

impl Caller<Stream> {
    pub(super) fn connect(node: &Node<'_>) -> Result<Self> {
        Self::on(node.tls(&["h2"])?)
    }

    /// GetBaseInfo of a node.
    pub(super) fn base_info(&mut self) -> Result<BaseInfoResponse> {
        let answer = self.call("/service.NodeService/GetBaseInfo", &[])?;
        Ok(BaseInfoResponse::decode(&*answer)?)
    }
}

impl Caller<TcpStream> {
    /// To the API of a core.
    pub(super) fn to_core(api: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(api).context("connecting to the core's API")?;
        stream.set_nodelay(true)?;
        Self::on(stream)
    }

    /// The core's counters whose names contain `pattern`, which begin anew.
    pub(super) fn counters(&mut self, pattern: &str) -> Result<QueryStatsResponse> {
        let request = QueryStatsRequest {
            pattern: pattern.to_owned(),
            reset: true,
        };
        let answer = self.call(
            "/xray.app.stats.command.StatsService/QueryStats",
            &request.encode_to_vec(),
        )?;
        Ok(QueryStatsResponse::decode(&*answer)?)
    }
}

impl<S: Read + Write> Caller<S> {
    fn on(stream: S) -> Result<Self> {
        let mut caller = Self {
            stream,
            unread: Vec::new(),
            next_stream: 1,
        };
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &WINDOW.to_be_bytes()].concat();
        let (settings, window) = (
            frame(SETTINGS, 0, 0, &setting),
            frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()),
        );
        caller.send(&[PREFACE, &settings, &window].concat())?;
        Ok(caller)
    }

    /// Sends a message to the method at `path`; the message that comes back.
    fn call(&mut self, path: &str, message: &[u8]) -> Result<Vec<u8>> {
        let id = self.next_stream;
        self.next_stream += 2;
        let prefix = [&[0][..], &(message.len() as u32).to_be_bytes()].concat();
        let call = [
            frame(HEADERS, END_HEADERS, id, &head(path)),
            frame(DATA, END_STREAM, id, &[&prefix, message].concat()),
        ];
        self.send(&call.concat())?;
        let mut data = Vec::new();
        loop {
            let Frame {
                kind,
                flags,
                stream,
                payload,
            } = self.receive()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[]))?,
                PING if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, &payload))?,
                RST_STREAM | GOAWAY => bail!("the call is ended: {payload:?}"),
                DATA | HEADERS if stream == id => {
                    if kind == DATA {
                        data.extend_from_slice(&payload);
                    }
                    if flags & END_STREAM != 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        let (prefix, message) = data.split_first_chunk::<PREFIX_LEN>().context("the call is refused")?;
        let [0, length @ ..] = *prefix else {
            bail!("the answer is compressed")
        };
        let (is, says) = (message.len(), u32::from_be_bytes(length));
        ensure!(is == says as usize, "{is} bytes came of a message of {says}");
        Ok(data.split_off(PREFIX_LEN))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    fn receive(&mut self) -> Result<Frame> {
        loop {
            if let Some((frame, len)) = Frame::read(&self.unread) {
                self.unread.drain(..len);
                return Ok(frame);
            }
            let mut buffer = [0; READ_BYTES];
            let count = self.stream.read(&mut buffer)?;
            ensure!(count > 0, "the connection is ended");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The first frame, and how many bytes it has; `None` if there is more of it to come.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let ([a, b, c, kind, flags, stream @ ..], rest) = bytes.split_first_chunk::<9>()?;
        let payload = rest.get(..u32::from_be_bytes([0, *a, *b, *c]) as usize)?;
        let frame = Self {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*stream),
            payload: payload.to_vec(),
        };
        Some((frame, 9 + payload.len()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length, &[kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// The head of a call (RFC 7541: names and values by their place in the static table, or as they are).
fn head(path: &str) -> Vec<u8> {
    const METHOD_POST: u8 = 0x83;
    const SCHEME_HTTPS: u8 = 0x87;
    const PATH: u8 = 4;
    const AUTHORITY: u8 = 1;
    let mut head = vec![METHOD_POST, SCHEME_HTTPS];
    for (name, value) in [(PATH, path), (AUTHORITY, "node")] {
        head.push(name);
        put(&mut head, value);
    }
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-api-key", KEY),
    ] {
        head.push(0);
        put(&mut head, name);
        put(&mut head, value);
    }
    head
}

/// A text of less than 127 bytes with its length before it.
fn put(head: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 127, "longer ones have their length in more than a byte");
    head.push(text.len() as u8);
    head.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_are_written() {
        let bytes = [frame(PING, ACK, 0, b"12345678"), frame(DATA, END_STREAM, 7, b"ab")].concat();
        let (ping, len) = Frame::read(&bytes).unwrap();
        assert_eq!((ping.kind, ping.flags, len), (PING, ACK, 17));
        let (data, len) = Frame::read(&bytes[len..]).unwrap();
        assert_eq!((data.stream, &*data.payload, len), (7, &b"ab"[..], 11));
        assert_eq!(Frame::read(&bytes[..16]), None);
    }

    #[test]
    fn a_head_has_its_values_as_they_are() {
        let head = head("/a");
        assert!(head.starts_with(&[0x83, 0x87, 4, 2, b'/', b'a', 1, 4]));
        assert!(head.ends_with(KEY.as_bytes()));
    }
}
