//! What both ends of a control carrier have in common: bytes, liveness, and the ways to end.

use super::link::Link;
use super::liveness::Liveness;
use super::wire::control::Message;
use super::{CloseCause, CloseReason, Closed, MAX_TEXT_BYTES, SessionError, Violation, wire};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest drain that a peer may ask for.
const MAX_DRAIN: Duration = Duration::from_secs(3600);

/// The events that both ends know.
pub(super) trait CommonEvent {
    fn closed(closed: Closed) -> Self;
    fn pong(rtt: Duration) -> Self;
    fn peer_closing(reason: CloseReason, deadline: Duration, text: String) -> Self;
}

/// The common part of a machine.
pub(super) struct Base<E> {
    pub(super) link: Link,
    pub(super) events: VecDeque<E>,
    /// Until when the next step of the handshake has to be done; `None` while it is not the peer's turn.
    pub(super) handshake_deadline: Option<Instant>,
    /// From `Established` on.
    liveness: Option<Liveness>,
    /// Set once this end is going away.
    local_drain: Option<Instant>,
    /// Set once the peer is going away, with its text.
    peer_drain: Option<(Instant, String)>,
    closed: bool,
}

impl<E: CommonEvent> Base<E> {
    pub(super) fn new(handshake_deadline: Instant) -> Self {
        Self {
            link: Link::default(),
            events: VecDeque::new(),
            handshake_deadline: Some(handshake_deadline),
            liveness: None,
            local_drain: None,
            peer_drain: None,
            closed: false,
        }
    }

    /// The session is up.
    pub(super) fn establish(&mut self, now: Instant, heartbeat: Duration) {
        self.handshake_deadline = None;
        self.liveness = Some(Liveness::new(now, heartbeat));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether messages may be sent.
    pub(super) fn check_established(&self) -> Result<(), SessionError> {
        if self.closed || self.liveness.is_none() {
            return Err(SessionError::NotEstablished);
        }
        Ok(())
    }

    /// Whether something new may be opened.
    pub(super) fn check_open(&self) -> Result<(), SessionError> {
        self.check_established()?;
        if self.local_drain.is_some() || self.peer_drain.is_some() {
            return Err(SessionError::GoingAway);
        }
        Ok(())
    }

    /// Takes bytes; false if they come too late.
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) -> bool {
        if self.closed {
            return false;
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.received(now);
        }
        self.link.receive(bytes);
        true
    }

    /// Sends a message; a peer that does not read ends the session.
    pub(super) fn send(&mut self, message: Message) {
        if self.closed {
            return;
        }
        self.link.send(message);
        if self.link.is_stalled() {
            self.finish(CloseReason::Timeout, CloseCause::Stalled);
        }
    }

    /// Pings outside the heartbeat.
    pub(super) fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        self.check_established()?;
        if let Some(ping) = self.liveness.as_mut().and_then(|liveness| liveness.ping(now)) {
            self.send(Message::Ping(ping));
        }
        Ok(())
    }

    /// Handles a message that both ends know; gives back any other.
    pub(super) fn handle_common(&mut self, now: Instant, message: Message) -> Result<Option<Message>, Violation> {
        match message {
            Message::Ping(wire::Ping { sequence, sent_us }) => {
                self.send(Message::Pong(wire::Pong { sequence, sent_us }));
            }
            Message::Pong(pong) => {
                let liveness = self.liveness.as_mut().ok_or(Violation::UnsolicitedPong)?;
                let rtt = liveness.pong(now, &pong)?;
                self.events.push_back(E::pong(rtt));
            }
            Message::Close(close) => self.handle_close(now, close),
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    fn handle_close(&mut self, now: Instant, close: wire::Close) {
        let reason = CloseReason::from_wire(close.reason);
        let text = clean(&close.text);
        if reason != CloseReason::GoingAway {
            self.finish(reason, CloseCause::Peer(text));
        } else if self.peer_drain.is_none() {
            let deadline = Duration::from_millis(close.deadline_ms.into()).min(MAX_DRAIN);
            self.peer_drain = Some((now + deadline, text.clone()));
            self.events.push_back(E::peer_closing(reason, deadline, text));
        }
    }

    /// Ends the session, or begins to go away.
    pub(super) fn close(&mut self, now: Instant, reason: CloseReason, deadline: Duration, text: &str) {
        if self.closed {
            return;
        }
        let drains = reason == CloseReason::GoingAway && self.check_established().is_ok() && self.local_drain.is_none();
        let deadline = if drains {
            deadline.min(MAX_DRAIN)
        } else {
            Duration::ZERO
        };
        self.send(close_message(reason, deadline, text));
        if drains {
            self.local_drain = Some(now + deadline);
        } else {
            self.finish(reason, CloseCause::Local);
        }
    }

    /// The peer broke the protocol: it is told, if it can be.
    pub(super) fn fail(&mut self, violation: Violation) {
        let reason = violation.reason();
        self.send(close_message(reason, Duration::ZERO, &violation.to_string()));
        self.finish(reason, violation.into());
    }

    /// The last event.
    pub(super) fn finish(&mut self, reason: CloseReason, cause: CloseCause) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(E::closed(Closed { reason, cause }));
        }
    }

    pub(super) fn handle_eof(&mut self) {
        match self.peer_drain.take() {
            Some((_, text)) => self.finish(CloseReason::GoingAway, CloseCause::Peer(text)),
            None => self.finish(CloseReason::InternalError, CloseCause::Lost),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let liveness = self.liveness.as_ref().map(Liveness::poll_timeout);
        let peer_drain = self.peer_drain.as_ref().map(|(deadline, _)| *deadline);
        [self.handshake_deadline, liveness, self.local_drain, peer_drain]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if self.closed {
            return;
        }
        if due(self.handshake_deadline) {
            return self.finish(CloseReason::Timeout, CloseCause::HandshakeTimeout);
        }
        if due(self.local_drain) {
            return self.finish(CloseReason::GoingAway, CloseCause::Local);
        }
        if due(self.peer_drain.as_ref().map(|(deadline, _)| *deadline)) {
            return self.handle_eof();
        }
        let Some(liveness) = &mut self.liveness else {
            return;
        };
        if liveness.is_silent(now) {
            self.send(close_message(CloseReason::Timeout, Duration::ZERO, "silent"));
            return self.finish(CloseReason::Timeout, CloseCause::Silent);
        }
        if let Some(ping) = liveness.heartbeat(now) {
            self.send(Message::Ping(ping));
        }
    }
}

fn close_message(reason: CloseReason, deadline: Duration, text: &str) -> Message {
    Message::Close(wire::Close {
        reason: reason as u32,
        deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        text: clean(text),
    })
}

/// At most [`MAX_TEXT_BYTES`] of a text, whole characters, nothing that could forge a log line.
pub(super) fn clean(text: &str) -> String {
    let whole = (0..=MAX_TEXT_BYTES.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    text[..whole.unwrap_or(0)].replace(char::is_control, " ")
}
