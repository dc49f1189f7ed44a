//! Section 1.3: the fields of a body, and what is said about wrong ones.

use super::*;
use serde_json::json as value;

const REQUIRED: &str = "Field required";
const NO_UUID: &str = "UUID input should be a string, bytes or UUID object";
const NO_STRING: &str = "Input should be a valid string";

pub(super) async fn session_ids(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let live = stage.panel.session.clone();
    let simple = live.replace('-', "");
    let mut rows = Vec::new();
    for spelling in [
        live.clone(),
        live.to_uppercase(),
        simple.clone(),
        simple.to_uppercase(),
        format!("{{{live}}}"),
        format!("urn:uuid:{live}"),
        format!("urn:uuid:{}", live.to_uppercase()),
    ] {
        let body = value!({ "session_id": spelling }).to_string();
        rows.push(row(
            &format!("{spelling:?} is the session"),
            post("/ping", body),
            json(OK, "{}"),
        ));
    }
    for other in [
        value!(5),
        value!(1.5),
        value!(true),
        value!(false),
        value!([]),
        value!([live]),
        value!({}),
    ] {
        let body = value!({ "session_id": other }).to_string();
        rows.push(row(&body, post("/ping", &body), field("session_id", NO_UUID)));
    }
    let character = |c: &str, at: u32| {
        format!(
            "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `{c}` at {at}"
        )
    };
    let length = |found: u32| format!("invalid length: expected length 32 for simple format, found {found}");
    let texts = [
        ("", length(0)),
        ("abc", length(3)),
        ("0123456789abcdef0123456789abcdef0", length(33)),
        ("x", character("x", 1)),
        ("12345678-z", character("z", 10)),
        ("é", character("é", 1)),
        (" 00000000-0000-4000-8000-000000000000", character(" ", 1)),
        ("URN:UUID:00000000-0000-4000-8000-000000000000", character("U", 1)),
        (
            "00000000-0000-4000-8000000000000000",
            "invalid group count: expected 5, found 4".to_owned(),
        ),
        (
            "00000000-0000-4000-8000-0000-00000000",
            "invalid group count: expected 5, found 6".to_owned(),
        ),
        (
            "00000000-0000-4000-8000-00000000000",
            "invalid group length in group 4: expected 12, found 11".to_owned(),
        ),
        (
            "0000000-0000-4000-8000-0000000000000",
            "invalid group length in group 0: expected 8, found 7".to_owned(),
        ),
    ];
    for (text, message) in texts {
        let body = value!({ "session_id": text }).to_string();
        let answer = field("session_id", &format!("Input should be a valid UUID, {message}"));
        rows.push(row(&format!("{text:?}"), post("/ping", body), answer));
    }
    let other = value!({ "session_id": STRANGER }).to_string();
    rows.push(row("somebody else's", post("/ping", &other), mismatch()));
    rows.push(row("somebody else's stop", post("/stop", &other), mismatch()));
    stage.check(rows).await
}

pub(super) async fn bodies(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let missing = || field("session_id", REQUIRED);
    let malformed = |at: &str| {
        json(
            UNPROCESSABLE,
            &value!({ "detail": { at: "JSON decode error" } }).to_string(),
        )
    };
    let no_utf8 = json(BAD, r#"{"detail":"There was an error parsing the body"}"#);
    let mut rows = vec![
        row("NaN is a value", post("/ping", "NaN"), missing()),
        row(
            "NaN as a session",
            post("/ping", r#"{"session_id":NaN}"#),
            field("session_id", NO_UUID),
        ),
        row(
            "a byte order mark",
            post("/ping", "\u{feff}{\"session_id\":\"{session}\"}"),
            json(OK, "{}"),
        ),
        row(
            "blanks around",
            post("/ping", " \r\n\t{\"session_id\" : \"{session}\"} \n"),
            json(OK, "{}"),
        ),
        row(
            "unknown keys",
            post("/ping", r#"{"a":[1],"session_id":"{session}","b":null}"#),
            json(OK, "{}"),
        ),
        row(
            "the last of two counts",
            post("/ping", r#"{"session_id":"x","session_id":"{session}"}"#),
            json(OK, "{}"),
        ),
        row(
            "the last of two counts against",
            post("/ping", r#"{"session_id":"{session}","session_id":5}"#),
            field("session_id", NO_UUID),
        ),
        row(
            "an escaped key",
            post("/ping", "{\"session\\u005fid\":\"{session}\"}"),
            json(OK, "{}"),
        ),
        row(
            "bytes that are no UTF-8",
            post("/ping", b"{\"session_id\":\"\xff\"}"),
            no_utf8.clone(),
        ),
        row("half of a character", post("/start", b"\xe2\x82"), no_utf8),
    ];
    for text in [
        "",
        "{}",
        r#"{"session_id":null}"#,
        "[]",
        r#""x""#,
        "5",
        "null",
        "true",
        "1.5",
        r#"{"Session_id":""}"#,
    ] {
        rows.push(row(&format!("{text:?} has no session"), post("/ping", text), missing()));
    }
    rows.push(row("no body and no length", no_length("/ping"), missing()));
    for (text, at) in [
        ("{bad", "1"),
        ("nul", "0"),
        ("{\"session_id\":1", "15"),
        ("{'session_id':1}", "1"),
        ("{\"a\":1}}", "7"),
        ("{\"a\":1,}", "7"),
        ("[1,]", "3"),
        ("{\"a\" 1}", "5"),
        ("\"abc", "0"),
        ("// x\n{}", "0"),
        ("   ", "3"),
        ("{\"ä\":\"😀\" x}", "9"),
    ] {
        rows.push(row(
            &format!("{text:?} is malformed"),
            post("/ping", text),
            malformed(at),
        ));
        rows.push(row(
            &format!("{text:?} is malformed, start"),
            post("/start", text),
            malformed(at),
        ));
    }
    stage.check(rows).await
}

fn no_length(path: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: node.test\r\ncontent-type: application/json\r\n\r\n").into_bytes()
}

pub(super) async fn content_types(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let with = |kind: &str, body: &str| {
        let header = if kind.is_empty() {
            String::new()
        } else {
            format!("content-type: {kind}\r\n")
        };
        format!(
            "POST /ping HTTP/1.1\r\nhost: node.test\r\n{header}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let body = r#"{"session_id":"{session}"}"#;
    let mut rows = Vec::new();
    for kind in [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "application/problem+json",
    ] {
        rows.push(row(&format!("{kind:?} is JSON"), with(kind, body), json(OK, "{}")));
    }
    for kind in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
    ] {
        let answer = field("session_id", REQUIRED);
        rows.push(row(&format!("{kind:?} is no JSON"), with(kind, body), answer.clone()));
        rows.push(row(&format!("{kind:?} is not parsed"), with(kind, "{bad"), answer));
    }
    stage.check(rows).await
}

pub(super) async fn both_fields(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let both = |session: &str, config: &str| {
        // Written by hand: the order of the entries is part of the contract.
        json(
            UNPROCESSABLE,
            &format!(r#"{{"detail":{{"session_id":"{session}","config":"{config}"}}}}"#),
        )
    };
    let mut rows = Vec::new();
    for path in ["/start", "/restart"] {
        let named = |name: &str| format!("{path}: {name}");
        rows.extend([
            row(&named("neither"), post(path, "{}"), both(REQUIRED, REQUIRED)),
            row(&named("no object"), post(path, "[]"), both(REQUIRED, REQUIRED)),
            row(&named("empty"), post(path, ""), both(REQUIRED, REQUIRED)),
            row(
                &named("nulls"),
                post(path, r#"{"config":null,"session_id":null}"#),
                both(REQUIRED, REQUIRED),
            ),
            row(
                &named("numbers"),
                post(path, r#"{"config":5,"session_id":5}"#),
                both(NO_UUID, NO_STRING),
            ),
            row(
                &named("one missing"),
                post(path, r#"{"config":{}}"#),
                both(REQUIRED, NO_STRING),
            ),
            row(
                &named("no config"),
                post(path, r#"{"session_id":"{session}"}"#),
                field("config", REQUIRED),
            ),
            row(
                &named("no session"),
                post(path, r#"{"config":"{}"}"#),
                field("session_id", REQUIRED),
            ),
            row(
                &named("a config that is an object"),
                post(path, r#"{"session_id":"{session}","config":{}}"#),
                field("config", NO_STRING),
            ),
            row(
                &named("a session that is none, a config that would be wrong"),
                post(path, r#"{"session_id":"abc","config":"{"}"#),
                field(
                    "session_id",
                    "Input should be a valid UUID, invalid length: expected length 32 for simple format, found 3",
                ),
            ),
            row(
                &named("a stranger with a wrong config"),
                post(path, format!(r#"{{"session_id":"{STRANGER}","config":"{{"}}"#)),
                mismatch(),
            ),
        ]);
    }
    stage.check(rows).await
}
