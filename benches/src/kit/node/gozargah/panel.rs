//! A panel: protobuf over REST, with its key in every request.

use crate::kit::node::environment::KEY;
use crate::kit::node::http::{Connection, request};
use crate::kit::node::place::Node;
use anyhow::{Context, Result, ensure};
use kariz_proto::panel::{Backend, BaseInfoResponse, StatRequest, StatResponse, StatType, User, Users, UsersChunk};
use prost::Message;
use std::time::{Duration, Instant};

/// A connection of a panel.
pub(super) struct Panel(Connection);

/// The bytes of a request, made before the time counts.
pub(super) struct Call {
    path: &'static str,
    bytes: Vec<u8>,
}

impl Call {
    fn new(method: &str, path: &'static str, body: &[u8]) -> Self {
        let headers = [("x-api-key", KEY), ("content-type", "application/x-protobuf")];
        let bytes = request(method, path, &headers, body);
        Self { path, bytes }
    }

    pub(super) fn info() -> Self {
        Self::new("GET", "/info", &[])
    }

    pub(super) fn start(config: String, users: Vec<User>) -> Self {
        let backend = Backend {
            config,
            users,
            ..Backend::default()
        };
        Self::new("POST", "/start", &backend.encode_to_vec())
    }

    /// All counters of users, which begin anew: as panels ask.
    pub(super) fn users_stats() -> Self {
        let mut request = StatRequest {
            reset: true,
            ..StatRequest::default()
        };
        request.set_type(StatType::UsersStat);
        Self::new("GET", "/stats", &request.encode_to_vec())
    }

    pub(super) fn sync_user(user: &User) -> Self {
        Self::new("PUT", "/user/sync", &user.encode_to_vec())
    }

    pub(super) fn sync_users(users: Vec<User>) -> Self {
        Self::new("PUT", "/users/sync", &Users { users }.encode_to_vec())
    }

    /// Two chunks, each with its length before it.
    pub(super) fn sync_chunks(users: &[User]) -> Self {
        let (first, last) = users.split_at(users.len() / 2);
        let chunk = |(users, index): (&[User], u64)| UsersChunk {
            users: users.to_vec(),
            index,
            last: index == 1,
        };
        let chunks = [(first, 0), (last, 1)].map(|part| chunk(part).encode_length_delimited_to_vec());
        Self::new("PUT", "/users/sync/chunked", &chunks.concat())
    }
}

impl Panel {
    pub(super) fn connect(node: &Node<'_>) -> Result<Self> {
        Ok(Self(Connection::new(node.tls(&[])?)))
    }

    /// Makes a call; the answer is a body.
    pub(super) fn ask(&mut self, call: &Call) -> Result<Vec<u8>> {
        self.0.ask(&call.bytes).context(call.path)
    }

    /// The same, and how long it took.
    pub(super) fn time(&mut self, call: &Call) -> Result<(Duration, Vec<u8>)> {
        let begin = Instant::now();
        let body = self.ask(call)?;
        Ok((begin.elapsed(), body))
    }

    /// Makes such a call; fails unless the core runs then.
    pub(super) fn start(&mut self, start: &Call) -> Result<Duration> {
        let (time, body) = self.time(start)?;
        let info = BaseInfoResponse::decode(&*body)?;
        ensure!(info.started, "the core is not started: {info:?}");
        Ok(time)
    }

    /// How long such a call took, and how many counters came back.
    pub(super) fn stats(&mut self, call: &Call) -> Result<(Duration, usize)> {
        let (time, body) = self.time(call)?;
        Ok((time, StatResponse::decode(&*body)?.stats.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_one_after_the_other_with_their_lengths() {
        let user = |email: &str| User {
            email: email.into(),
            ..User::default()
        };
        let call = Call::sync_chunks(&[user("a"), user("b"), user("c")]);
        let head = call.bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let mut body = &call.bytes[head + 4..];
        let chunks: Vec<UsersChunk> =
            std::iter::from_fn(|| (!body.is_empty()).then(|| UsersChunk::decode_length_delimited(&mut body).unwrap()))
                .collect();
        let told: Vec<(usize, u64, bool)> = chunks
            .iter()
            .map(|chunk| (chunk.users.len(), chunk.index, chunk.last))
            .collect();
        assert_eq!(told, [(1, 0, false), (2, 1, true)]);
    }
}
