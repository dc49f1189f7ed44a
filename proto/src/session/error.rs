//! What a driver can ask at the wrong moment.

/// A request to a machine that it could not carry out. Nothing was sent and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SessionError {
    /// The session is not up (yet, or any more).
    #[error("the session is not established")]
    NotEstablished,
    /// The session is going away: nothing new is opened.
    #[error("the session is going away")]
    GoingAway,
    /// No such question is open.
    #[error("no such request")]
    NoSuchRequest,
    /// The service is not granted to the session.
    #[error("service not granted")]
    NotGranted,
    /// Too much at once: a named bound would be passed.
    #[error("limit reached")]
    Limit,
    /// A service is named twice.
    #[error("service named twice")]
    Duplicate,
    /// The services do not fit into a ticket.
    #[error("no ticket possible")]
    NoTicket,
}
