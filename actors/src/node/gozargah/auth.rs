//! The API key (`spec/node-panel.md`, 3.2).

use super::fault::Fault;
use hyper::HeaderMap;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The header, and the name in gRPC's metadata, that bears the key.
const HEADER: &str = "x-api-key";

/// Whether a request bears the key.
///
/// # Errors
/// What panels are told if it does not.
pub(super) fn check(headers: &HeaderMap, key: Uuid) -> Result<(), Fault> {
    let given = headers
        .get(HEADER)
        .filter(|given| !given.is_empty())
        .ok_or_else(Fault::no_key)?;
    let given = given.to_str().ok().and_then(|text| Uuid::parse_str(text).ok());
    let given = given.ok_or_else(Fault::malformed_key)?;
    match bool::from(given.as_bytes().ct_eq(key.as_bytes())) {
        true => Ok(()),
        false => Err(Fault::wrong_key()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let key = Uuid::parse_str(KEY).unwrap();
        let answer = |given: &str| {
            let headers =
                HeaderMap::from_iter([(hyper::header::HeaderName::from_static(HEADER), given.parse().unwrap())]);
            check(&headers, key)
        };
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
        assert_eq!(check(&HeaderMap::new(), key), Err(Fault::no_key()));
        for given in ["x", "0f8fad5b-d9cb-469f-a165-70867728950", "\u{e9}"] {
            assert_eq!(answer(given), Err(Fault::malformed_key()), "{given}");
        }
        for given in [
            "00000000-0000-0000-0000-000000000000",
            "0f8fad5b-d9cb-469f-a165-70867728950f",
        ] {
            assert_eq!(answer(given), Err(Fault::wrong_key()), "{given}");
        }
    }
}
