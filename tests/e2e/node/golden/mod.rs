//! Sections 1.2 to 1.5 as a table: what goes out and what has to come back, byte for byte, with the date masked.
//!
//! Where the specification leaves bytes open (the pages of FastAPI, answers to HTTP/1.0), a row is looser and says so.

mod fields;
mod lifecycle;
mod routes;
mod sockets;
mod texts;

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Answer, Https, Login};
use crate::harness::node::Node;
use crate::harness::panel::{Panel, request};
use crate::harness::visitor::End;
use crate::harness::*;
use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::golden")
        .once("before_a_panel_connects", routes::unconnected)
        .once("routes", routes::routes)
        .once("redirects", routes::redirects)
        .once("broken_http", routes::broken)
        .once("connections_are_kept", routes::kept)
        .once("pages_of_the_framework", routes::pages)
        .once("session_ids", fields::session_ids)
        .once("bodies", fields::bodies)
        .once("content_types", fields::content_types)
        .once("both_fields", fields::both_fields)
        .once("texts_of_the_json_decoder", texts::decoder)
        .once("start_stop_restart", lifecycle::launches)
        .once("wrong_shapes", lifecycle::shapes)
        .once("connect_and_disconnect", lifecycle::sessions)
        .once("websocket_refusals", sockets::refusals)
        .once("websocket_upgrades", sockets::upgrades)
        .done()
}

/// What happens to the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It serves the next request.
    Stays,
    /// It ends.
    Closes,
}

/// A row of the table. `{session}` in request and answer stands for the live session.
struct Row {
    name: String,
    request: Vec<u8>,
    answer: String,
    then: Then,
}

/// A row whose connection goes on.
fn row(name: &str, request: impl Into<Vec<u8>>, answer: String) -> Row {
    Row {
        name: name.to_owned(),
        request: request.into(),
        answer,
        then: Then::Stays,
    }
}

/// A row whose connection ends.
fn last(name: &str, request: impl Into<Vec<u8>>, answer: String) -> Row {
    Row {
        then: Then::Closes,
        ..row(name, request, answer)
    }
}

/// An answer with a JSON body.
fn json(status: &str, body: &str) -> String {
    with_type(status, "application/json", body)
}

fn with_type(status: &str, kind: &str, body: &str) -> String {
    // The live session is as long as any other.
    let length = body.replace("{session}", STRANGER).len();
    format!(
        "HTTP/1.1 {status}\r\ndate: {{date}}\r\nserver: uvicorn\r\ncontent-length: {length}\r\ncontent-type: {kind}\r\n\r\n{body}"
    )
}

const OK: &str = "200 OK";
const BAD: &str = "400 Bad Request";
const FORBIDDEN: &str = "403 Forbidden";
const UNPROCESSABLE: &str = "422 Unprocessable Entity";
const UNAVAILABLE: &str = "503 Service Unavailable";

/// A session that nobody has.
const STRANGER: &str = "00000000-0000-4000-8000-000000000000";

/// S of the specification.
fn state(connected: bool, started: bool) -> String {
    format!(r#"{{"connected":{connected},"started":{started},"core_version":"26.3.27"}}"#)
}

fn mismatch() -> String {
    json(FORBIDDEN, r#"{"detail":"Session ID mismatch."}"#)
}

fn not_found() -> String {
    json("404 Not Found", r#"{"detail":"Not Found"}"#)
}

/// Uncaught exceptions of the original.
fn internal_error() -> String {
    with_type(
        "500 Internal Server Error",
        "text/plain; charset=utf-8",
        "Internal Server Error",
    )
}

/// 422 for one field.
fn field(name: &str, message: &str) -> String {
    json(
        UNPROCESSABLE,
        &serde_json::json!({ "detail": { name: message } }).to_string(),
    )
}

/// A POST with a JSON body.
fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request(path, body.as_ref())
}

/// A request without a body and without its length.
fn bare(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: node.test\r\n\r\n").into_bytes()
}

/// A node with a panel, on which a table is tried.
struct Stage {
    node: Node,
    core: FakeCore,
    panel: Panel,
}

impl Stage {
    async fn new(scene: &Scene) -> Result<Self> {
        let (node, core) = Node::start(scene, NORMAL).await?;
        node.knows_version().await?;
        let panel = Panel::connect(&node).await?;
        Ok(Self { node, core, panel })
    }

    /// Tries all rows in their order, and fails with all that differ.
    async fn check(&self, rows: Vec<Row>) -> Result<()> {
        check(self.node.address, &self.panel.session, rows).await
    }
}

async fn check(address: SocketAddr, session: &str, rows: Vec<Row>) -> Result<()> {
    let login = Login::panel()?;
    let count = rows.len();
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(error) = try_row(address, &login, session, &row).await {
            wrong.push(format!("{}: {error:#}", row.name));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {count} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

async fn try_row(address: SocketAddr, login: &Login, session: &str, row: &Row) -> Result<()> {
    let mut connection = Https::open(address, login).await?;
    let answer = connection.ask(&fill(&row.request, session)).await?;
    let (expected, got) = (row.answer.replace("{session}", session), answer.masked()?);
    ensure!(
        got == expected,
        "the answer differs\n  wanted {expected:?}\n  got    {got:?}"
    );
    behind(&mut connection, row.then).await
}

/// Looks at the connection behind an answer.
async fn behind(connection: &mut Https, then: Then) -> Result<()> {
    if then == Then::Stays {
        let next = connection.ask(&post("/", "")).await;
        next.context("the next request on the connection")?.expect(200)?;
        return Ok(());
    }
    let (rest, end) = connection.end(SOON).await?;
    ensure!(end == End::Clean, "the connection was reset");
    ensure!(
        rest.is_empty(),
        "{:?} behind the answer",
        String::from_utf8_lossy(&rest)
    );
    Ok(())
}

/// Puts the session in its place. A session is as long as its place holder is not, so the length is written anew.
fn fill(request: &[u8], session: &str) -> Vec<u8> {
    let place = b"{session}";
    let mut filled = request.to_vec();
    while let Some(at) = filled.windows(place.len()).position(|window| window == place) {
        filled.splice(at..at + place.len(), session.bytes());
    }
    if filled.len() == request.len() {
        return filled;
    }
    let end = filled.windows(4).position(|window| window == b"\r\n\r\n");
    let (Some(end), grown) = (end, filled.len() - request.len()) else {
        return filled;
    };
    // Only what stands in the body counts, and the session stands nowhere else in these requests.
    let head = String::from_utf8_lossy(&filled[..end]).into_owned();
    let lines = head
        .split("\r\n")
        .map(|line| match line.strip_prefix("content-length: ") {
            Some(length) => format!("content-length: {}", length.parse().map_or(0, |n: usize| n + grown)),
            None => line.to_owned(),
        });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    [head.as_bytes(), &filled[end..]].concat()
}

/// For rows that are looser than bytes: status and body.
fn looks_like(answer: &Answer, status: u16, body: &str) -> Result<()> {
    ensure!(
        answer.status() == status && answer.text() == body,
        "wanted {status} {body:?}, got {:?} {:?}",
        answer.head,
        answer.text()
    );
    Ok(())
}
