//! A thin safe wrapper of epoll, for the load tools and the contenders.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// One epoll instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// What a file descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number given when it was added.
    pub token: u64,
    /// A read will not block: data, an end, or an error.
    pub readable: bool,
    /// A write will not block: room, or an error.
    pub writable: bool,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Data or an end, for as long as there is some (level-triggered).
    Read,
    /// Room, for as long as there is some (level-triggered).
    Write,
    /// Every change of both (edge-triggered).
    Edges,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN | EventFlags::RDHUP,
            Self::Write => EventFlags::OUT,
            Self::Edges => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        }
    }
}

impl Poller {
    /// A new instance.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// Starts to watch `source`; it is forgotten by itself when it is closed.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Waits for something else from now on.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn change(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            source,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Waits until something is ready, or `timeout` has passed (then `into` stays empty). `into` is cleared first.
    ///
    /// # Errors
    /// As `epoll_wait(2)`; an interruption counts as a passed timeout.
    pub fn wait(&self, timeout: Option<Duration>, into: &mut Vec<Ready>) -> io::Result<()> {
        into.clear();
        let timeout = timeout.map(|wait| rustix::event::Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        });
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS];
        let (events, _) = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        let failed = EventFlags::ERR | EventFlags::HUP;
        into.extend(events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                readable: flags.intersects(EventFlags::IN | EventFlags::RDHUP | failed),
                writable: flags.intersects(EventFlags::OUT | failed),
            }
        }));
        Ok(())
    }
}
