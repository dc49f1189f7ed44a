//! The calls, whichever transport they come over.

use super::backend::{Backend, StartBackend, StopBackend, SyncUsers, Wanted};
use super::core_api::CoreApi;
use super::fault::Fault;
use super::generation::Generation;
use super::latency::{self, Unavailable};
use super::ledger::{Ledger, Owed};
use super::live::{Core, Current, Live};
use super::logs;
use super::machine::Machine;
use super::stats::{self, Query};
use crate::node::state::{Session, State};
use futures_util::Stream;
use kameo::error::SendError;
use kameo::prelude::*;
use kariz_proto::panel;
use kariz_proto::panel::{
    BackendStatsResponse, BaseInfoResponse, LatencyRequest, LatencyResponse, OnlineStatResponse, StatRequest,
    StatResponse, StatType, StatsOnlineIpListResponse, SystemStatsResponse, User, Users, UsersChunk,
};
use prost::Message as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tonic::Status;
use uuid::Uuid;

/// An answer with counters, and what has to be told of its delivery.
pub(super) type Counted = (StatResponse, Arc<Owed>);

/// What the node says that it is: panels parse it, and send users in chunks from 0.2.0 on (`spec/node-panel.md`, 4.6).
const NODE_VERSION: &str = "0.5.2";

/// Most chunks of one call, most users of all of them together, and most bytes.
const MAX_CHUNKS: usize = 100_000;
const MAX_USERS: usize = 1_000_000;
const MAX_CHUNKED_BYTES: usize = 256 << 20;

/// How long a question for the core's version waits after a start.
const VERSION_PATIENCE: Duration = Duration::from_secs(2);

/// Time between two looks whether it has come.
const VERSION_POLL: Duration = Duration::from_millis(20);

/// Answers calls.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) state: Arc<State>,
    pub(super) live: Live,
    pub(super) backend: ActorRef<Backend>,
    pub(super) machine: Machine,
    pub(super) ledger: Ledger,
    pub(super) generation: Generation,
}

impl Api {
    pub(super) async fn start(&self, backend: panel::Backend, panel: IpAddr) -> Result<BaseInfoResponse, Fault> {
        let session = (self.generation == Generation::G0).then(Session::new_id);
        let outcome = match Wanted::read(backend) {
            Ok(wanted) => self.start_core(wanted, panel, session).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            tracing::warn!("{panel}: a start is refused: {}", fault.text);
            return Err(fault);
        }
        let mut info = self.info().await;
        // Panels take an answer without a version for a failure; the core may still be asked for it.
        let deadline = Instant::now() + VERSION_PATIENCE;
        while info.core_version.is_empty() && Instant::now() < deadline {
            sleep(VERSION_POLL).await;
            info = self.info().await;
        }
        // It has, whoever came after it.
        info.started = true;
        info.session_id = session.map(|id| id.to_string()).unwrap_or_default();
        Ok(info)
    }

    async fn start_core(&self, wanted: Wanted, panel: IpAddr, session: Option<Uuid>) -> Result<(), Fault> {
        let (answer, answered) = oneshot::channel();
        let start = StartBackend {
            wanted,
            panel,
            session,
            answer,
        };
        // Errors say that the actor has broken down.
        self.backend.tell(start).await.map_err(|_| Fault::internal())?;
        answered.await.map_err(|_| Fault::internal())?
    }

    pub(super) async fn stop(&self) -> Result<(), Fault> {
        self.exists_or_early()?;
        self.backend.ask(StopBackend).await.map_err(|_| Fault::internal())
    }

    pub(super) async fn info(&self) -> BaseInfoResponse {
        let version = self.state.core_version().await;
        BaseInfoResponse {
            started: matches!(self.live.get(), Current::Up(..)),
            core_version: version.as_deref().unwrap_or_default().to_owned(),
            node_version: NODE_VERSION.to_owned(),
            ..BaseInfoResponse::default()
        }
    }

    /// A user that has a name; the first generations take one without it, and nothing comes of that.
    pub(super) fn known(&self, user: User) -> Result<Option<User>, Fault> {
        match (user.email.is_empty(), self.generation.is_early()) {
            (false, _) => Ok(Some(user)),
            (true, true) => {
                tracing::warn!("a user without a name is left out");
                Ok(None)
            }
            (true, false) => Err(Fault::bad_request("email is required")),
        }
    }

    /// Changes these users, and no others.
    pub(super) async fn update(&self, users: Vec<User>) -> Result<(), Fault> {
        match users.is_empty() {
            true => self.exists(),
            false => self.sync(SyncUsers::Update(users)).await,
        }
    }

    pub(super) async fn sync_users(&self, Users { users }: Users) -> Result<(), Fault> {
        self.sync(SyncUsers::Replace(users)).await
    }

    pub(super) async fn sync_chunks(&self, chunks: Chunks) -> Result<(), Fault> {
        self.sync(SyncUsers::Update(chunks.users()?)).await
    }

    async fn sync(&self, sync: SyncUsers) -> Result<(), Fault> {
        self.exists()?;
        self.ask(sync).await
    }

    /// Statistics of one kind, as the methods of G0 and G1 answer them.
    pub(super) async fn stats_of_kind(&self, kind: StatType, request: &StatRequest) -> Result<Counted, Fault> {
        let core = self.core()?.api;
        let query = Query::of_kind(kind, request, self.generation)?;
        self.query(core, query, request.reset).await
    }

    /// Statistics as `GetStats` answers them.
    pub(super) async fn stats(&self, request: &StatRequest) -> Result<Counted, Fault> {
        let core = self.core()?.api;
        self.query(core, Query::of(request, self.generation)?, request.reset)
            .await
    }

    async fn query(&self, core: Arc<CoreApi>, query: Query, reset: bool) -> Result<Counted, Fault> {
        let counted = self.ledger.counters(core, query.pattern.clone(), reset).await;
        let owed = counted.map_err(|status| self.of_core(&status))?;
        let stats = query.stats(owed.counters());
        Ok((StatResponse { stats }, owed))
    }

    /// How the core's outbounds reach the world, as its observatory sees it; with a name, the one of that tag.
    pub(super) async fn latencies(&self, request: LatencyRequest) -> Result<LatencyResponse, Fault> {
        let latencies = match self.core()?.metrics.ok_or(Unavailable::NotMeasured) {
            Ok(port) => latency::of_outbounds(port, &request.name).await,
            Err(reason) => Err(reason),
        };
        Ok(LatencyResponse {
            latencies: latencies.map_err(Fault::no_latency)?,
        })
    }

    pub(super) async fn online(&self, request: StatRequest) -> Result<OnlineStatResponse, Fault> {
        let core = self.core()?.api;
        let value = core.online(stats::online(&request.name, self.generation)?).await;
        Ok(OnlineStatResponse {
            value: value.map_err(|status| self.of_core(&status))?,
            name: request.name,
        })
    }

    pub(super) async fn online_addresses(&self, request: StatRequest) -> Result<StatsOnlineIpListResponse, Fault> {
        let core = self.core()?.api;
        let list = core
            .online_addresses(stats::online(&request.name, self.generation)?)
            .await;
        Ok(StatsOnlineIpListResponse {
            ips: list.map_err(|status| self.of_core(&status))?.ips,
            name: request.name,
        })
    }

    pub(super) async fn backend_stats(&self) -> Result<BackendStatsResponse, Fault> {
        let core = self.core()?.api;
        // The text decides what a panel does: it waits (`spec/node-panel.md`, 4.6).
        let said = core.system().await;
        let said = said.map_err(|status| Fault::sys_stats(self.generation, &status))?;
        Ok(BackendStatsResponse {
            num_goroutine: said.num_goroutine,
            num_gc: said.num_gc,
            alloc: said.alloc,
            total_alloc: said.total_alloc,
            sys: said.sys,
            mallocs: said.mallocs,
            frees: said.frees,
            live_objects: said.live_objects,
            pause_total_ns: said.pause_total_ns,
            uptime: said.uptime,
        })
    }

    /// What the machine is doing.
    pub(super) fn system_stats(&self) -> Result<SystemStatsResponse, Fault> {
        self.exists_or_early()?;
        Ok(self.machine.latest())
    }

    /// The core's lines, for as long as the reader stays.
    pub(super) fn logs(&self) -> Result<impl Stream<Item = Arc<str>> + Send + use<>, Fault> {
        self.exists_or_early()?;
        Ok(logs::lines(&self.state, &self.live))
    }

    /// Whether a panel has started a backend.
    pub(super) fn exists(&self) -> Result<(), Fault> {
        match self.live.is_there() {
            true => Ok(()),
            false => Err(Fault::no_backend(self.generation)),
        }
    }

    /// The same, for calls that the first generations answer without one, too.
    fn exists_or_early(&self) -> Result<(), Fault> {
        if self.generation.is_early() {
            return Ok(());
        }
        self.exists()
    }

    fn of_core(&self, status: &Status) -> Fault {
        Fault::of_core(self.generation, status)
    }

    /// The core that runs.
    fn core(&self) -> Result<Core, Fault> {
        match self.live.get() {
            Current::Up(core) => Ok(core),
            Current::Down => Err(Fault::no_core()),
            Current::None => Err(Fault::no_backend(self.generation)),
        }
    }

    async fn ask<M>(&self, message: M) -> Result<(), Fault>
    where
        Backend: Message<M, Reply = Result<(), Fault>>,
        M: Send + 'static,
    {
        self.backend.ask(message).await.map_err(|error| match error {
            SendError::HandlerError(fault) => fault,
            _ => Fault::internal(),
        })
    }
}

/// Chunks of users as they come in.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// What has come, by index.
    parts: std::collections::BTreeMap<u64, Vec<User>>,
    users: usize,
    /// Of all of it, encoded.
    bytes: usize,
    last: Option<u64>,
}

impl Chunks {
    /// Adds a chunk; `true` if it is the last one.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn add(&mut self, chunk: UsersChunk) -> Result<bool, Fault> {
        self.bytes += chunk.encoded_len();
        let UsersChunk { users, index, last } = chunk;
        self.users += users.len();
        if self.parts.len() >= MAX_CHUNKS || self.users > MAX_USERS || self.bytes > MAX_CHUNKED_BYTES {
            return Err(Fault::bad_request("too many users"));
        }
        self.parts.insert(index, users);
        if last {
            self.last = Some(index);
        }
        Ok(last)
    }

    /// All users, in the order of the chunks' indexes.
    ///
    /// # Errors
    /// A chunk is missing, or there are no users.
    pub(super) fn users(self) -> Result<Vec<User>, Fault> {
        let last = self
            .last
            .ok_or_else(|| Fault::bad_request("missing final chunk indicator"))?;
        let mut users = Vec::with_capacity(self.users);
        let mut next = 0;
        for (index, part) in self.parts.into_iter().take_while(|(index, _)| *index <= last) {
            if index != next {
                break;
            }
            next += 1;
            users.extend(part);
        }
        if next <= last {
            return Err(Fault::bad_request(&format!("missing chunk index {next}")));
        }
        match users.is_empty() {
            true => Err(Fault::bad_request("no users received")),
            false => Ok(users),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(index: u64, users: &[&str], last: bool) -> UsersChunk {
        let user = |email: &&str| User {
            email: email.to_string(),
            ..User::default()
        };
        UsersChunk {
            users: users.iter().map(user).collect(),
            index,
            last,
        }
    }

    fn joined(chunks: impl IntoIterator<Item = UsersChunk>) -> Result<Vec<String>, String> {
        let mut all = Chunks::default();
        for chunk in chunks {
            all.add(chunk).map_err(|fault| fault.text)?;
        }
        let emails = |users: Vec<User>| users.into_iter().map(|user| user.email).collect();
        all.users().map(emails).map_err(|fault| fault.text)
    }

    #[test]
    fn chunks_are_joined_by_their_index() {
        let whole = joined([chunk(1, &["c"], true), chunk(0, &["a", "b"], false)]);
        assert_eq!(whole, Ok(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(
            joined([chunk(0, &["a"], false)]),
            Err("missing final chunk indicator".into())
        );
        assert_eq!(
            joined([chunk(2, &["a"], true), chunk(0, &["b"], false)]),
            Err("missing chunk index 1".into())
        );
        assert_eq!(
            joined([chunk(u64::MAX, &["a"], true)]),
            Err("missing chunk index 0".into())
        );
        assert_eq!(joined([chunk(0, &[], true)]), Err("no users received".into()));
    }
}
