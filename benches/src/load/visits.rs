//! Short visits: connect, 64 bytes there and back, then leave or stay idle. One thread, one epoll.
//!
//! With [`Pace::PerSecond`] every visit has its time in a schedule that does not wait for the ones before, and its
//! latency counts from there: a stall is seen by all whom it would have hit (no coordinated omission).

use crate::pattern::{Check, Pattern};
use crate::poller::{Interest, Poller, Ready};
use crate::request::{ENDLESS, Request, Work};
use crate::stats;
use crate::visitor::PING_LEN;
use hdrhistogram::Histogram;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for one visit that did not answer, before it counts as failed.
const VISIT_LIMIT: Duration = Duration::from_secs(20);

/// When visitors come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// So many at a time: the next comes when one leaves.
    AtOnce(usize),
    /// So many each second, whatever happens to them.
    PerSecond(u32),
}

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where visitors go.
    pub address: SocketAddr,
    /// When they come.
    pub pace: Pace,
    /// No new visitor after this time.
    pub duration: Duration,
    /// No more visitors than this.
    pub most: u64,
    /// Whether they stay connected after their 64 bytes.
    pub stay: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Visits that got their 64 bytes back.
    pub done: u64,
    /// Visits that did not: refused, reset, wrong bytes, or no answer within 20 s.
    pub failed: u64,
    /// The first failure, for the report.
    pub first_failure: Option<String>,
    /// From first visit to last answer.
    pub elapsed: Duration,
    /// Nanoseconds from the scheduled time of a visit until its 64 bytes are back.
    pub latency: Histogram<u64>,
    /// The connections of those who stay; dropping it sends them away.
    pub staying: Vec<TcpStream>,
}

struct Visit {
    socket: TcpStream,
    due: Instant,
    pattern: Pattern,
    asked: bool,
    received: usize,
}

/// Carries out the plan, and returns when every visit has ended (or stays).
///
/// # Errors
/// The kit itself failed: descriptors or ports ran out.
pub fn run(plan: Plan) -> io::Result<Outcome> {
    let latency = stats::recorder();
    let outcome = Outcome {
        done: 0,
        failed: 0,
        first_failure: None,
        elapsed: Duration::ZERO,
        latency,
        staying: Vec::new(),
    };
    let mut crowd = Crowd {
        plan,
        poller: Poller::new()?,
        visits: HashMap::new(),
        started: 0,
        begin: Instant::now(),
        outcome,
    };
    let mut ready = Vec::new();
    loop {
        let next = crowd.let_in()?;
        if next.is_none() && crowd.visits.is_empty() {
            break;
        }
        crowd
            .poller
            .wait(Some(next.unwrap_or(Duration::from_millis(100))), &mut ready)?;
        for event in &ready {
            crowd.step(*event);
        }
        if ready.is_empty() {
            crowd.give_up();
        }
    }
    crowd.outcome.elapsed = crowd.begin.elapsed();
    Ok(crowd.outcome)
}

struct Crowd {
    plan: Plan,
    poller: Poller,
    visits: HashMap<u64, Visit>,
    started: u64,
    begin: Instant,
    outcome: Outcome,
}

impl Crowd {
    /// Starts every visit that is due, and returns how long to wait for the next one; `None` when all have come.
    fn let_in(&mut self) -> io::Result<Option<Duration>> {
        while self.started < self.plan.most {
            let due = match self.plan.pace {
                Pace::AtOnce(crowd) if self.visits.len() >= crowd => return Ok(Some(Duration::from_millis(100))),
                Pace::AtOnce(_) => Instant::now(),
                Pace::PerSecond(rate) => self.begin + Duration::from_secs(self.started) / rate.max(1),
            };
            if due - self.begin >= self.plan.duration {
                return Ok(None);
            }
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                return Ok(Some(early));
            }
            self.start(due)?;
        }
        Ok(None)
    }

    fn start(&mut self, due: Instant) -> io::Result<()> {
        let token = self.started;
        self.started += 1;
        let socket = match connect(self.plan.address) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.fail(&error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.poller.add(&socket, token, Interest::Write)?;
        self.visits.insert(
            token,
            Visit {
                socket,
                due,
                pattern: Pattern::new(token),
                asked: false,
                received: 0,
            },
        );
        Ok(())
    }

    fn step(&mut self, event: Ready) {
        let Some(visit) = self.visits.get_mut(&event.token) else {
            return;
        };
        let done = if visit.asked {
            visit.hear()
        } else {
            let asked = visit.ask(event.token);
            asked
                .and_then(|()| self.poller.change(&visit.socket, event.token, Interest::Read))
                .map(|()| false)
        };
        match done {
            Ok(false) => {}
            Ok(true) => {
                stats::record(&mut self.outcome.latency, visit.due.elapsed());
                self.outcome.done += 1;
                if let Some(visit) = self.visits.remove(&event.token)
                    && self.plan.stay
                {
                    // Left in the poller it would wake the loop when the other side ends it.
                    if self.poller.change(&visit.socket, u64::MAX, Interest::Edges).is_ok() {
                        self.outcome.staying.push(visit.socket);
                    }
                }
            }
            Err(error) => {
                self.visits.remove(&event.token);
                self.fail(&error.to_string());
            }
        }
    }

    fn give_up(&mut self) {
        let before = self.visits.len();
        self.visits.retain(|_, visit| visit.due.elapsed() < VISIT_LIMIT);
        for _ in self.visits.len()..before {
            self.fail("no answer within 20 s");
        }
    }

    fn fail(&mut self, why: &str) {
        self.outcome.failed += 1;
        self.outcome.first_failure.get_or_insert_with(|| why.to_owned());
    }
}

impl Visit {
    fn ask(&mut self, seed: u64) -> io::Result<()> {
        let mut bytes = Request {
            work: Work::Echo,
            check: Check::Full,
            seed,
            length: ENDLESS,
            mbit_per_s: 0,
        }
        .encode()
        .to_vec();
        bytes.extend_from_slice(self.pattern.slice(0, PING_LEN));
        // An empty send buffer takes these few bytes whole, so that anything else is a failed connection.
        self.asked = true;
        (&self.socket).write_all(&bytes)
    }

    fn hear(&mut self) -> io::Result<bool> {
        let mut buffer = [0; PING_LEN];
        let count = match (&self.socket).read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.pattern
            .verify(self.received as u64, &buffer[..count], Check::Full)
            .map_err(io::Error::other)?;
        self.received += count;
        Ok(self.received >= PING_LEN)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;
    use std::sync::atomic::Ordering;

    #[test]
    fn scheduled_visits_all_come_and_are_timed_from_their_schedule() {
        let target = Target::start((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let plan = Plan {
            address: target.address(),
            pace: Pace::PerSecond(1000),
            duration: Duration::from_millis(300),
            most: u64::MAX,
            stay: false,
        };
        let outcome = run(plan).unwrap();
        assert_eq!((outcome.done, outcome.failed), (300, 0), "{:?}", outcome.first_failure);
        assert_eq!(outcome.latency.len(), 300);
        assert!(outcome.latency.min() > 1_000, "no visit takes less than a microsecond");
    }

    #[test]
    fn those_who_stay_are_open_at_the_target_until_they_are_dropped() {
        let target = Target::start((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let plan = Plan {
            address: target.address(),
            pace: Pace::AtOnce(8),
            duration: Duration::from_secs(10),
            most: 50,
            stay: true,
        };
        let outcome = run(plan).unwrap();
        assert_eq!(outcome.staying.len(), 50);
        assert_eq!(target.counters().open.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn refused_visits_are_counted_as_failed() {
        let address = (std::net::Ipv4Addr::LOCALHOST, crate::load::free_port().unwrap()).into();
        let plan = Plan {
            address,
            pace: Pace::AtOnce(2),
            duration: Duration::from_secs(1),
            most: 5,
            stay: false,
        };
        let outcome = run(plan).unwrap();
        assert_eq!((outcome.done, outcome.failed), (0, 5));
    }
}
