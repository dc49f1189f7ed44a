//! What a panel has to show with each call: the API key, or in the first generation the session that its start began
//! (`spec/node-panel.md`, 3.2 and 3.5).

use super::fault::Fault;
use super::live::Live;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use std::net::IpAddr;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The header, and the name in gRPC's metadata, that bears the key.
const KEY_HEADER: &str = "x-api-key";

/// The scheme of a session's header. REST takes any word.
const SCHEME: &str = "Bearer";

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// `API_KEY` (G1 to G3).
    Key(Uuid),
    /// The session, from the second call on (G0).
    Session(Live),
}

/// How a call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Grpc,
    Rest,
}

impl Credential {
    /// Whether a call may be answered.
    ///
    /// # Errors
    /// What panels are told if it may not.
    pub(super) fn check(&self, headers: &HeaderMap, client: IpAddr, transport: Transport) -> Result<(), Fault> {
        match self {
            Self::Key(key) => check_key(headers, *key),
            Self::Session(live) => check_session(headers, live, client, transport),
        }
    }

    /// Whether even a start needs it.
    pub(super) fn is_for_starts(&self) -> bool {
        matches!(self, Self::Key(_))
    }
}

fn check_key(headers: &HeaderMap, key: Uuid) -> Result<(), Fault> {
    let given = headers
        .get(KEY_HEADER)
        .filter(|given| !given.is_empty())
        .ok_or_else(Fault::no_key)?;
    let given = given.to_str().ok().and_then(|text| Uuid::parse_str(text).ok());
    let given = given.ok_or_else(Fault::malformed_key)?;
    match is_same(given, key) {
        true => Ok(()),
        false => Err(Fault::wrong_key()),
    }
}

fn check_session(headers: &HeaderMap, live: &Live, client: IpAddr, transport: Transport) -> Result<(), Fault> {
    let session = live.session().ok_or_else(Fault::no_session)?;
    if transport == Transport::Rest && session.panel != client {
        return Err(Fault::wrong_address());
    }
    let given = headers.get(AUTHORIZATION).filter(|given| !given.is_empty());
    let given = given.ok_or_else(Fault::no_authorization)?;
    let words = given.to_str().ok().and_then(|text| text.split_once(' '));
    let (scheme, id) = words
        .filter(|(_, id)| !id.contains(' '))
        .ok_or_else(Fault::malformed_authorization)?;
    if transport == Transport::Grpc && scheme != SCHEME {
        return Err(Fault::malformed_authorization());
    }
    let id = Uuid::parse_str(id).map_err(|_| Fault::malformed_session(&go_reason(id)))?;
    match is_same(id, session.id) {
        true => Ok(()),
        false => Err(Fault::wrong_session()),
    }
}

fn is_same(one: Uuid, other: Uuid) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// What Go says of a text that is no UUID.
fn go_reason(text: &str) -> String {
    match text.len() {
        45 if !text.to_ascii_lowercase().starts_with("urn:uuid:") => format!("invalid urn prefix: {:?}", &text[..9]),
        32 | 36 | 38 | 45 => "invalid UUID format".into(),
        length => format!("invalid UUID length: {length}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::state::Session;
    use std::net::Ipv4Addr;

    const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const OTHER: &str = "0f8fad5b-d9cb-469f-a165-70867728950f";
    const PANEL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn with(name: &'static str, given: &str) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), given.parse().unwrap())])
    }

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let credential = Credential::Key(Uuid::parse_str(KEY).unwrap());
        let check = |headers: &HeaderMap| credential.check(headers, PANEL, Transport::Grpc);
        let answer = |given: &str| check(&with(KEY_HEADER, given));
        let plain = KEY.replace('-', "");
        for given in [
            KEY.into(),
            KEY.to_uppercase(),
            plain,
            format!("{{{KEY}}}"),
            format!("urn:uuid:{KEY}"),
        ] {
            assert_eq!(answer(&given), Ok(()), "{given}");
        }
        assert_eq!(answer(""), Err(Fault::no_key()));
        assert_eq!(check(&HeaderMap::new()), Err(Fault::no_key()));
        for given in ["x", "0f8fad5b-d9cb-469f-a165-70867728950", "\u{e9}"] {
            assert_eq!(answer(given), Err(Fault::malformed_key()), "{given}");
        }
        for given in ["00000000-0000-0000-0000-000000000000", OTHER] {
            assert_eq!(answer(given), Err(Fault::wrong_key()), "{given}");
        }
    }

    #[test]
    fn a_session_is_checked_in_the_order_of_each_transport() {
        let live = Live::default();
        let credential = Credential::Session(live.clone());
        let named = |given: &str| with("authorization", given);
        let both = [Transport::Grpc, Transport::Rest];
        for transport in both {
            let answer = credential.check(&named("Bearer x"), PANEL, transport);
            assert_eq!(answer, Err(Fault::no_session()));
        }
        let id = Uuid::parse_str(KEY).unwrap();
        live.begin(Some(Session { id, panel: PANEL }));
        for transport in both {
            let answer = |headers: &HeaderMap| credential.check(headers, PANEL, transport);
            assert_eq!(answer(&named(&format!("Bearer {KEY}"))), Ok(()));
            assert_eq!(answer(&HeaderMap::new()), Err(Fault::no_authorization()));
            for malformed in [KEY.to_owned(), format!("Bearer  {KEY}"), format!("Bearer {KEY} more")] {
                assert_eq!(answer(&named(&malformed)), Err(Fault::malformed_authorization()));
            }
            let reason = "invalid UUID length: 1";
            assert_eq!(answer(&named("Bearer x")), Err(Fault::malformed_session(reason)));
            assert_eq!(answer(&named(&format!("Bearer {OTHER}"))), Err(Fault::wrong_session()));
        }
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let token = named(&format!("Token {KEY}"));
        let (rest, grpc) = (Transport::Rest, Transport::Grpc);
        assert_eq!(credential.check(&token, PANEL, rest), Ok(()));
        assert_eq!(
            credential.check(&token, PANEL, grpc),
            Err(Fault::malformed_authorization())
        );
        assert_eq!(credential.check(&token, elsewhere, rest), Err(Fault::wrong_address()));
        assert_eq!(
            credential.check(&named(&format!("Bearer {KEY}")), elsewhere, grpc),
            Ok(())
        );
    }

    #[test]
    fn reasons_are_gos() {
        assert_eq!(go_reason(&"x".repeat(36)), "invalid UUID format");
        assert_eq!(go_reason(&"x".repeat(45)), r#"invalid urn prefix: "xxxxxxxxx""#);
        assert_eq!(go_reason(""), "invalid UUID length: 0");
    }
}
