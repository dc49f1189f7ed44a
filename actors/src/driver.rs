//! Couples a session machine of `proto` with the bytes and the clock.

use crate::dataplane::ControlStream;
use crate::wire::{Progress, Wire};
use bytes::Bytes;
use kariz_proto::session::{ClientEvent, ClientSession, ServerEvent, ServerSession};
use std::future::pending;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};

/// How long the last bytes of a carrier may take to leave.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The machines' clock, which tests can pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Fills bytes with the kernel's randomness.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel has a random source since before this process was started");
}

/// What both machines have in common.
pub(crate) trait Machine: Send {
    type Event: Send;
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);
    fn handle_eof(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self) -> Option<Bytes>;
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn poll_timeout(&self) -> Option<Instant>;
}

macro_rules! machine {
    ($machine:ty, $event:ty) => {
        impl Machine for $machine {
            type Event = $event;
            fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
                self.handle_input(now, bytes);
            }
            fn handle_eof(&mut self, now: Instant) {
                self.handle_eof(now);
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_transmit(&mut self) -> Option<Bytes> {
                self.poll_transmit()
            }
            fn poll_event(&mut self) -> Option<$event> {
                self.poll_event()
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
        }
    };
}

machine!(ClientSession, ClientEvent);
machine!(ServerSession, ServerEvent);

/// A machine on its control carrier.
pub(crate) struct Driver<M> {
    pub(crate) machine: M,
    wire: Wire,
    ended: bool,
}

impl<M: Machine> Driver<M> {
    pub(crate) fn new(machine: M, stream: Box<dyn ControlStream>) -> Self {
        Self {
            machine,
            wire: Wire::new(stream),
            ended: false,
        }
    }

    /// Moves bytes until something happens. Cancelling loses nothing. Nothing happens after the machine has said that
    /// the carrier is closed.
    pub(crate) async fn event(&mut self) -> M::Event {
        loop {
            if let Some(event) = self.machine.poll_event() {
                return event;
            }
            if self.ended {
                return pending().await;
            }
            self.collect();
            let due = self.machine.poll_timeout();
            tokio::select! {
                progress = self.wire.progress() => match progress {
                    Ok(Progress::Received(bytes)) => self.machine.handle_input(now(), &bytes),
                    Ok(Progress::Sent) => {}
                    Ok(Progress::Ended) | Err(_) => {
                        self.ended = true;
                        self.machine.handle_eof(now());
                    }
                },
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => self.machine.handle_timeout(now()),
            }
        }
    }

    /// Takes what the machine wants to send, once the peer has taken what was there: what it does not take piles up
    /// in the machine, which has a bound for it.
    fn collect(&mut self) {
        if self.wire.is_sent() {
            while let Some(bytes) = self.machine.poll_transmit() {
                self.wire.queue(&bytes);
            }
        }
    }

    /// Sends what is left after the machine has closed, for at most [`FLUSH_LIMIT`].
    pub(crate) async fn finish(mut self) {
        if self.ended {
            return;
        }
        let flush = async {
            loop {
                self.collect();
                if self.wire.is_sent()
                    || !matches!(self.wire.progress().await, Ok(Progress::Sent | Progress::Received(_)))
                {
                    return;
                }
            }
        };
        if timeout(FLUSH_LIMIT, flush).await.is_err() {
            tracing::debug!("a closed control carrier's last bytes did not leave");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    /// Has something to send, and is closed.
    struct Closed(Option<Bytes>);

    impl Machine for Closed {
        type Event = ();
        fn handle_input(&mut self, _: Instant, _: &[u8]) {}
        fn handle_eof(&mut self, _: Instant) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_transmit(&mut self) -> Option<Bytes> {
            self.0.take()
        }
        fn poll_event(&mut self) -> Option<()> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
    }

    /// Finishes towards a peer that reads what is left after a while; how long it took, and what the peer has.
    async fn finish(reads_after: Duration) -> (Duration, usize) {
        let (near, mut far): (_, DuplexStream) = duplex(64);
        let driver = Driver::new(Closed(Some(Bytes::from_static(&[7; 1000]))), Box::new(near));
        let reader = tokio::spawn(async move {
            tokio::time::sleep(reads_after).await;
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).await.map(|_| bytes.len())
        });
        let began = now();
        driver.finish().await;
        let took = now() - began;
        (took, reader.await.unwrap().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn last_bytes_leave_until_the_flush_limit_and_not_later() {
        let moment = Duration::from_millis(1);
        assert_eq!(finish(FLUSH_LIMIT - moment).await, (FLUSH_LIMIT - moment, 1000));
        assert_eq!(finish(FLUSH_LIMIT + moment).await, (FLUSH_LIMIT, 64));
    }
}
