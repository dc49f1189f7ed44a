//! The core's API, over gRPC on this machine (`spec/xray.md`, API).

use super::changes::Change;
use super::rpc::handler::handler_service_client::HandlerServiceClient;
use super::rpc::stats::stats_service_client::StatsServiceClient;
use kariz_proto::xray::app::proxyman::command::{AddUserOperation, AlterInboundRequest, RemoveUserOperation};
use kariz_proto::xray::app::stats::command::{
    GetStatsOnlineIpListResponse, GetStatsRequest, QueryStatsRequest, Stat, SysStatsRequest, SysStatsResponse,
};
use kariz_proto::xray::common::protocol::User;
use kariz_proto::xray::common::serial::TypedMessage;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long a call may take: an API that does not answer must not hold a panel up.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question for counters goes on that nobody waits for any more: they may have been reset, and their answer is worth
/// something.
const COUNTERS_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest answer; ten thousand users have one of a megabyte.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Calls the API of one core. Clones share two connections, which are opened at the first call and again when they are lost.
#[derive(Debug, Clone)]
pub(crate) struct CoreApi {
    handler: HandlerServiceClient<Channel>,
    stats: StatsServiceClient<Channel>,
    /// The same with [`COUNTERS_TIMEOUT`].
    counters: StatsServiceClient<Channel>,
}

impl CoreApi {
    /// The API at a port of this machine.
    pub(super) fn at(port: u16) -> Self {
        let address = format!("http://127.0.0.1:{port}");
        let endpoint = Endpoint::from_shared(address).expect("a port makes an address");
        let endpoint = endpoint.connect_timeout(CALL_TIMEOUT);
        let patient = endpoint.clone().timeout(COUNTERS_TIMEOUT).connect_lazy();
        let channel = endpoint.timeout(CALL_TIMEOUT).connect_lazy();
        Self {
            handler: HandlerServiceClient::new(channel.clone()),
            stats: StatsServiceClient::new(channel),
            counters: StatsServiceClient::new(patient).max_decoding_message_size(MAX_ANSWER_BYTES),
        }
    }

    /// Makes a change. What the core has already, or has not any more, is no error.
    ///
    /// # Errors
    /// The core refuses it, or does not answer.
    pub(super) async fn make(&self, change: &Change) -> Result<(), Status> {
        let Change {
            tag,
            email,
            removes,
            adds,
        } = change;
        if *removes {
            self.remove(tag, email).await?;
        }
        let Some(account) = adds else { return Ok(()) };
        let user = User {
            level: 0,
            email: email.clone(),
            account: Some(account.message()),
        };
        let operation = TypedMessage::of(&AddUserOperation { user: Some(user) });
        match self.alter(tag, operation.clone()).await {
            Err(status) if status.message().contains("already exists.") => {
                self.remove(tag, email).await?;
                self.alter(tag, operation).await
            }
            added => added,
        }
    }

    async fn remove(&self, tag: &str, email: &str) -> Result<(), Status> {
        let operation = RemoveUserOperation {
            email: email.to_owned(),
        };
        match self.alter(tag, TypedMessage::of(&operation)).await {
            Err(status) if status.message().contains("not found.") => Ok(()),
            removed => removed,
        }
    }

    async fn alter(&self, tag: &str, operation: TypedMessage) -> Result<(), Status> {
        let request = AlterInboundRequest {
            tag: tag.to_owned(),
            operation: Some(operation),
        };
        self.handler.clone().alter_inbound(request).await.map(drop)
    }

    /// Counters whose names contain `pattern`. Whoever waits has to set a limit.
    ///
    /// # Errors
    /// The core does not answer within [`COUNTERS_TIMEOUT`].
    pub(super) async fn counters(&self, pattern: String, reset: bool) -> Result<Vec<Stat>, Status> {
        let answer = self
            .counters
            .clone()
            .query_stats(QueryStatsRequest { pattern, reset })
            .await?;
        Ok(answer.into_inner().stat)
    }

    /// How often a user is connected.
    ///
    /// # Errors
    /// The core does not know him, or does not answer.
    pub(super) async fn online(&self, name: String) -> Result<i64, Status> {
        let answer = self
            .stats
            .clone()
            .get_stats_online(GetStatsRequest { name, reset: false })
            .await?;
        Ok(answer.into_inner().stat.unwrap_or_default().value)
    }

    /// From where a user is connected.
    ///
    /// # Errors
    /// The core does not know him, or does not answer.
    pub(super) async fn online_addresses(&self, name: String) -> Result<GetStatsOnlineIpListResponse, Status> {
        let request = GetStatsRequest { name, reset: false };
        Ok(self.stats.clone().get_stats_online_ip_list(request).await?.into_inner())
    }

    /// What the core says of itself.
    ///
    /// # Errors
    /// The core does not answer.
    pub(super) async fn system(&self) -> Result<SysStatsResponse, Status> {
        Ok(self.stats.clone().get_sys_stats(SysStatsRequest {}).await?.into_inner())
    }
}
