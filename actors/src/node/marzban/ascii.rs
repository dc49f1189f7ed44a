//! The configuration as the core gets it: compact JSON of ASCII alone, as Python's `json.dumps` writes strings
//! (`spec/node-marzban.md`, 1.4).

use serde_json::{Map, Value};

/// The first byte that Python escapes besides control characters, quotes and backslashes; beyond it there is no ASCII.
const DEL: u8 = 0x7f;

/// Writes a configuration; what is not ASCII becomes `\uXXXX`, in surrogate pairs where one does not do.
pub(super) fn to_ascii(configuration: &Map<String, Value>) -> Vec<u8> {
    let json = serde_json::to_string(configuration).expect("keys are strings and memory takes every byte");
    // Outside of strings there is nothing but ASCII.
    let Some(first) = first_escaped(&json) else {
        return json.into_bytes();
    };
    let mut ascii = Vec::with_capacity(json.len() + json.len() / 2);
    let (plain, mut rest) = json.split_at(first);
    ascii.extend_from_slice(plain.as_bytes());
    while let Some(character) = rest.chars().next() {
        let (character, behind) = rest.split_at(character.len_utf8());
        character.encode_utf16().for_each(|unit| escape(unit, &mut ascii));
        let (plain, next) = behind.split_at(first_escaped(behind).unwrap_or(behind.len()));
        ascii.extend_from_slice(plain.as_bytes());
        rest = next;
    }
    ascii
}

/// Where the first character begins that has to be escaped.
fn first_escaped(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte >= DEL)
}

fn escape(unit: u16, ascii: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    ascii.extend_from_slice(b"\\u");
    ascii.extend([12, 8, 4, 0].map(|shift| HEX[usize::from((unit >> shift) & 0xf)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What becomes of a string, quotes included.
    fn written(text: &str) -> String {
        let Value::Object(map) = json!({ "k": text }) else {
            unreachable!()
        };
        let ascii = String::from_utf8(to_ascii(&map)).unwrap();
        ascii
            .strip_prefix("{\"k\":")
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap()
            .to_owned()
    }

    #[test]
    fn strings_are_written_as_python_writes_them() {
        for (text, expected) in [
            ("plain / text", r#""plain / text""#),
            ("\"\\\u{8}\u{c}\n\r\t", r#""\"\\\b\f\n\r\t""#),
            ("\0\u{1f}\u{7f}~", r#""\u0000\u001f\u007f~""#),
            ("\u{80}é\u{7ff}", r#""\u0080\u00e9\u07ff""#),
            ("سلام", r#""\u0633\u0644\u0627\u0645""#),
            ("\u{2028}\u{feff}\u{fffd}\u{ffff}", r#""\u2028\ufeff\ufffd\uffff""#),
            (
                "🇮🇷x\u{10000}\u{10ffff}",
                r#""\ud83c\uddee\ud83c\uddf7x\ud800\udc00\udbff\udfff""#,
            ),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn keys_order_and_numbers_stay() {
        let text = r#"{"ß":[1,-0,18446744073709551616,1.50,1e-400],"b":{"é":null},"a":[true,{},[]]}"#;
        let map = serde_json::from_str(text).unwrap();
        let expected = text.replace('ß', r"\u00df").replace('é', r"\u00e9");
        assert_eq!(String::from_utf8(to_ascii(&map)).unwrap(), expected);
    }
}
