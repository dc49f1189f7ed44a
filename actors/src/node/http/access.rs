//! The access log: one line for each request, in the original's form.

use hyper::{Method, StatusCode, Version};
use std::net::SocketAddr;

/// The `tracing` target of the lines that say which requests came: the original writes them to standard output.
pub const ACCESS_LOG: &str = "access";

/// Logs `ip:port - "POST /start HTTP/1.1" 200 OK`. `target` is the request's target as it was sent.
pub(crate) fn log(client: SocketAddr, method: &Method, target: &str, version: Version, status: StatusCode) {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    tracing::info!(target: ACCESS_LOG, "{client} - \"{method} {target} HTTP/{version}\" {code} {reason}");
}
