//! How fast the core's outbounds reach the world, as its observatory measures (`spec/node-panel.md`, 4.4). The core tells it over
//! HTTP on this machine, with its other metrics.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kariz_proto::panel::Latency;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the core may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer: some hundred bytes for each outbound, and what the core says of its memory.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// What the answer is called in the panels' messages.
const SOURCE: &str = "xray-observatory";

/// Why there are no latencies.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// The configuration has no observatory, or it has seen nothing yet. In the Go node's words.
    #[error("xray outbound latency is not available")]
    NotMeasured,
    /// The core did not answer in time.
    #[error("the core's metrics: no answer within {TIMEOUT:?}")]
    TimedOut,
    /// The connection to the core failed.
    #[error("the core's metrics: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// It answered something else.
    #[error("the core's metrics: status {0}")]
    Refused(StatusCode),
}

/// What the core says of itself, as far as it is read here.
#[derive(Deserialize)]
struct Metrics {
    /// By outbound. `null` where there is no observatory.
    #[serde(default)]
    observatory: Option<BTreeMap<String, Seen>>,
}

/// What the observatory has seen of an outbound. The core leaves out what is zero.
#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    alive: bool,
    /// Milliseconds.
    #[serde(default)]
    delay: i64,
    #[serde(default)]
    outbound_tag: String,
    /// Seconds since 1970, this and the next one.
    #[serde(default)]
    last_seen_time: i64,
    #[serde(default)]
    last_try_time: i64,
}

/// What the observatory of the core has seen whose metrics are at `port`: of all outbounds, or of the one called `name`.
///
/// # Errors
/// See [`Unavailable`].
pub(super) async fn of_outbounds(port: u16, name: &str) -> Result<Vec<Latency>, Unavailable> {
    let answer = timeout(TIMEOUT, get(port)).await.map_err(|_| Unavailable::TimedOut)??;
    read(&answer, name)
}

async fn get(port: u16) -> Result<Bytes, Unavailable> {
    let broken = |error: hyper::Error| Unavailable::Broken(error.into());
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    let stream = stream.map_err(|error| Unavailable::Broken(error.into()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = hyper::Uri::from_static("/debug/vars");
    let host = hyper::header::HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {
                let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
                Ok(body.map_err(Unavailable::Broken)?.to_bytes())
            }
            status => Err(Unavailable::Refused(status)),
        }
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It ends with the answer, or before it, and then the answer says why.
        _ = connection => answer.await,
    }
}

fn read(answer: &[u8], name: &str) -> Result<Vec<Latency>, Unavailable> {
    let metrics: Metrics = serde_json::from_slice(answer).map_err(|error| Unavailable::Broken(error.into()))?;
    let seen = metrics.observatory.unwrap_or_default();
    if seen.is_empty() {
        return Err(Unavailable::NotMeasured);
    }
    let named = seen.into_iter().map(|(tag, seen)| Latency {
        name: if seen.outbound_tag.is_empty() {
            tag
        } else {
            seen.outbound_tag
        },
        alive: seen.alive,
        delay: seen.delay,
        last_seen_time: seen.last_seen_time,
        last_try_time: seen.last_try_time,
        source: SOURCE.to_owned(),
        ..Latency::default()
    });
    Ok(named
        .filter(|latency| name.is_empty() || latency.name == name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"cmdline": [], "observatory": {
        "out": {"alive": true, "delay": 12, "outbound_tag": "out", "last_seen_time": 5, "last_try_time": 6},
        "dead": {"delay": 99999999, "outbound_tag": "dead", "last_try_time": 7}}}"#;

    #[test]
    fn an_outbound_is_what_the_observatory_saw() {
        let all = read(ANSWER.as_bytes(), "").unwrap();
        let names: Vec<_> = all.iter().map(|latency| (&*latency.name, latency.alive)).collect();
        assert_eq!(names, [("dead", false), ("out", true)]);
        let [out] = &read(ANSWER.as_bytes(), "out").unwrap()[..] else {
            panic!()
        };
        assert_eq!((out.delay, out.last_seen_time, out.last_try_time), (12, 5, 6));
        assert_eq!(out.source, "xray-observatory");
        assert!(read(ANSWER.as_bytes(), "x").unwrap().is_empty());
    }

    #[test]
    fn without_an_observatory_nothing_is_measured() {
        for answer in [r#"{"observatory": null}"#, "{}", r#"{"observatory": {}}"#] {
            let refused = read(answer.as_bytes(), "").unwrap_err();
            assert_eq!(refused.to_string(), "xray outbound latency is not available");
        }
        assert!(matches!(read(b"[", ""), Err(Unavailable::Broken(_))));
    }
}
