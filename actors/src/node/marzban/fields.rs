//! The fields of a request's body, and how they are refused (`spec/node-marzban.md`, 1.3).

use super::read_json::{Unreadable, read_body};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) session_id: Uuid,
    /// The text of a configuration; only if it was asked for.
    pub(super) config: Option<String>,
}

/// Why a body is refused: the body of the answer, which is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// 422.
    Unprocessable(String),
    /// 400.
    BadRequest(String),
}

/// Reads a body, which has to have a `session_id` and, if `needs_config`, a `config`.
///
/// `content_type` is the value of that header. A body of another type than JSON has no fields, whatever it says.
///
/// # Errors
///
/// See [`Refused`]. Everything that is wrong with the fields is reported together.
pub(super) fn parse(content_type: Option<&str>, body: &[u8], needs_config: bool) -> Result<Fields, Refused> {
    let mut fields = if is_json(content_type) {
        members(body)?
    } else {
        Map::new()
    };
    let session_id = session_id(fields.remove("session_id"));
    let config = needs_config.then(|| config(fields.remove("config"))).transpose();
    match (session_id, config) {
        (Ok(session_id), Ok(config)) => Ok(Fields { session_id, config }),
        (session_id, config) => {
            let wrong = [("session_id", session_id.err()), ("config", config.err())];
            let detail = wrong
                .into_iter()
                .filter_map(|(field, message)| Some((field.to_owned(), message?.into())));
            Err(unprocessable(detail.collect()))
        }
    }
}

/// The 422 with this detail.
fn unprocessable(detail: Map<String, Value>) -> Refused {
    Refused::Unprocessable(json!({ "detail": detail }).to_string())
}

/// Whether a body of this type is read: `application/json` and `application/*+json`, with whatever parameters, and a
/// body without a type.
fn is_json(content_type: Option<&str>) -> bool {
    let Some(value) = content_type.filter(|value| !value.is_empty()) else {
        return true;
    };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = kind
        .strip_prefix("application/")
        .filter(|subtype| !subtype.contains('/'));
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// What the body has; nothing if it is empty, or JSON but no object.
fn members(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let unreadable = || Refused::BadRequest(json!({ "detail": "There was an error parsing the body" }).to_string());
    match read_body(str::from_utf8(body).map_err(|_| unreadable())?) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Ok(Map::new()),
        Err(Unreadable::Complaint(complaint)) => {
            let detail = [(complaint.at.to_string(), "JSON decode error".into())];
            Err(unprocessable(detail.into_iter().collect()))
        }
        Err(Unreadable::TooDeep | Unreadable::NotForTheCore) => Err(unreadable()),
    }
}

const MISSING: &str = "Field required";

fn session_id(value: Option<Value>) -> Result<Uuid, String> {
    match value {
        None | Some(Value::Null) => Err(MISSING.to_owned()),
        Some(Value::String(text)) => {
            Uuid::parse_str(&text).map_err(|error| format!("Input should be a valid UUID, {error}"))
        }
        Some(_) => Err("UUID input should be a string, bytes or UUID object".to_owned()),
    }
}

fn config(value: Option<Value>) -> Result<String, String> {
    match value {
        None | Some(Value::Null) => Err(MISSING.to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err("Input should be a valid string".to_owned()),
    }
}
