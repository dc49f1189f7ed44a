//! A connection of a panel: HTTP/2 or HTTP/1.1 by its first bytes (the REST client announces the one and speaks the other), then
//! gRPC or REST by the content type (`spec/node-panel.md`, Rules for us).

use super::api::Api;
use super::auth;
use super::backend::Backend;
use super::fault::Fault;
use super::grpc::Grpc;
use super::live::Live;
use super::machine::Machine;
use super::rest;
use super::rpc::node::node_service_server::NodeServiceServer;
use crate::node::http;
use crate::node::state::State;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use kameo::actor::ActorRef;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use uuid::Uuid;

/// Longest message in either direction (`spec/node-panel.md`, 4.3).
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Most calls under way on one connection.
const MAX_CALLS: u32 = 64;

/// How long a head of HTTP/1.1 may take, and a connection be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Where connections come in.
#[derive(Clone)]
pub(crate) struct Door {
    api: Api,
    key: Uuid,
    bodies: http::BodyRoom,
}

impl Door {
    /// Has to be called on a runtime: the machine is watched on it.
    pub(crate) fn new(state: Arc<State>, live: Live, backend: ActorRef<Backend>, key: Uuid) -> Self {
        Self {
            api: Api {
                machine: Machine::watch(live.clone()),
                state,
                live,
                backend,
            },
            key,
            bodies: http::BodyRoom::default(),
        }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<IO>(&self, stream: IO, client: SocketAddr)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CALLS)
            .adaptive_window(true);
        let door = self.clone();
        let respond = service_fn(move |request| {
            let door = door.clone();
            async move { Ok::<_, Infallible>(door.respond(request, client).await) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), respond));
        let mut stopping = self.api.state.stopping();
        let stopped = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("{client}: {error}");
        }
    }

    async fn respond(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        let (method, version) = (request.method().clone(), request.version());
        let path = request.uri().path().to_owned();
        let response = if is_grpc(&request) {
            self.grpc(request, client).await
        } else {
            self.rest(request, client).await
        };
        http::log(client, &method, &path, version, response.status());
        if went_well(&response) {
            self.api.live.touch();
        }
        response
    }

    async fn grpc(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        match auth::check(request.headers(), self.key) {
            Ok(()) => {
                let calls = Grpc {
                    api: self.api.clone(),
                    panel: client.ip(),
                };
                let mut server = NodeServiceServer::new(calls)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES);
                let Ok(response) = server.call(request).await;
                response
            }
            Err(fault) => Status::from(fault).into_http(),
        }
    }

    async fn rest(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        if let Err(fault) = auth::check(request.headers(), self.key) {
            return rest::refuse(&fault);
        }
        let (head, body) = request.into_parts();
        match http::read_body(body, &self.bodies).await {
            Ok(body) if body.bytes.len() <= MAX_MESSAGE_BYTES => {
                rest::answer(
                    &self.api,
                    client.ip(),
                    &head.method,
                    head.uri.path(),
                    body.bytes.clone(),
                )
                .await
            }
            _ => rest::refuse(&Fault::bad_request("Failed to read request body")),
        }
    }
}

/// A call over gRPC that fails before its answer begins says so in the head.
fn went_well(response: &Response<Body>) -> bool {
    let status = response.headers().get("grpc-status");
    response.status().is_success() && status.is_none_or(|status| status.as_bytes() == b"0")
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|content_type| content_type.as_bytes().starts_with(b"application/grpc"))
}
