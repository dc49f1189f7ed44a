//! The node as Marzban panels see it: seven endpoints and a log stream (`spec/node-marzban.md`, 1.2 to 1.5).

mod ascii;
mod fields;
mod fuzz;
mod logs;
mod pages;
mod prepare;
mod python_float;
mod python_json;
mod python_uuid;
mod read_json;
#[cfg(test)]
mod tests;
mod transform;

pub use fuzz::{fuzz_node_body, fuzz_node_config};

use self::fields::{Fields, Refused};
use self::logs::Follow;
use self::prepare::Unusable;
use super::core::{Mode, Outcome, Owner, TAKEN_OVER};
use super::gozargah::{Connection, Door};
use super::http::{self, Answer, BodyFault, Content, Head, Incoming};
use super::session::{Connect, Disconnect, NodeSession, StartCore, StopCore};
use super::state::{Session, State};
use super::stream::Stream;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use kameo::prelude::ActorRef;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// Bodies and configurations beyond this size are read on another thread: 30 MB of JSON take a second, and `/ping` does not
/// wait that long.
const LARGE_BYTES: usize = 64 << 10;

/// Large bodies that are read at a time; each may need several times its size.
const MAX_LARGE_AT_A_TIME: usize = 2;

/// Longest wait for the outcome of a start: the old core's end, the new one's first three seconds, and some more. Panels
/// give up after ten.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(8);

/// The answer to a panel that is not the one in control.
const SESSION_MISMATCH: &str = r#"{"detail":"Session ID mismatch."}"#;

/// Answers panels. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Panel {
    state: Arc<State>,
    session: ActorRef<NodeSession>,
    large: Arc<Semaphore>,
    bodies: http::BodyRoom,
    /// For panels of the other kind that show a certificate.
    door: Door,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    client: SocketAddr,
    local: SocketAddr,
}

/// The endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Status,
    Connect,
    Disconnect,
    Ping,
    Start,
    Stop,
    Restart,
}

impl Endpoint {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Status,
            "/connect" => Self::Connect,
            "/disconnect" => Self::Disconnect,
            "/ping" => Self::Ping,
            "/start" => Self::Start,
            "/stop" => Self::Stop,
            "/restart" => Self::Restart,
            _ => return None,
        })
    }
}

impl Panel {
    pub(crate) fn new(state: Arc<State>, session: ActorRef<NodeSession>, bodies: http::BodyRoom, door: Door) -> Self {
        Self {
            state,
            session,
            large: Arc::new(Semaphore::new(MAX_LARGE_AT_A_TIME)),
            bodies,
            door,
        }
    }

    /// Becomes true when the node ends.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.state.stopping()
    }

    /// Logs how much there is of everything that has a bound.
    pub(crate) fn log_gauges(&self) {
        let large = MAX_LARGE_AT_A_TIME - self.large.available_permits();
        tracing::info!(large, "bodies");
        self.door.log_gauges();
    }

    /// Serves one connection to its end. The stream comes back with everything written, and not ended, unless that has been done.
    pub(crate) async fn serve<IO>(&self, stream: IO, client: SocketAddr, local: SocketAddr) -> Option<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ends = Ends { client, local };
        let mut stream = Stream::new(stream);
        if self.door.takes_http2() && self.begins_with_http2(&mut stream).await {
            self.door.serve(stream, client, Arc::default()).await;
            return None;
        }
        let from = Connection {
            client,
            outgoing: stream.outgoing(),
            admitted: Arc::default(),
        };
        let respond = |request| self.respond(request, ends, from.clone());
        let over = http::serve(stream, self.stopping(), respond).await;
        Some(match over.upgrade {
            Some(follow) => logs::follow(over.stream, over.rest, follow, &self.state)
                .await
                .into_inner(),
            None => over.stream.into_inner(),
        })
    }

    /// Whether HTTP/2 is what comes first; `false` if nothing comes for as long as a connection may be idle.
    async fn begins_with_http2<IO: AsyncRead + Unpin>(&self, stream: &mut Stream<IO>) -> bool {
        let mut stopping = self.stopping();
        tokio::select! {
            looked = timeout(http::IDLE_TIMEOUT, stream.is_http2()) => matches!(looked, Ok(Ok(true))),
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }

    async fn respond(&self, request: Request<Incoming>, ends: Ends, from: Connection) -> Answer<Follow> {
        if self
            .door
            .takes(request.method(), request.uri().path(), request.headers())
        {
            return Answer::Foreign(self.door.respond(request, &from).await);
        }
        let Some(head) = Head::read(&request) else {
            return Answer::Invalid;
        };
        if head.is_websocket {
            return logs::open(&head, request.headers(), &self.state);
        }
        let (method, version) = (request.method().clone(), request.version());
        let target = request
            .uri()
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let answer = self.route(request, &head, ends).await;
        if let Answer::Respond(response) | Answer::RespondAndClose(response) = &answer {
            http::log(ends.client, &method, &target, version, response.status());
        }
        answer
    }

    async fn route(&self, request: Request<Incoming>, head: &Head, ends: Ends) -> Answer<Follow> {
        let Some(endpoint) = Endpoint::at(&head.path) else {
            return Answer::Respond(elsewhere(head, request.method(), ends));
        };
        if request.method() != Method::POST {
            return Answer::Respond(http::method_not_allowed("POST"));
        }
        let (parts, body) = request.into_parts();
        let body = match http::read_body(body, &self.bodies).await {
            Ok(body) => body,
            Err(BodyFault::Broken | BodyFault::Stalled) => return Answer::Invalid,
            Err(BodyFault::TooLarge) => {
                return Answer::RespondAndClose(detail(StatusCode::PAYLOAD_TOO_LARGE, "Content Too Large"));
            }
        };
        match self.handle(endpoint, &parts.headers, body.bytes.clone(), ends).await {
            Ok(response) => Answer::Respond(response),
            Err(Crash) => Answer::RespondAndClose(http::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                Content::Text,
                "Internal Server Error",
            )),
        }
    }

    async fn handle(
        &self,
        endpoint: Endpoint,
        headers: &HeaderMap,
        body: Bytes,
        ends: Ends,
    ) -> Result<Response<Bytes>, Crash> {
        let needs_config = match endpoint {
            Endpoint::Status => return Ok(self.status(None).await),
            Endpoint::Connect => {
                let panel = ends.client.ip();
                let id = self.session.ask(Connect { panel }).await.map_err(|_| Crash)?;
                return Ok(self.status(Some(id.0)).await);
            }
            Endpoint::Disconnect => {
                self.session.ask(Disconnect).await.map_err(|_| Crash)?;
                return Ok(self.status(None).await);
            }
            Endpoint::Ping | Endpoint::Stop => false,
            Endpoint::Start | Endpoint::Restart => true,
        };
        let content_type = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let size = body.len();
        let fields = move || fields::parse(content_type.as_deref(), &body, needs_config);
        let Fields { session_id, config } = match self.by_size(size, fields).await? {
            Ok(fields) => fields,
            Err(Refused::Unprocessable(body)) => return Ok(http::json(StatusCode::UNPROCESSABLE_ENTITY, body)),
            Err(Refused::BadRequest(body)) => return Ok(http::json(StatusCode::BAD_REQUEST, body)),
        };
        let Some(session) = self.state.session().filter(|session| session.id == session_id) else {
            return Ok(mismatch());
        };
        match endpoint {
            Endpoint::Start => self.start(session, Mode::Start, config.unwrap_or_default()).await,
            Endpoint::Restart => self.start(session, Mode::Restart, config.unwrap_or_default()).await,
            Endpoint::Stop => {
                let stop = StopCore { session: session_id };
                match self.session.ask(stop).await.map_err(|_| Crash)? {
                    true => Ok(self.status(None).await),
                    false => Ok(mismatch()),
                }
            }
            _ => Ok(http::json(StatusCode::OK, "{}")),
        }
    }

    async fn start(&self, session: Session, mode: Mode, config: String) -> Result<Response<Bytes>, Crash> {
        let state = self.state.clone();
        let size = config.len();
        let prepare = move || prepare::prepare(&config, &state.settings, session.panel);
        let config = match self.by_size(size, prepare).await? {
            Ok(config) => config,
            Err(Unusable::NoJson(body)) => return Ok(http::json(StatusCode::UNPROCESSABLE_ENTITY, body)),
            Err(Unusable::NotForTheCore(reason)) => return Ok(detail(StatusCode::SERVICE_UNAVAILABLE, &reason)),
            Err(Unusable::Misshapen(reason)) => {
                tracing::error!("the configuration cannot be used: {reason}");
                return Err(Crash);
            }
        };
        let (outcome, told) = oneshot::channel();
        let start = StartCore {
            session: session.id,
            mode,
            config,
            outcome,
        };
        if !self.session.ask(start).await.map_err(|_| Crash)? {
            return Ok(mismatch());
        }
        match timeout(OUTCOME_TIMEOUT, told).await {
            Ok(Ok(Outcome::Running)) => Ok(self.status(None).await),
            Ok(Ok(Outcome::AlreadyStarted)) => Ok(detail(StatusCode::SERVICE_UNAVAILABLE, "Xray is started already")),
            Ok(Ok(Outcome::TakenOver)) => Ok(detail(StatusCode::SERVICE_UNAVAILABLE, TAKEN_OVER)),
            Ok(Ok(Outcome::Failed(reason))) => Ok(detail(StatusCode::SERVICE_UNAVAILABLE, &reason)),
            Ok(Err(_)) => Err(Crash),
            Err(_) => Ok(detail(
                StatusCode::SERVICE_UNAVAILABLE,
                "The core that runs does not end, so that no other can be started",
            )),
        }
    }

    /// Runs `work` here if its input is small, else on another thread, a few at a time.
    async fn by_size<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crash> {
        if size <= LARGE_BYTES {
            return Ok(work());
        }
        let place = self.large.clone().acquire_owned().await.map_err(|_| Crash)?;
        // The place is the thread's: it works on when the one who asked has gone.
        let work = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Crash)
    }

    /// The body that most answers have; with the id of a session that has just begun.
    async fn status(&self, session: Option<Uuid>) -> Response<Bytes> {
        let version = self.state.core_version().await;
        let mut status = json!({
            "connected": self.state.session().is_some(),
            "started": self.state.is_started_for(Owner::Marzban),
            "core_version": version.as_deref(),
        });
        if let Some(session) = session {
            status["session_id"] = session.to_string().into();
        }
        http::json(StatusCode::OK, status.to_string())
    }
}

/// Something that the original does not catch: a 500, and the end of the connection.
#[derive(Debug)]
struct Crash;

fn detail(status: StatusCode, text: &str) -> Response<Bytes> {
    http::json(status, json!({ "detail": text }).to_string())
}

fn mismatch() -> Response<Bytes> {
    http::json(StatusCode::FORBIDDEN, SESSION_MISMATCH)
}

/// The answer for a path that is none of the endpoints'.
fn elsewhere(head: &Head, method: &Method, ends: Ends) -> Response<Bytes> {
    if let Some(page) = pages::at(&head.path) {
        return match *method {
            Method::GET | Method::HEAD => http::text(StatusCode::OK, page.content, page.body),
            _ => http::method_not_allowed("GET, HEAD"),
        };
    }
    let shorter = head.path.trim_end_matches('/');
    if shorter.len() < head.path.len() && (Endpoint::at(shorter).is_some() || pages::at(shorter).is_some()) {
        return http::redirect(&head.location(shorter, ends.local));
    }
    detail(StatusCode::NOT_FOUND, "Not Found")
}
