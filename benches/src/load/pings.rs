//! Pings by the clock: many connections, each with 64 bytes there and back at a steady rate. One thread, one epoll.
//!
//! The schedule does not wait for answers, and a round trip counts from its place in it: whoever is held up is seen to be
//! (no coordinated omission).

use crate::pattern::{Check, Pattern};
use crate::poller::{Interest, Poller};
use crate::request::{ENDLESS, Request, Work};
use crate::stats;
use crate::visitor::{self, PING_LEN};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long the last answers may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where visitors go.
    pub address: SocketAddr,
    /// Connections.
    pub streams: u32,
    /// Pings of each connection in a second.
    pub rate: u32,
    /// For how long pings are sent.
    pub duration: Duration,
    /// Pings in the first part of it are not counted.
    pub warm_up: Duration,
}

struct Stream {
    socket: TcpStream,
    pattern: Pattern,
    sent: u64,
    received: u64,
    /// Scheduled times of the pings that are under way.
    due: VecDeque<Instant>,
    times: Histogram<u64>,
}

/// Carries out the plan and returns the round trips of each connection, in nanoseconds.
///
/// # Errors
/// A connection failed, answered wrongly, or did not answer within 20 s.
pub fn run(plan: Plan) -> io::Result<Vec<Histogram<u64>>> {
    let poller = Poller::new()?;
    let mut streams = (0..plan.streams)
        .map(|index| Stream::open(plan.address, u64::from(index), &poller))
        .collect::<io::Result<Vec<_>>>()?;
    let total = u64::from(plan.streams) * u64::from(plan.rate);
    let begin = Instant::now();
    let (mut next, mut ready, mut under_way) = (0u64, Vec::new(), 0usize);
    loop {
        let due = begin + Duration::from_nanos(next * 1_000_000_000 / total.max(1));
        let over = due - begin >= plan.duration;
        if over && under_way == 0 {
            return Ok(streams.into_iter().map(|stream| stream.times).collect());
        }
        let now = Instant::now();
        if !over && due <= now {
            streams[(next % u64::from(plan.streams)) as usize].send(due)?;
            under_way += 1;
            next += 1;
            continue;
        }
        if now.duration_since(begin) > plan.duration + ANSWER_LIMIT {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                format!("{under_way} pings without an answer"),
            ));
        }
        let wait = if over { Duration::from_millis(100) } else { due - now };
        poller.wait(Some(wait), &mut ready)?;
        for event in &ready {
            under_way -= streams[event.token as usize].receive(begin + plan.warm_up)?;
        }
    }
}

impl Stream {
    fn open(address: SocketAddr, token: u64, poller: &Poller) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        visitor::ask(&socket, Request::new(Work::Echo, token, ENDLESS)).map_err(io::Error::other)?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, token, Interest::Read)?;
        Ok(Self {
            socket,
            pattern: Pattern::new(token),
            sent: 0,
            received: 0,
            due: VecDeque::new(),
            times: stats::recorder(),
        })
    }

    /// Sends one ping. A few bytes always find room, unless nothing has moved for very long: that is an error then.
    fn send(&mut self, due: Instant) -> io::Result<()> {
        (&self.socket).write_all(self.pattern.slice(self.sent, PING_LEN))?;
        self.sent += PING_LEN as u64;
        self.due.push_back(due);
        Ok(())
    }

    /// Takes what has come, and returns how many pings it answers; those due before `from` are not recorded.
    fn receive(&mut self, from: Instant) -> io::Result<usize> {
        let mut buffer = [0; 64 * PING_LEN];
        let count = match (&self.socket).read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        self.pattern
            .verify(self.received, &buffer[..count], Check::Full)
            .map_err(io::Error::other)?;
        let answered_before = self.received / PING_LEN as u64;
        self.received += count as u64;
        let answered = (self.received / PING_LEN as u64 - answered_before) as usize;
        let now = Instant::now();
        for _ in 0..answered {
            let due = self.due.pop_front().ok_or(ErrorKind::InvalidData)?;
            if due >= from {
                stats::record(&mut self.times, now - due);
            }
        }
        Ok(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn every_ping_of_the_schedule_is_sent_and_timed() {
        let target = Target::start((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let plan = Plan {
            address: target.address(),
            streams: 10,
            rate: 50,
            duration: Duration::from_millis(400),
            warm_up: Duration::from_millis(200),
        };
        let times = run(plan).unwrap();
        let counted: Vec<u64> = times.iter().map(Histogram::len).collect();
        assert_eq!(counted, [10; 10], "50 a second for 200 ms each");
        assert!(times.iter().all(|stream| stream.min() > 1_000));
    }
}
