//! Calls of Gozargah and PasarGuard panels with every byte in the test's hand: over gRPC and over REST, whatever the handshake
//! offers.

use super::https::{Https, Login};
use super::wait::within;
use super::{Context, IpAddr, Result, SOON, SocketAddr, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// How a call goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// gRPC over HTTP/2.
    Grpc,
    /// REST over HTTP/1.1.
    Rest,
    /// REST over HTTP/2.
    RestOverHttp2,
}

/// A call, with its name over gRPC and its method and path over REST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(pub &'static str, pub &'static str, pub &'static str);

/// Calls that tests make.
pub const START: Call = Call("Start", "POST", "/start");
pub const STOP: Call = Call("Stop", "PUT", "/stop");
pub const INFO: Call = Call("GetBaseInfo", "GET", "/info");
pub const LOGS: Call = Call("GetLogs", "GET", "/logs");
pub const STATS: Call = Call("GetStats", "GET", "/stats");
pub const USER_STATS: Call = Call("GetUserStats", "GET", "/stats/user");
pub const USERS_STATS: Call = Call("GetUsersStats", "GET", "/stats/users");
pub const INBOUND_STATS: Call = Call("GetInboundStats", "GET", "/stats/inbound");
pub const INBOUNDS_STATS: Call = Call("GetInboundsStats", "GET", "/stats/inbounds");
pub const OUTBOUND_STATS: Call = Call("GetOutboundStats", "GET", "/stats/outbound");
pub const OUTBOUNDS_STATS: Call = Call("GetOutboundsStats", "GET", "/stats/outbounds");
pub const ONLINE: Call = Call("GetUserOnlineStats", "GET", "/stats/user/online");
pub const ONLINE_ADDRESSES: Call = Call("GetUserOnlineIpListStats", "GET", "/stats/user/online_ip");
pub const BACKEND_STATS: Call = Call("GetBackendStats", "GET", "/stats/backend");
pub const SYSTEM_STATS: Call = Call("GetSystemStats", "GET", "/stats/system");
pub const LATENCIES: Call = Call("GetOutboundsLatency", "GET", "/stats/latency");
pub const SYNC_USER: Call = Call("SyncUser", "PUT", "/user/sync");
pub const SYNC_USERS: Call = Call("SyncUsers", "PUT", "/users/sync");
pub const SYNC_CHUNKS: Call = Call("SyncUsersChunked", "PUT", "/users/sync/chunked");
pub const NO_SUCH_CALL: Call = Call("NoSuchCall", "GET", "/nope");

/// Who calls, and how.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The node.
    pub address: SocketAddr,
    /// What the handshake offers.
    pub login: Login,
    /// How calls go out.
    pub wire: Wire,
    /// Where calls come from, if it matters.
    pub source: Option<IpAddr>,
    /// Headers that every call has.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status of HTTP, or gRPC's code.
    pub code: u16,
    /// What an error says.
    pub text: String,
    /// The message of an answer that is no error.
    pub message: Bytes,
    /// The answer's first headers.
    pub headers: HeaderMap,
}

impl Caller {
    /// The same with one more header.
    pub fn with(&self, name: &'static str, value: impl ToString) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name, value.to_string()));
        caller
    }

    /// The same over another wire.
    pub fn over(&self, wire: Wire) -> Self {
        Self { wire, ..self.clone() }
    }

    /// Makes a call on a connection of its own.
    pub async fn call(&self, call: Call, message: &impl Message) -> Result<Outcome> {
        self.answered(call, self.request(call, message)?).await
    }

    /// The same with any number of messages, one after the other. Over REST each has its length before it.
    pub async fn call_with_all<M: Message>(&self, call: Call, messages: &[M]) -> Result<Outcome> {
        let body = match self.wire {
            Wire::Grpc => messages.iter().map(framed).collect::<Result<Vec<_>>>()?.concat(),
            Wire::Rest | Wire::RestOverHttp2 => messages.iter().flat_map(M::encode_length_delimited_to_vec).collect(),
        };
        self.answered(call, self.request_with(call, body)?).await
    }

    async fn answered(&self, call: Call, request: Request<Full<Bytes>>) -> Result<Outcome> {
        let what = format!("{call:?} over {:?}", self.wire);
        let answered = within(SOON, &what, async {
            let (response, _driver) = self.send_request(request).await?;
            self.outcome(response).await
        });
        answered.await?.with_context(|| what)
    }

    /// Makes a call that goes well.
    pub async fn ok<M: Message + Default>(&self, call: Call, message: &impl Message) -> Result<M> {
        let outcome = self.call(call, message).await?;
        ensure!(outcome.is_ok(), "{call:?} over {:?}: {outcome:?}", self.wire);
        Ok(M::decode(outcome.message)?)
    }

    /// Sends a call, and after some time, in which no answer may come, resets the connection.
    pub async fn break_off(&self, call: Call, message: &impl Message, after: Duration) -> Result<()> {
        let request = self.request(call, message)?;
        let stream = self.open().await?.into_stream()?;
        stream.get_ref().0.set_zero_linger()?;
        let io = TokioIo::new(stream);
        let answered = match self.wire {
            Wire::Rest => {
                let (mut sender, connection) = http1::handshake(io).await?;
                let sent = sender.send_request(request);
                tokio::time::timeout(after, first(connection, sent)).await
            }
            Wire::Grpc | Wire::RestOverHttp2 => {
                let tasks = Tasks::default();
                let (mut sender, connection) = http2::handshake(tasks.clone(), io).await?;
                let sent = sender.send_request(request);
                let answered = tokio::time::timeout(after, first(connection, sent)).await;
                tasks.end().await;
                answered
            }
        };
        ensure!(
            answered.is_err(),
            "{call:?} over {:?} came to an end by itself",
            self.wire
        );
        Ok(())
    }

    /// Sends a call; the answer's head, and what has to be kept until its body has been read.
    pub async fn send(&self, call: Call, message: &impl Message) -> Result<(Response<Incoming>, Driver)> {
        self.send_request(self.request(call, message)?).await
    }

    async fn send_request(&self, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Driver)> {
        let stream = self.open().await?.into_stream()?;
        let io = TokioIo::new(stream);
        Ok(match self.wire {
            Wire::Rest => {
                let (mut sender, connection) = http1::handshake(io).await?;
                let driver = Driver(tokio::spawn(async { drop(connection.await) }));
                (sender.send_request(request).await?, driver)
            }
            Wire::Grpc | Wire::RestOverHttp2 => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                let driver = Driver(tokio::spawn(async { drop(connection.await) }));
                (sender.send_request(request).await?, driver)
            }
        })
    }

    async fn open(&self) -> Result<Https> {
        match self.source {
            Some(source) => Https::open_from(source, self.address, &self.login).await,
            None => Https::open(self.address, &self.login).await,
        }
    }

    fn request(&self, call: Call, message: &impl Message) -> Result<Request<Full<Bytes>>> {
        let body = match self.wire {
            Wire::Grpc => framed(message)?,
            Wire::Rest | Wire::RestOverHttp2 => message.encode_to_vec(),
        };
        self.request_with(call, body)
    }

    fn request_with(&self, Call(name, method, path): Call, body: Vec<u8>) -> Result<Request<Full<Bytes>>> {
        let builder = Request::builder();
        let host = self.address.to_string();
        let mut builder = match self.wire {
            Wire::Grpc => {
                let uri = format!("https://{host}/service.NodeService/{name}");
                let builder = builder.method("POST").uri(uri).header("te", "trailers");
                builder.header("content-type", "application/grpc")
            }
            Wire::Rest => builder.method(method).uri(path).header("host", host),
            Wire::RestOverHttp2 => builder.method(method).uri(format!("https://{host}{path}")),
        };
        if self.wire != Wire::Grpc && !self.headers.iter().any(|(name, _)| *name == "content-type") {
            builder = builder.header("content-type", "application/x-protobuf");
        }
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        Ok(builder.body(Full::new(body.into()))?)
    }

    async fn outcome(&self, response: Response<Incoming>) -> Result<Outcome> {
        let (head, body) = response.into_parts();
        let whole = body.collect().await?;
        let trailers = whole.trailers().cloned().unwrap_or_default();
        let body = whole.to_bytes();
        let status = head.status.as_u16();
        if self.wire != Wire::Grpc {
            let is_ok = head.status.is_success();
            return Ok(Outcome {
                code: status,
                text: if is_ok {
                    String::new()
                } else {
                    String::from_utf8_lossy(&body).into_owned()
                },
                message: if is_ok { body } else { Bytes::new() },
                headers: head.headers,
            });
        }
        ensure!(status == 200, "gRPC has its own codes, HTTP said {status}");
        let told = |name: &str| trailers.get(name).or(head.headers.get(name));
        let code = told("grpc-status").context("there is a code")?.to_str()?.parse()?;
        let text = told("grpc-message")
            .map(|text| text.to_str())
            .transpose()?
            .unwrap_or_default();
        Ok(Outcome {
            code,
            text: percent_decode_str(text).decode_utf8()?.into_owned(),
            message: if body.len() > 5 { body.slice(5..) } else { Bytes::new() },
            headers: head.headers,
        })
    }
}

impl Outcome {
    /// Whether it went well, on either wire.
    pub fn is_ok(&self) -> bool {
        matches!(self.code, 0 | 200)
    }

    /// Code and text, the latter without the line feed that REST has behind it.
    pub fn told(&self) -> (u16, &str) {
        (self.code, self.text.strip_suffix('\n').unwrap_or(&self.text))
    }
}

/// A message as gRPC has it: not compressed, and with its length before it.
fn framed(message: &impl Message) -> Result<Vec<u8>> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[0], &length[..], &message].concat())
}

/// Drives a connection until there is an answer, or the connection has ended without one.
async fn first(connection: impl Future, answer: impl Future) {
    tokio::select! {
        _ = connection => {}
        _ = answer => {}
    }
}

/// The tasks that a connection of HTTP/2 has of its own, and that would outlive it.
#[derive(Debug, Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Returns when all of them are gone, and the connection with them.
    async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().expect("no test panicked with it"));
        tasks.shutdown().await;
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().expect("no test panicked with it");
        tasks.spawn(async { drop(task.await) });
    }
}

/// Drives a connection for as long as it is there.
#[derive(Debug)]
pub struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
