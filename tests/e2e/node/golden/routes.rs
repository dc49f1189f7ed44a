//! Section 1.2: paths, methods, redirects, and what is not HTTP.

use super::*;

pub(super) async fn unconnected(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    node.knows_version().await?;
    let anybody = format!(r#"{{"session_id":"{STRANGER}"}}"#);
    let start = format!(r#"{{"session_id":"{STRANGER}","config":"{{}}"}}"#);
    let rows = vec![
        row(
            "/ says that nobody is connected",
            post("/", ""),
            json(OK, &state(false, false)),
        ),
        row(
            "/disconnect needs no session",
            post("/disconnect", ""),
            json(OK, &state(false, false)),
        ),
        row("/ping by anybody", post("/ping", &anybody), mismatch()),
        row("/stop by anybody", post("/stop", &anybody), mismatch()),
        row("/start by anybody", post("/start", &start), mismatch()),
        row("/restart by anybody", post("/restart", &start), mismatch()),
        row(
            "fields are looked at first",
            post("/ping", "{}"),
            field("session_id", "Field required"),
        ),
    ];
    check(node.address, "", rows).await
}

pub(super) async fn routes(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let connected = json(OK, &state(true, false));
    let session = r#"{"session_id":"{session}"}"#;
    let mut rows = vec![
        row("/", post("/", "{}"), connected.clone()),
        row("/ without a body", bare("POST", "/"), connected.clone()),
        row("/ with a malformed body", post("/", "{bad"), connected.clone()),
        row(
            "/ with bytes that are no UTF-8",
            post("/", b"\xff\xfe"),
            connected.clone(),
        ),
        row("/ with a query", post("/?a=1", ""), connected.clone()),
        row("/ping", post("/ping", session), json(OK, "{}")),
        row("/%70ing", post("/%70ing", session), json(OK, "{}")),
        row("/ping with a query", post("/ping?x", session), json(OK, "{}")),
        row("/stop without a core", post("/stop", session), connected),
        row("/nope", post("/nope", "{}"), not_found()),
        row("//ping", post("//ping", session), not_found()),
        row("GET /logs", bare("GET", "/logs"), not_found()),
        row("POST /logs", post("/logs", "{}"), not_found()),
        row("GET /nope", bare("GET", "/nope"), not_found()),
    ];
    let paths = ["/", "/connect", "/disconnect", "/ping", "/start", "/stop", "/restart"];
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"] {
        rows.extend(paths.map(|path| row(&format!("{method} {path}"), bare(method, path), only_post(method))));
    }
    stage.check(rows).await
}

fn only_post(method: &str) -> String {
    let body = r#"{"detail":"Method Not Allowed"}"#;
    let answer = json("405 Method Not Allowed", body).replacen("content-length", "allow: POST\r\ncontent-length", 1);
    match method {
        "HEAD" => answer.replace(body, ""),
        _ => answer,
    }
}

pub(super) async fn redirects(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let to = |url: &str| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\ndate: {{date}}\r\nserver: uvicorn\r\ncontent-length: 0\r\nlocation: {url}\r\n\r\n"
        )
    };
    let session = r#"{"session_id":"{session}"}"#;
    let rows = vec![
        row("/ping/", post("/ping/", session), to("https://node.test/ping")),
        row("/connect/", post("/connect/", ""), to("https://node.test/connect")),
        row("/start/", post("/start/", "{}"), to("https://node.test/start")),
        row(
            "a query is kept",
            post("/ping/?a=1&b=2", session),
            to("https://node.test/ping?a=1&b=2"),
        ),
        row("GET, too", bare("GET", "/stop/"), to("https://node.test/stop")),
        row(
            "to the host as it was named, with its port",
            "POST /restart/ HTTP/1.1\r\nhost: 10.0.0.1:62050\r\ncontent-length: 0\r\n\r\n",
            to("https://10.0.0.1:62050/restart"),
        ),
        row("an unknown path is not redirected", post("/nope/", ""), not_found()),
    ];
    stage.check(rows).await
}

pub(super) async fn broken(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let refused = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n\
                   Invalid HTTP request received.";
    let requests: [(&str, &[u8]); 7] = [
        ("no HTTP at all", b"hello there\r\n\r\n"),
        (
            "HTTP/1.1 without a host",
            b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "a header without a colon",
            b"POST / HTTP/1.1\r\nhost: node.test\r\nnonsense\r\n\r\n",
        ),
        (
            "a blank in a header's name",
            b"POST / HTTP/1.1\r\nhost: node.test\r\na b: c\r\n\r\n",
        ),
        (
            "a length that is none",
            b"POST / HTTP/1.1\r\nhost: node.test\r\ncontent-length: x\r\n\r\n",
        ),
        ("binary bytes", b"\x00\x01\x02\x03\r\n\r\n"),
        ("a version that is none", b"POST / HTTP/x\r\nhost: node.test\r\n\r\n"),
    ];
    let rows = requests.map(|(name, request)| last(name, request, refused.to_owned()));
    stage.check(rows.into()).await
}

pub(super) async fn kept(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
    let ping = fill(&post("/ping", r#"{"session_id":"{session}"}"#), &stage.panel.session);
    for round in 0..50 {
        let answer = connection.ask(&ping).await.with_context(|| format!("round {round}"))?;
        ensure!(answer.masked()? == json(OK, "{}"), "round {round}: {answer:?}");
    }
    // Several at once are answered in their order.
    let three = [&ping[..], &bare("GET", "/"), &post("/", "")].concat();
    connection.send(&three).await?;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(connection.answer(false).await?.status());
    }
    ensure!(statuses == [200, 405, 200], "the answers are {statuses:?}");
    // A body in chunks is a body.
    let body = format!(r#"{{"session_id":"{}"}}"#, stage.panel.session);
    let (first, rest) = body.split_at(9);
    let chunks = format!(
        "{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
        first.len(),
        rest.len()
    );
    let head = "POST /ping HTTP/1.1\r\nhost: node.test\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = connection.ask(format!("{head}{chunks}").as_bytes()).await?;
    ensure!(answer.masked()? == json(OK, "{}"), "chunks: {answer:?}");
    // Whoever asks for it gets an end; and so does HTTP/1.0, which needs no host. How the header looks is open.
    let closing = "POST / HTTP/1.1\r\nhost: node.test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let old = "POST / HTTP/1.0\r\n\r\n";
    for request in [closing, old] {
        let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
        let answer = connection.ask(request.as_bytes()).await?;
        looks_like(&answer, 200, &state(true, false)).with_context(|| format!("{request:?}"))?;
        behind(&mut connection, Then::Closes)
            .await
            .with_context(|| format!("{request:?}"))?;
    }
    // The original closes after 5 s of silence, and panels lose requests by it: twice that has to be survived.
    tokio::time::sleep(secs(10)).await;
    connection
        .ask(&ping)
        .await
        .context("after 10 s of silence")?
        .expect(200)?;
    Ok(())
}

pub(super) async fn pages(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/redoc", "text/html"),
        ("/openapi.json", "application/json"),
    ] {
        let mut connection = Https::open(stage.node.address, stage.panel.login()).await?;
        let answer = connection.ask(&bare("GET", path)).await?.expect(200)?;
        let said = answer.header("content-type").unwrap_or_default();
        ensure!(said.starts_with(kind), "{path} is {said}");
        ensure!(!answer.body.is_empty(), "{path} is empty");
    }
    Ok(())
}
