//! Section 1.4: start, stop, restart, connect, as bytes. Their timing is looked at elsewhere.

use super::*;
use crate::harness::panel::CONFIG;
use serde_json::json as value;

/// A `/start` or `/restart` with the live session.
fn launch(path: &str, config: &str) -> Vec<u8> {
    post(
        path,
        value!({ "session_id": "{session}", "config": config }).to_string(),
    )
}

pub(super) async fn launches(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let session = r#"{"session_id":"{session}"}"#;
    let [running, resting] = [true, false].map(|started| json(OK, &state(true, started)));
    let detail = |text: &str| json(UNAVAILABLE, &value!({ "detail": text }).to_string());
    stage
        .check(vec![
            row("/start", launch("/start", CONFIG), running.clone()),
            row("/ while it runs", post("/", ""), running.clone()),
            row(
                "/start again",
                launch("/start", CONFIG),
                detail("Xray is started already"),
            ),
            row(
                "/start again with something odd",
                launch("/start", r#"{"log":null}"#),
                detail("Xray is started already"),
            ),
            row("/restart", launch("/restart", CONFIG), running.clone()),
            row("/stop", post("/stop", session), resting.clone()),
            row("/stop again", post("/stop", session), resting.clone()),
            row("/ when it rests", post("/", ""), resting.clone()),
            row("/restart when it rests", launch("/restart", CONFIG), running.clone()),
            row("/stop before the next", post("/stop", session), resting.clone()),
            row(
                "an exception",
                launch("/start", r#"{"log":null}"#),
                detail("'NoneType' object has no attribute 'get'"),
            ),
            row("nothing runs behind an exception", post("/", ""), resting.clone()),
        ])
        .await?;
    stage
        .core
        .script("say:First words;say:Failed to start: the line that counts;say:  ;exit:23")?;
    let failed = detail("Failed to start: the line that counts");
    stage
        .check(vec![
            row("/start of a core that fails", launch("/start", CONFIG), failed.clone()),
            row("/restart of a core that fails", launch("/restart", CONFIG), failed),
            row("nothing runs behind it", post("/", ""), resting.clone()),
        ])
        .await?;
    // Lines are stripped, and what is no ASCII stays as it is.
    stage.core.script("say:  \tnaïve – 配置  ;exit:1")?;
    let stripped = json(UNAVAILABLE, r#"{"detail":"naïve – 配置"}"#);
    stage
        .check(vec![row(
            "a line with more than ASCII",
            launch("/start", CONFIG),
            stripped,
        )])
        .await?;
    stage.core.script(NORMAL)?;
    stage
        .check(vec![
            row(
                "a failed restart leaves nothing",
                launch("/start", CONFIG),
                running.clone(),
            ),
            row("/disconnect", post("/disconnect", ""), json(OK, &state(false, false))),
            row("/ behind it", post("/", ""), json(OK, &state(false, false))),
        ])
        .await
}

pub(super) async fn shapes(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let mut rows = Vec::new();
    for config in [
        "5",
        "-1.5",
        "\"x\"",
        "null",
        "true",
        r#"{"inbounds":null}"#,
        r#"{"inbounds":5}"#,
        r#"{"inbounds":{}}"#,
        r#"{"inbounds":[5]}"#,
        r#"{"inbounds":[null]}"#,
        r#"{"routing":null}"#,
        r#"{"routing":{"rules":null}}"#,
    ] {
        rows.push(last(config, launch("/start", config), internal_error()));
        rows.push(last(
            &format!("restart {config}"),
            launch("/restart", config),
            internal_error(),
        ));
    }
    rows.push(row("nothing runs", post("/", ""), json(OK, &state(true, false))));
    let stop = post("/stop", r#"{"session_id":"{session}"}"#);
    for config in ["[]", r#"[["a",1]]"#, "{}"] {
        rows.push(row(
            &format!("{config} is taken"),
            launch("/start", config),
            json(OK, &state(true, true)),
        ));
        rows.push(row("it stops", stop.clone(), json(OK, &state(true, false))));
    }
    stage.check(rows).await
}

pub(super) async fn sessions(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    node.knows_version().await?;
    let login = Login::panel()?;
    let mut sessions = Vec::new();
    for (number, body) in ["", "{}", "{bad", r#"{"session_id":null}"#].into_iter().enumerate() {
        let mut connection = Https::open(node.address, &login).await?;
        let answer = connection.ask(&post("/connect", body)).await?;
        let parsed = answer.json()?;
        let session = parsed["session_id"].as_str().context("a session")?.to_owned();
        // From the third on a core runs: it is stopped, and the answer says so already.
        let expected = state(true, false).replace('}', &format!(r#","session_id":"{session}"}}"#));
        let got = answer.masked()?;
        ensure!(
            got == json(OK, &expected),
            "/connect number {number} with {body:?}: {got:?}"
        );
        is_uuid4(&session)?;
        if let Some(old) = sessions.last() {
            let old: &String = old;
            let refused = connection
                .ask(&fill(&post("/ping", r#"{"session_id":"{session}"}"#), old))
                .await?;
            ensure!(refused.masked()? == mismatch(), "the old session is still good");
        }
        if number > 0 {
            let start = connection.ask(&fill(&launch("/start", CONFIG), &session)).await?;
            ensure!(start.masked()? == json(OK, &state(true, true)), "{start:?}");
        }
        sessions.push(session);
    }
    sessions.dedup();
    ensure!(sessions.len() == 4, "a session was given twice");
    let rows = vec![
        row(
            "/disconnect with a body that is none",
            post("/disconnect", "{bad"),
            json(OK, &state(false, false)),
        ),
        row(
            "the session is over",
            post("/ping", r#"{"session_id":"{session}"}"#),
            mismatch(),
        ),
        row(
            "/disconnect again",
            bare("POST", "/disconnect"),
            json(OK, &state(false, false)),
        ),
    ];
    check(node.address, &sessions[3], rows).await
}

fn is_uuid4(text: &str) -> Result<()> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let plain = text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-'));
    let version = text.as_bytes().get(14) == Some(&b'4');
    let variant = text.as_bytes().get(19).is_some_and(|c| b"89ab".contains(c));
    ensure!(
        groups == [8, 4, 4, 4, 12] && plain && version && variant,
        "{text} is no random UUID"
    );
    Ok(())
}
