//! The vectors of `spec/node-marzban.md`, 1.3.

use super::super::fields::{Fields, Refused, parse};

const ID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// The detail of the 422 that a body gets at `/start`.
#[track_caller]
fn detail(body: &str) -> String {
    match parse(Some("application/json"), body.as_bytes(), true) {
        Err(Refused::Unprocessable(answer)) => {
            let detail = answer
                .strip_prefix("{\"detail\":")
                .and_then(|rest| rest.strip_suffix('}'));
            detail.unwrap_or_else(|| panic!("{answer}")).to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// What is said of a session id that is spelt like this in JSON.
#[track_caller]
fn of_session_id(json: &str) -> String {
    let detail = detail(&format!(r#"{{"session_id":{json},"config":"{{}}"}}"#));
    let message = detail
        .strip_prefix("{\"session_id\":\"")
        .and_then(|rest| rest.strip_suffix("\"}"));
    message.unwrap_or_else(|| panic!("{detail}")).to_owned()
}

#[test]
fn what_is_missing_is_required() {
    let both = r#"{"session_id":"Field required","config":"Field required"}"#;
    for body in [
        "",
        "{}",
        "[]",
        "\"x\"",
        "5",
        "null",
        "NaN",
        "\u{feff}null",
        r#"{"session_id":null,"config":null}"#,
    ] {
        assert_eq!(detail(body), both, "{body}");
    }
    let one = Err(Refused::Unprocessable(
        r#"{"detail":{"session_id":"Field required"}}"#.to_owned(),
    ));
    assert_eq!(parse(None, b"{\"config\":5}", false), one);
}

#[test]
fn every_spelling_of_an_id_is_taken() {
    for spelling in [
        ID.to_owned(),
        ID.replace('-', ""),
        ID.to_uppercase(),
        format!("{{{ID}}}"),
        format!("urn:uuid:{ID}"),
        ID.replace('3', "\\u0033"),
    ] {
        let body = format!(r#"{{"x":[],"session_id":"0","config":"","session_id":"{spelling}"}}"#);
        let fields = parse(None, body.as_bytes(), false).unwrap();
        assert_eq!(
            (fields.session_id.to_string().as_str(), fields.config),
            (ID, None),
            "{spelling}"
        );
    }
}

#[test]
fn ids_are_refused_in_the_words_of_pydantic() {
    let wrong_type = "UUID input should be a string, bytes or UUID object";
    for json in [
        "5",
        "1e999",
        "true",
        "[]",
        "{}",
        "NaN",
        r#"{"$serde_json::private::Number":"1"}"#,
    ] {
        assert_eq!(of_session_id(json), wrong_type, "{json}");
    }
    let character = "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found";
    for (text, expected) in [
        (
            "",
            "invalid length: expected length 32 for simple format, found 0".to_owned(),
        ),
        (
            "abc",
            "invalid length: expected length 32 for simple format, found 3".to_owned(),
        ),
        (
            &ID.replace('-', "")[1..],
            "invalid length: expected length 32 for simple format, found 31".to_owned(),
        ),
        ("x", format!("{character} `x` at 1")),
        ("12x4", format!("{character} `x` at 3")),
        ("é", format!("{character} `é` at 1")),
        ("{x}", format!("{character} `x` at 2")),
        (&format!("URN:UUID:{ID}"), format!("{character} `U` at 1")),
        (
            &format!("urn:uuid:{}", &ID[1..]).replace("3301", "330x"),
            format!("{character} `x` at 44"),
        ),
        (&ID[..23], "invalid group count: expected 5, found 4".to_owned()),
        ("{}", "invalid group count: expected 5, found 1".to_owned()),
        (
            &ID[..35],
            "invalid group length in group 4: expected 12, found 11".to_owned(),
        ),
        (
            &format!("{ID}0"),
            "invalid group length in group 4: expected 12, found 13".to_owned(),
        ),
        (
            &ID[1..],
            "invalid group length in group 0: expected 8, found 7".to_owned(),
        ),
        (
            &ID.replace("-41d3", "-41d"),
            "invalid group length in group 2: expected 4, found 3".to_owned(),
        ),
    ] {
        assert_eq!(
            of_session_id(&format!("\"{text}\"")),
            format!("Input should be a valid UUID, {expected}"),
            "{text}"
        );
    }
    let quoted = format!(r#"Input should be a valid UUID, {character} `\"` at 1"#);
    assert_eq!(of_session_id(r#""\"""#), quoted);
}

#[test]
fn both_fields_are_reported_together_in_the_order_of_the_model() {
    assert_eq!(
        detail(r#"{"config":5,"session_id":5}"#),
        r#"{"session_id":"UUID input should be a string, bytes or UUID object","config":"Input should be a valid string"}"#
    );
    for config in ["5", "true", "[]", "{}", "Infinity"] {
        let body = format!(r#"{{"session_id":"{ID}","config":{config}}}"#);
        assert_eq!(detail(&body), r#"{"config":"Input should be a valid string"}"#);
    }
}

#[test]
fn broken_json_is_answered_with_its_place() {
    for (body, place) in [
        ("{bad", 1),
        ("nul", 0),
        (" ", 1),
        ("\u{feff}", 0),
        ("\u{feff}nul", 0),
        (r#"{"session_id":"x""#, 17),
        (r#"{"é":"é",}"#, 9),
        ("[1]\n[2]", 4),
    ] {
        assert_eq!(detail(body), format!(r#"{{"{place}":"JSON decode error"}}"#), "{body}");
    }
}

#[test]
fn what_cannot_be_read_at_all_is_a_bad_request() {
    let refused = Err(Refused::BadRequest(
        r#"{"detail":"There was an error parsing the body"}"#.to_owned(),
    ));
    let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
    for body in [&b"\xff"[..], b"{\"session_id\":\"\xc3\"}", b"\xed\xa0\x80", &deep] {
        assert_eq!(parse(None, body, true), refused);
    }
}

#[test]
fn only_json_is_read() {
    let body = format!(r#"{{"session_id":"{ID}","config":"\ud83d\ude00\ud800\u0000"}}"#);
    let read = Ok(Fields {
        session_id: ID.parse().unwrap(),
        config: Some("😀\u{fffd}\0".to_owned()),
    });
    for content_type in [
        None,
        Some(""),
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        Some(" application/json ;x"),
        Some("application/problem+json"),
        Some("application/+json"),
    ] {
        assert_eq!(parse(content_type, body.as_bytes(), true), read, "{content_type:?}");
    }
    let missing = r#"{"detail":{"session_id":"Field required","config":"Field required"}}"#.to_owned();
    for content_type in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/json/x",
        "application/jsonp",
        "application /json",
        "json",
        ";application/json",
    ] {
        let refused = Err(Refused::Unprocessable(missing.clone()));
        assert_eq!(
            parse(Some(content_type), body.as_bytes(), true),
            refused,
            "{content_type}"
        );
        assert_eq!(parse(Some(content_type), b"\xff{", true), refused, "{content_type}");
    }
}
