//! The fuzz bodies of what a panel sends.

use super::ascii::to_ascii;
use super::fields::{Fields, Refused, parse};
use super::python_json::MAX_DEPTH;
use super::read_json::{Unreadable, read};
use super::transform::{Additions, raise_log_level, transform};
use serde_json::{Map, Value};
use std::net::Ipv6Addr;
use std::path::Path;

/// Reads arbitrary bytes as the body of a request.
///
/// # Panics
///
/// If a promise is broken: a refusal that is not the JSON it should be, fields that were not asked for, or a type of
/// body that is read although it must not be.
pub fn fuzz_node_body(data: &[u8]) {
    let asked = parse(None, data, true);
    let unasked = parse(Some("application/json; charset=utf-8"), data, false);
    match &unasked {
        Ok(fields) => {
            assert_eq!(fields.config, None, "not asked for");
            match &asked {
                Ok(asked) => assert!(asked.session_id == fields.session_id && asked.config.is_some()),
                Err(refused) => assert_eq!(fields_of(refused), ["config"]),
            }
        }
        Err(Refused::BadRequest(_)) => assert_eq!(asked, unasked),
        Err(refused) => {
            let names = fields_of(refused);
            let place = names.first().and_then(|name| name.parse::<usize>().ok());
            assert_eq!(names.len(), 1);
            assert!(
                names == ["session_id"] || place.is_some_and(|place| place <= data.len()),
                "{names:?}"
            );
            assert_eq!(
                fields_of(asked.as_ref().expect_err("asking for more makes nothing right"))[0],
                names[0]
            );
        }
    }
    let missing = r#"{"detail":{"session_id":"Field required","config":"Field required"}}"#;
    let unread = parse(Some("text/plain"), data, true);
    assert_eq!(unread, Err(Refused::Unprocessable(missing.to_owned())));
    if let Ok(Fields {
        config: Some(config), ..
    }) = asked
    {
        fuzz_config_text(&config);
    }
}

/// Reads arbitrary bytes as the text of a configuration, and makes of it what the core gets.
///
/// # Panics
///
/// If a promise is broken: what the core gets is not ASCII, says something else than was meant, or lacks the API; or a
/// text is refused without a reason.
pub fn fuzz_node_config(data: &[u8]) {
    fuzz_config_text(&String::from_utf8_lossy(data));
}

fn fuzz_config_text(text: &str) {
    match read(text) {
        Ok(value) => fuzz_configuration(value),
        Err(Unreadable::Complaint(complaint)) => {
            assert!(complaint.at <= text.chars().count(), "{complaint}: behind the end");
            assert!(
                serde_json::from_str::<Value>(text).is_err(),
                "{complaint}: but it is JSON"
            );
        }
        Err(Unreadable::TooDeep) => {
            assert!(text.matches(['[', '{']).count() > MAX_DEPTH, "not deep");
        }
        Err(Unreadable::NotForTheCore) => assert!(text.contains("NaN") || text.contains("Infinity")),
    }
}

fn fuzz_configuration(value: Value) {
    let again = read(&value.to_string()).expect("what was read can be read again");
    assert_eq!(again.to_string(), value.to_string());
    let inbounds = ["VLESS".to_owned()];
    let mut additions = Additions {
        api_host: "0.0.0.0",
        api_port: 62051,
        certificate: Path::new("/c.pem"),
        key: Path::new("/k.pem"),
        inbounds: &[],
        panel: Ipv6Addr::LOCALHOST.into(),
    };
    let Ok(mut once) = transform(value, &additions) else {
        return;
    };
    let inbound = &once["inbounds"][0];
    assert!(inbound["tag"] == "API_INBOUND" && inbound["port"] == 62051);
    assert_eq!(once["routing"]["rules"][0]["outboundTag"], once["api"]["tag"]);

    let twice = transformed(&once, &additions);
    assert_eq!(
        text_of(&transformed(&twice, &additions)),
        text_of(&twice),
        "something heaps up"
    );
    additions.inbounds = &inbounds;
    let filtered = transformed(&once, &additions);
    let kept = filtered["inbounds"]
        .as_array()
        .map_or(&[][..], |inbounds| &inbounds[1..]);
    assert!(kept.iter().all(|inbound| inbound["tag"] == "VLESS"));

    let _ = raise_log_level(&mut once);
    assert!(
        once.get("log")
            .is_none_or(|log| log["logLevel"] != "none" && log["logLevel"] != "error")
    );
    let ascii = to_ascii(&once);
    assert!(ascii.iter().all(|byte| matches!(byte, b' '..=b'~')), "not ASCII");
    let meant = String::from_utf8(ascii).ok().and_then(|text| read(&text).ok());
    assert_eq!(meant.map(|value| value.to_string()), Some(text_of(&once)));
}

fn transformed(configuration: &Map<String, Value>, additions: &Additions<'_>) -> Map<String, Value> {
    transform(configuration.clone().into(), additions).expect("a transformed one is of the right shape")
}

/// With the order of its keys, which `==` does not look at.
fn text_of(configuration: &Map<String, Value>) -> String {
    Value::from(configuration.clone()).to_string()
}

/// The fields that a 422 names.
fn fields_of(refused: &Refused) -> Vec<String> {
    let Refused::Unprocessable(body) = refused else {
        panic!("not a 422: {refused:?}");
    };
    let answer: Value = serde_json::from_str(body).expect("the answer is JSON");
    let detail = answer["detail"].as_object().expect("the detail is an object");
    detail.keys().cloned().collect()
}
