//! A connection of a panel: HTTP/2 or HTTP/1.1 by its first bytes (the REST client announces the one and speaks the other), then
//! gRPC or REST by the content type (`spec/node-panel.md`, Rules for us).

use super::answer::{AtEnd, noted};
use super::api::Api;
use super::auth::{Credential, Transport};
use super::backend::Backend;
use super::charged::charged;
use super::fault::Fault;
use super::generation::{Generation, MAX_MESSAGE_BYTES};
use super::grpc::Grpc;
use super::ledger::Ledger;
use super::live::Live;
use super::machine::Machine;
use super::rest;
use super::rpc::node::node_service_server::NodeServiceServer;
use crate::node::http;
use crate::node::settings::{Access, Protocols};
use crate::node::state::State;
use crate::node::stream::{Outgoing, Stream};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use kameo::actor::ActorRef;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};

/// Most calls under way on one connection.
const MAX_CALLS: u32 = 64;

/// Most calls under way, of all connections, that send users one message after the other. Each may hold a message in parts.
const MAX_USER_STREAMS: usize = 16;

/// How much a panel may send ahead of what has been read, in one call and in all calls of a connection. Small windows also mean
/// few frames, and a panel that streams a thousand users sends as many.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How often a connection of HTTP/2 is asked whether there is still somebody, and how long the answer may take: a call that is
/// under way holds its place until then.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The call that needs no session.
const START: [(&Method, &str); 2] = [(&Method::POST, "/service.NodeService/Start"), (&Method::POST, "/start")];

/// The calls whose requests are streams.
const USER_STREAMS: [&str; 2] = ["/service.NodeService/SyncUser", "/service.NodeService/SyncUsersChunked"];

/// Paths that Marzban panels know, too; G0's requests to them say what they are in their headers.
const SHARED_PATHS: [&str; 3] = ["/start", "/stop", "/logs"];

/// What the messages of REST are called.
const PROTOBUF: &[u8] = b"application/x-protobuf";

/// Where connections come in.
#[derive(Clone)]
pub(crate) struct Door {
    api: Api,
    credential: Credential,
    protocols: Protocols,
    bodies: http::BodyRoom,
    user_streams: Arc<Semaphore>,
}

/// Whose requests come in on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: SocketAddr,
    pub(crate) outgoing: Outgoing,
    /// Told with each request that shows what it has to.
    pub(crate) admitted: Arc<Notify>,
}

impl Door {
    /// Has to be called on a runtime: the machine is watched on it.
    pub(crate) fn new(
        state: Arc<State>,
        live: Live,
        ledger: Ledger,
        backend: ActorRef<Backend>,
        bodies: http::BodyRoom,
    ) -> Self {
        Self {
            credential: match state.settings.access {
                Access::Key(key) => Credential::Key(key),
                Access::Certificate => Credential::Session(live.clone()),
            },
            protocols: state.settings.protocols,
            api: Api {
                machine: Machine::watch(live.clone()),
                generation: Generation::of(&state.settings),
                state,
                live,
                backend,
                ledger,
            },
            bodies,
            user_streams: Arc::new(Semaphore::new(MAX_USER_STREAMS)),
        }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<IO>(&self, stream: Stream<IO>, client: SocketAddr, admitted: Arc<Notify>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(http::IDLE_TIMEOUT)
            .max_buf_size(http::MAX_HEAD_BYTES)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_CALLS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let door = self.clone();
        let from = Connection {
            client,
            outgoing: stream.outgoing(),
            admitted,
        };
        let respond = service_fn(move |request| {
            let (door, from) = (door.clone(), from.clone());
            async move { Ok::<_, Infallible>(door.respond(request, &from).await) }
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

    /// Whether a request of HTTP/1.1, at a port that Marzban panels use, too, is one of G0.
    pub(crate) fn takes(&self, method: &Method, path: &str, headers: &HeaderMap) -> bool {
        let is_protobuf = || headers.get(CONTENT_TYPE).is_some_and(|kind| is(kind, PROTOBUF));
        let says_so = || is_protobuf() || (path != "/start" && headers.contains_key(AUTHORIZATION));
        self.protocols != Protocols::Grpc && rest::is_call(method, path) && (!SHARED_PATHS.contains(&path) || says_so())
    }

    /// Whether HTTP/2 is spoken where Marzban panels come in, too: only with panels of this kind.
    pub(crate) fn takes_http2(&self) -> bool {
        self.protocols != Protocols::Rest
    }

    /// Logs how much there is of everything that has a bound.
    pub(crate) fn log_gauges(&self) {
        tracing::info!(
            body_bytes = self.bodies.taken(),
            user_streams = MAX_USER_STREAMS - self.user_streams.available_permits(),
            owed_counters = self.api.ledger.len(),
            log_bytes = self.api.state.logs.bytes(),
            "panels"
        );
    }

    /// Answers one request.
    pub(crate) async fn respond(&self, request: Request<Incoming>, from: &Connection) -> Response<Body> {
        let (method, version) = (request.method().clone(), request.version());
        let path = request.uri().path().to_owned();
        let transport = match is_grpc(&request) && self.protocols != Protocols::Rest {
            true => Transport::Grpc,
            false => Transport::Rest,
        };
        let mut response = match self.check(&request, from, transport) {
            Ok(()) => {
                from.admitted.notify_one();
                if self.api.generation.is_early() {
                    self.api.live.touch();
                }
                match transport {
                    Transport::Grpc => self.grpc(request, from).await,
                    Transport::Rest => self.rest(request, from).await,
                }
            }
            Err(fault) => refuse(fault, transport),
        };
        http::log(from.client, &method, &path, version, response.status());
        if let Some(status) = Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
            tracing::info!("{} {path}: {:?}: {}", from.client, status.code(), status.message());
        }
        match response.extensions_mut().remove::<AtEnd>() {
            Some(at_end) => {
                if !matches!(at_end, AtEnd::Touch(_)) {
                    self.api.live.touch();
                }
                response.map(|body| noted(body, at_end, from.outgoing.clone(), version))
            }
            None => {
                if went_well(&response) {
                    self.api.live.touch();
                }
                response
            }
        }
    }

    /// Whether a request may be answered.
    fn check(&self, request: &Request<Incoming>, from: &Connection, transport: Transport) -> Result<(), Fault> {
        let is_start = START.contains(&(request.method(), request.uri().path()));
        if is_start && !self.credential.is_for_starts() {
            return Ok(());
        }
        let client = from.client.ip();
        self.credential.check(request.headers(), client, transport)
    }

    async fn grpc(&self, request: Request<Incoming>, from: &Connection) -> Response<Body> {
        let calls = Grpc {
            api: self.api.clone(),
            panel: from.client.ip(),
        };
        let uri = request.uri().clone();
        let most = self.api.generation.message_bytes();
        let mut server = NodeServiceServer::new(calls)
            .max_decoding_message_size(most)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let Ok(response) = if USER_STREAMS.contains(&request.uri().path()) {
            let Ok(_place) = self.user_streams.try_acquire() else {
                return refuse(Fault::too_many_calls(), Transport::Grpc);
            };
            server.call(request).await
        } else {
            server.call(request.map(|body| charged(body, &self.bodies))).await
        };
        let in_words_of_go =
            |status: Status| Fault::too_large(&status).or_else(|| Fault::no_such_call(&status, uri.path()));
        match Status::from_header_map(response.headers()).and_then(in_words_of_go) {
            Some(status) => status.into_http(),
            None => response,
        }
    }

    async fn rest(&self, request: Request<Incoming>, from: &Connection) -> Response<Body> {
        if self.protocols == Protocols::Grpc {
            let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
            let kind = String::from_utf8_lossy(kind.unwrap_or_default()).into_owned();
            return rest::refuse(&Fault::only_grpc(&kind));
        }
        let (head, body) = request.into_parts();
        match http::read_body(body, &self.bodies).await {
            Ok(body) if body.bytes.len() <= MAX_MESSAGE_BYTES => {
                let (panel, path) = (from.client.ip(), head.uri.path());
                rest::answer(&self.api, panel, &head.method, path, body.bytes.clone()).await
            }
            _ => rest::refuse(&Fault::bad_request("Failed to read request body")),
        }
    }
}

fn refuse(fault: Fault, transport: Transport) -> Response<Body> {
    match transport {
        Transport::Grpc => Status::from(fault).into_http(),
        Transport::Rest => rest::refuse(&fault),
    }
}

/// Whether a content type is `kind`, whatever its parameters say.
fn is(content_type: &HeaderValue, kind: &[u8]) -> bool {
    let bytes = content_type.as_bytes();
    let name = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(kind)
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
