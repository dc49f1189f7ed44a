//! Users who come through the core: VLESS over plain TCP, which is a head of a few bytes and nothing else.

use super::config::CLOSED_PORT;
use super::users::Someone;
use anyhow::{Context, Result, ensure};
use kariz_bench::request::{ENDLESS, Request, Work};
use kariz_bench::visitor::ask;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Visitors who are under way at a time.
const AT_A_TIME: usize = 50;

/// Head of what comes back.
const ANSWER: [u8; 2] = [0, 0];

/// A visitor who stays, at an echo behind the core.
#[derive(Debug)]
pub(super) struct Visitor(TcpStream);

impl Visitor {
    /// Comes through the inbound `vless` to the kit's target at `target`.
    pub(super) fn come(someone: Someone, vless: SocketAddr, target: SocketAddr) -> Result<Self> {
        let SocketAddr::V4(target) = target else {
            unreachable!("the kit's targets are at IPv4 addresses");
        };
        let stream = knock(someone, vless, target)?;
        ask(&stream, Request::new(Work::Echo, 1, ENDLESS))?;
        let mut visitor = Self(stream);
        visitor.call()?;
        let mut answer = ANSWER;
        visitor.0.read_exact(&mut answer)?;
        ensure!(answer == ANSWER, "the core answers {answer:?}");
        visitor.hear()?;
        Ok(visitor)
    }

    /// Whether he still gets answers.
    pub(super) fn is_there(&mut self) -> bool {
        self.call().and_then(|()| self.hear()).is_ok()
    }

    fn call(&mut self) -> Result<()> {
        Ok(self.0.write_all(WORDS)?)
    }

    fn hear(&mut self) -> Result<()> {
        let mut back = [0; WORDS.len()];
        self.0.read_exact(&mut back)?;
        ensure!(back == *WORDS, "the echo says {back:?}");
        Ok(())
    }
}

/// What a visitor says to hear it again.
const WORDS: &[u8; 12] = b"still there?";

/// Each user comes once and goes: the core has no counters of a user before that.
pub(super) fn all_once(new: u32, vless: SocketAddr) -> Result<()> {
    let closed = SocketAddrV4::new(Ipv4Addr::LOCALHOST, CLOSED_PORT);
    let everybody: Vec<Someone> = Someone::all(new).collect();
    for some in everybody.chunks(AT_A_TIME) {
        let come = some.iter().map(|someone| knock(*someone, vless, closed));
        for mut stream in come.collect::<Result<Vec<_>>>()? {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).context("a visitor waits for his end")?;
            ensure!(answer == ANSWER, "a user is not let in");
        }
    }
    Ok(())
}

/// Connects, and says who comes and where to: the version, the id, no further options, TCP, and an IPv4 address.
fn knock(someone: Someone, vless: SocketAddr, target: SocketAddrV4) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(vless).context("connecting to the core")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&head(someone.id(), target))?;
    Ok(stream)
}

fn head(id: u128, target: SocketAddrV4) -> Vec<u8> {
    const VERSION: u8 = 0;
    const NO_OPTIONS: u8 = 0;
    const TCP: u8 = 1;
    const IPV4: u8 = 1;
    let mut head = vec![VERSION];
    head.extend(id.to_be_bytes());
    head.extend([NO_OPTIONS, TCP]);
    head.extend(target.port().to_be_bytes());
    head.push(IPV4);
    head.extend(target.ip().octets());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_who_and_where_to() {
        let head = head(1, "127.0.0.1:9".parse().unwrap());
        let mut expected = vec![0; 16];
        expected.extend([1, 0, 1, 0, 9, 1, 127, 0, 0, 1]);
        assert_eq!(head, expected);
    }
}
