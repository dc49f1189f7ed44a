//! Values that are one of a few words.

use super::Scalar;
use kariz_proto::model::{IoDriver, LogFormat, LogLevel, ProxyProtocol, Strategy, Transport};
use toml::de::DeValue;

/// A type whose values are named by words.
trait Word: Copy + 'static {
    /// The words, whatever their case, and what they mean.
    const WORDS: &'static [(&'static str, Self)];

    /// Words that a later version will take.
    const LATER: &'static [&'static str] = &[];
}

impl<T: Word> Scalar for T {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let word = value.as_str();
        let known = T::WORDS
            .iter()
            .find(|(known, _)| word.is_some_and(|word| word.eq_ignore_ascii_case(known)));
        if let Some((_, meaning)) = known {
            return Ok(*meaning);
        }
        let words: Vec<String> = T::WORDS.iter().map(|(known, _)| format!("\"{known}\"")).collect();
        let what_works = words.join(", ");
        let later = T::LATER
            .iter()
            .any(|later| word.is_some_and(|word| word.eq_ignore_ascii_case(later)));
        Err(match (later, words.len()) {
            (true, 1) => format!("not available yet, what works now is {what_works}"),
            (true, _) => format!("not available yet, what works now is one of {what_works}"),
            (false, 1) => format!("expected {what_works}"),
            (false, _) => format!("expected one of {what_works}"),
        })
    }
}

impl Word for Transport {
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("tcpmux", Self::TcpMux)];
    const LATER: &'static [&'static str] = &["tls", "ws", "wss", "tlsmux", "wsmux", "wssmux", "quic", "jetstream"];
}

/// `type` of a service: what its visitors speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ServiceType {
    /// Connections.
    Tcp,
}

impl Word for ServiceType {
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp)];
    const LATER: &'static [&'static str] = &["udp", "http"];
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("panic", Self::Error),
        ("fatal", Self::Error),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Word for Strategy {
    const WORDS: &'static [(&'static str, Self)] = &[("failover", Self::Failover), ("balance", Self::Balance)];
}

impl Word for ProxyProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("v1", Self::V1), ("v2", Self::V2)];
}

impl Word for IoDriver {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("uring", Self::Uring), ("epoll", Self::Epoll)];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}
