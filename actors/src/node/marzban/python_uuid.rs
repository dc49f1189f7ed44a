//! How `/logs` reads its `session_id`: as `uuid.UUID()` of Python does (`spec/node-marzban.md`, 1.5).

use uuid::Uuid;

const DIGITS: usize = 32;

/// Reads a UUID: `urn:` and `uuid:` may stand anywhere, braces around it, hyphens wherever they like; 32 hexadecimal
/// digits have to be left. `None` is what Python calls a `ValueError`.
///
/// Python then reads these 32 characters as a number, which may also begin with a sign or `0x` and have underscores
/// in it. Nobody writes an id in that way; here it is none.
pub(super) fn parse(text: &str) -> Option<Uuid> {
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let digits = bare.trim_matches(['{', '}']).replace('-', "");
    let is_simple = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_simple.then(|| Uuid::try_parse(&digits).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_python_is_the_same_id() {
        let id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        for text in [
            id,
            "3f2504e04f8941d39a0c0305e82c3301",
            "3F2504E0-4F89-41D3-9A0C-0305E82C3301",
            "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
            "}}3f2504e0-4f89-41d3-9a0c-0305e82c3301{",
            "{3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "{urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
            "uuurn:id:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "3f2504e0-4f89-urn:41d3-9a0cuuid:-0305e82c3301",
            "-3-f-2504e04f8941d39a0c0305e82c330--1-",
        ] {
            assert_eq!(parse(text).map(|uuid| uuid.to_string()).as_deref(), Some(id), "{text}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in [
            "",
            "x",
            "{}",
            "3f2504e04f8941d39a0c0305e82c330",
            "3f2504e04f8941d39a0c0305e82c33011",
            "3f2504e04f8941d39a0c0305e82c330g",
            "URN:UUID:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "-{3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
            "3f2504e04f8941d39a0c0305e82c330\u{661}",
            " 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "uuid:\u{feff}3f2504e04f8941d39a0c0305e82c3301",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
