//! The calls over REST: paths, protobuf bodies also with GET, and errors as Go's `http.Error` writes them
//! (`spec/node-panel.md`, 3.1, 3.2 and 4.2).

use super::answer::AtEnd;
use super::api::{Api, Chunks};
use super::fault::Fault;
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Response, StatusCode};
use kariz_proto::panel::{Backend, Empty, StatRequest, StatType, User, Users, UsersChunk};
use prost::Message;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tonic::body::Body;

/// A path's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Start,
    Stop,
    Info,
    Logs,
    Stats,
    StatsOf(StatType),
    Online,
    OnlineAddresses,
    BackendStats,
    SystemStats,
    Latencies,
    SyncUser,
    SyncUsers,
    SyncChunks,
}

const GET: &[Method] = &[Method::GET];
const PUT: &[Method] = &[Method::PUT];
const POST: &[Method] = &[Method::POST];
/// The Go node takes a PUT, but the panels' library up to 0.0.44 sends a POST.
const PUT_OR_POST: &[Method] = &[Method::PUT, Method::POST];

/// The call at a path, and the methods that it is called with.
fn call_at(path: &str) -> Option<(&'static [Method], Call)> {
    let get = |call| Some((GET, call));
    let put = |call| Some((PUT, call));
    match path {
        "/start" => Some((POST, Call::Start)),
        "/stop" => put(Call::Stop),
        "/info" => get(Call::Info),
        "/logs" => get(Call::Logs),
        "/stats" | "/stats/" => get(Call::Stats),
        "/stats/outbounds" => get(Call::StatsOf(StatType::Outbounds)),
        "/stats/outbound" => get(Call::StatsOf(StatType::Outbound)),
        "/stats/inbounds" => get(Call::StatsOf(StatType::Inbounds)),
        "/stats/inbound" => get(Call::StatsOf(StatType::Inbound)),
        "/stats/users" => get(Call::StatsOf(StatType::UsersStat)),
        "/stats/user" => get(Call::StatsOf(StatType::UserStat)),
        "/stats/user/online" => get(Call::Online),
        "/stats/user/online_ip" => get(Call::OnlineAddresses),
        "/stats/backend" => get(Call::BackendStats),
        "/stats/system" => get(Call::SystemStats),
        "/stats/latency" => get(Call::Latencies),
        "/user/sync" => put(Call::SyncUser),
        "/users/sync" => Some((PUT_OR_POST, Call::SyncUsers)),
        "/users/sync/chunked" => put(Call::SyncChunks),
        _ => None,
    }
}

/// Answers a request whose key has been looked at.
pub(super) async fn answer(api: &Api, panel: IpAddr, method: &Method, path: &str, body: Bytes) -> Response<Body> {
    let Some((methods, call)) = call_at(path) else {
        return refuse(&Fault::not_found());
    };
    if !methods.contains(method) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        for method in methods
            .iter()
            .filter_map(|method| HeaderValue::from_str(method.as_str()).ok())
        {
            response.headers_mut().append(ALLOW, method);
        }
        return response;
    }
    let answer = match call {
        Call::Logs => log_stream(api),
        Call::Stats | Call::StatsOf(_) => counted(api, call, body).await,
        _ => message(api, panel, call, body).await.map(protobuf),
    };
    answer.unwrap_or_else(|fault| refuse(&fault))
}

/// Whether this is one of the calls, with its method.
pub(super) fn is_call(method: &Method, path: &str) -> bool {
    call_at(path).is_some_and(|(methods, _)| methods.contains(method))
}

async fn counted(api: &Api, call: Call, body: Bytes) -> Result<Response<Body>, Fault> {
    let request = in_backend::<StatRequest>(api, body)?;
    let (stats, owed) = match call {
        Call::StatsOf(kind) => api.stats_of_kind(kind, &request).await?,
        _ => api.stats(&request).await?,
    };
    let mut response = protobuf(encoded(&stats));
    response.extensions_mut().insert(AtEnd::Delivered(owed));
    Ok(response)
}

async fn message(api: &Api, panel: IpAddr, call: Call, body: Bytes) -> Result<Bytes, Fault> {
    Ok(match call {
        Call::Start => {
            let backend = Backend::decode(body).map_err(|error| Fault::undecodable_start(api.generation, error))?;
            encoded(&api.start(backend, panel).await?)
        }
        Call::Stop => done(api.stop().await)?,
        Call::Info => encoded(&api.info().await),
        Call::Online => encoded(&api.online(in_backend(api, body)?).await?),
        Call::OnlineAddresses => encoded(&api.online_addresses(in_backend(api, body)?).await?),
        Call::BackendStats => encoded(&api.backend_stats().await?),
        Call::SystemStats => encoded(&api.system_stats()?),
        Call::Latencies => encoded(&api.latencies(in_backend(api, body)?).await?),
        Call::SyncUser => {
            let user = api.known(in_backend::<User>(api, body)?)?;
            done(api.update(user.into_iter().collect()).await)?
        }
        Call::SyncUsers => done(api.sync_users(in_backend::<Users>(api, body)?).await)?,
        Call::SyncChunks => {
            api.exists()?;
            done(api.sync_chunks(chunks(body)?).await)?
        }
        // They have answers of their own.
        Call::Logs | Call::Stats | Call::StatsOf(_) => Bytes::new(),
    })
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn done(outcome: Result<(), Fault>) -> Result<Bytes, Fault> {
    outcome.map(|()| encoded(&Empty {}))
}

fn read<M: Message + Default>(body: Bytes) -> Result<M, Fault> {
    M::decode(body).map_err(Fault::undecodable)
}

/// The same, of a call that needs a backend: that is looked at first.
fn in_backend<M: Message + Default>(api: &Api, body: Bytes) -> Result<M, Fault> {
    api.exists()?;
    read(body)
}

/// Messages one after the other, each with its length before it, up to the last chunk.
pub(super) fn chunks(mut body: Bytes) -> Result<Chunks, Fault> {
    let mut all = Chunks::default();
    while body.has_remaining() {
        let chunk = UsersChunk::decode_length_delimited(&mut body).map_err(Fault::undecodable)?;
        if all.add(chunk)? {
            break;
        }
    }
    Ok(all)
}

/// Lines with a line feed behind each, for as long as the reader stays.
fn log_stream(api: &Api) -> Result<Response<Body>, Fault> {
    let frame = |line: Arc<str>| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{line}\n"))));
    let mut response = Response::new(Body::new(StreamBody::new(api.logs()?.map(frame))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.extensions_mut().insert(AtEnd::Touch(api.live.clone()));
    Ok(response)
}

fn protobuf(message: Bytes) -> Response<Body> {
    let mut response = plain(StatusCode::OK, message);
    let kind = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An error as Go's `http.Error` writes it.
pub(super) fn refuse(fault: &Fault) -> Response<Body> {
    let mut response = plain(fault.status, format!("{}\n", fault.text).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn plain(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response
}
