//! HTTP/1.1 from a panel's side: a whole request goes, a whole answer comes.

use super::tls::Stream;
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};

/// Headers of an answer.
const MAX_HEADERS: usize = 32;

/// Bytes that are read at a time.
const READ_LEN: usize = 64 * 1024;

/// A connection on which one request follows the other.
pub(super) struct Connection {
    stream: Stream,
    /// What came and was not used.
    unread: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            buffer: vec![0; READ_LEN],
        }
    }

    /// Sends what is a whole request, and reads the body of its answer, which has to be a 200.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        let head = self.head()?;
        let body = match head.body {
            Body::Length(length) => self.take(length)?,
            Body::Chunks => self.chunks()?,
        };
        ensure!(
            head.status == 200,
            "{}: {}",
            head.status,
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(head) = Head::read(&self.unread)? {
                self.unread.drain(..head.len);
                return Ok(head);
            }
            self.more()?;
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (len, size) = loop {
                match chunk_head(&self.unread)? {
                    Some(head) => break head,
                    None => self.more()?,
                }
            };
            self.unread.drain(..len);
            let chunk = self.take(size)?;
            ensure!(self.take(2)? == b"\r\n", "a chunk does not end where it should");
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.unread.len() < length {
            self.more()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn more(&mut self) -> Result<()> {
        let count = self.stream.read(&mut self.buffer)?;
        ensure!(count > 0, "the node ended the connection");
        self.unread.extend_from_slice(&self.buffer[..count]);
        Ok(())
    }
}

/// What the kit needs of the head of an answer.
struct Head {
    len: usize,
    status: u16,
    body: Body,
}

/// How the body of an answer comes.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// This many bytes.
    Length(usize),
    /// In pieces with their length before each, up to an empty one.
    Chunks,
}

impl Head {
    /// `None` if there is more of it to come.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = head.parse(bytes)? else {
            return Ok(None);
        };
        let header = |name: &str| {
            let header = head
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        let body = match (header("content-length"), header("transfer-encoding")) {
            (Some(length), _) => Body::Length(length.parse()?),
            (None, Some("chunked")) => Body::Chunks,
            _ => bail!("an answer has no length: {:?}", String::from_utf8_lossy(bytes)),
        };
        Ok(Some(Self {
            len,
            status: head.code.context("an answer has a status")?,
            body,
        }))
    }
}

/// Length of the line that begins a chunk, and of the chunk; `None` if there is more of it to come.
fn chunk_head(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((len, size))) => Ok(Some((len, usize::try_from(size)?))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => bail!("a chunk has no length"),
    }
}

/// The bytes of a request.
pub(super) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: node\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let head = Head::read(whole).unwrap().expect("it is whole");
        assert_eq!(
            (head.len, head.status, head.body),
            (whole.len() - 2, 200, Body::Length(2))
        );
        assert!(Head::read(&whole[..30]).unwrap().is_none());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::read(b"\x15\x03\x01").is_err());
    }

    #[test]
    fn a_long_answer_comes_in_chunks() {
        let head = Head::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(head.expect("it is whole").body, Body::Chunks);
        assert_eq!(chunk_head(b"1f\r\nabc").unwrap(), Some((4, 31)));
        assert_eq!(chunk_head(b"1f\r").unwrap(), None);
        assert!(chunk_head(b"ab cd\r\n").is_err());
    }

    #[test]
    fn a_request_has_its_headers_and_its_length() {
        let bytes = request("PUT", "/a", &[("x-api-key", "k")], b"body");
        assert_eq!(
            bytes,
            b"PUT /a HTTP/1.1\r\nhost: node\r\nx-api-key: k\r\ncontent-length: 4\r\n\r\nbody"
        );
    }
}
