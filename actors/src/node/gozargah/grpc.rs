//! The calls over gRPC.

use super::answer::AtEnd;
use super::api::{Api, Chunks, Counted};
use super::fault::Fault;
use super::rpc::node::node_service_server::NodeService;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use kariz_proto::panel::{
    Backend, BackendStatsResponse, BaseInfoResponse, Empty, LatencyRequest, LatencyResponse, Log, OnlineStatResponse,
    StatRequest, StatResponse, StatType, StatsOnlineIpListResponse, SystemStatsResponse, User, Users, UsersChunk,
};
use std::net::IpAddr;
use tonic::{Request, Response, Status, Streaming};

/// Most users of a stream that go to the core together.
const USERS_AT_A_TIME: usize = 1_000;

/// One connection's calls.
#[derive(Clone)]
pub(super) struct Grpc {
    pub(super) api: Api,
    /// Where the panel connected from.
    pub(super) panel: IpAddr,
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(outcome: Result<T, Fault>) -> Answer<T> {
    Ok(Response::new(outcome?))
}

fn done(outcome: Result<(), Fault>) -> Answer<Empty> {
    answer(outcome.map(|()| Empty {}))
}

impl Grpc {
    async fn of_kind(&self, kind: StatType, request: Request<StatRequest>) -> Answer<StatResponse> {
        counted(self.api.stats_of_kind(kind, request.get_ref()).await)
    }
}

fn counted(outcome: Result<Counted, Fault>) -> Answer<StatResponse> {
    let (stats, owed) = outcome?;
    let mut response = Response::new(stats);
    response.extensions_mut().insert(AtEnd::Delivered(owed));
    Ok(response)
}

#[tonic::async_trait]
impl NodeService for Grpc {
    type GetLogsStream = BoxStream<'static, Result<Log, Status>>;

    async fn start(&self, request: Request<Backend>) -> Answer<BaseInfoResponse> {
        answer(self.api.start(request.into_inner(), self.panel).await)
    }

    async fn stop(&self, _: Request<Empty>) -> Answer<Empty> {
        done(self.api.stop().await)
    }

    async fn get_base_info(&self, _: Request<Empty>) -> Answer<BaseInfoResponse> {
        answer(Ok(self.api.info().await))
    }

    async fn get_logs(&self, _: Request<Empty>) -> Answer<Self::GetLogsStream> {
        let closed = futures_util::stream::iter([Err(Status::unknown("log channel closed"))]);
        let lines = self.api.logs()?.map(|line| {
            let detail = line.to_string();
            Ok(Log { detail })
        });
        let mut response = Response::new(lines.chain(closed).boxed());
        response.extensions_mut().insert(AtEnd::Touch(self.api.live.clone()));
        Ok(response)
    }

    async fn get_system_stats(&self, _: Request<Empty>) -> Answer<SystemStatsResponse> {
        answer(self.api.system_stats())
    }

    async fn get_backend_stats(&self, _: Request<Empty>) -> Answer<BackendStatsResponse> {
        answer(self.api.backend_stats().await)
    }

    async fn get_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        counted(self.api.stats(request.get_ref()).await)
    }

    async fn get_outbounds_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::Outbounds, request).await
    }

    async fn get_outbound_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::Outbound, request).await
    }

    async fn get_inbounds_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::Inbounds, request).await
    }

    async fn get_inbound_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::Inbound, request).await
    }

    async fn get_users_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::UsersStat, request).await
    }

    async fn get_user_stats(&self, request: Request<StatRequest>) -> Answer<StatResponse> {
        self.of_kind(StatType::UserStat, request).await
    }

    async fn get_outbounds_latency(&self, request: Request<LatencyRequest>) -> Answer<LatencyResponse> {
        answer(self.api.latencies(request.into_inner()).await)
    }

    async fn get_user_online_stats(&self, request: Request<StatRequest>) -> Answer<OnlineStatResponse> {
        answer(self.api.online(request.into_inner()).await)
    }

    async fn get_user_online_ip_list_stats(&self, request: Request<StatRequest>) -> Answer<StatsOnlineIpListResponse> {
        answer(self.api.online_addresses(request.into_inner()).await)
    }

    async fn sync_user(&self, request: Request<Streaming<User>>) -> Answer<Empty> {
        self.api.exists()?;
        // Those that have come meanwhile go together: the connection does not keep any number of them.
        let mut users = request.into_inner().ready_chunks(USERS_AT_A_TIME);
        while let Some(ready) = users.next().await {
            let (mut good, mut refused) = (Vec::with_capacity(ready.len()), None);
            for user in ready {
                match user.and_then(|user| Ok(self.api.known(user)?)) {
                    Ok(user) => good.extend(user),
                    Err(status) => {
                        refused = Some(status);
                        break;
                    }
                }
            }
            self.api.update(good).await?;
            if let Some(status) = refused {
                return Err(status);
            }
        }
        Ok(Response::new(Empty {}))
    }

    async fn sync_users(&self, request: Request<Users>) -> Answer<Empty> {
        done(self.api.sync_users(request.into_inner()).await)
    }

    async fn sync_users_chunked(&self, request: Request<Streaming<UsersChunk>>) -> Answer<Empty> {
        self.api.exists()?;
        let (mut chunks, mut all) = (request.into_inner(), Chunks::default());
        while let Some(chunk) = chunks.try_next().await? {
            if all.add(chunk)? {
                // Panels that find their stream answered before they have ended it take that for a failure.
                while chunks.try_next().await?.is_some() {}
                break;
            }
        }
        done(self.api.sync_chunks(all).await)
    }
}
