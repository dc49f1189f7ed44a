//! Section 1.3: what CPython's JSON decoder says about a configuration.

use super::*;
use serde_json::json as value;

/// Texts and the complaints of CPython 3.11 about them.
const TEXTS: [(&str, &str); 22] = [
    ("", "Expecting value: line 1 column 1 (char 0)"),
    ("  ", "Expecting value: line 1 column 3 (char 2)"),
    ("tru", "Expecting value: line 1 column 1 (char 0)"),
    ("-", "Expecting value: line 1 column 1 (char 0)"),
    (
        "{",
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    (
        "{'a':1}",
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    (
        "{1:2}",
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    (
        "{\"a\":1,}",
        "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)",
    ),
    ("{\"a\":}", "Expecting value: line 1 column 6 (char 5)"),
    ("{\"a\" 1}", "Expecting ':' delimiter: line 1 column 6 (char 5)"),
    ("{\"a\":1 \"b\"}", "Expecting ',' delimiter: line 1 column 8 (char 7)"),
    ("{\"a\":1", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
    ("[1 2]", "Expecting ',' delimiter: line 1 column 4 (char 3)"),
    ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
    ("[\"a", "Unterminated string starting at: line 1 column 2 (char 1)"),
    ("{} {}", "Extra data: line 1 column 4 (char 3)"),
    ("\"\u{1}\"", "Invalid control character at: line 1 column 2 (char 1)"),
    ("[\"\\x\"]", "Invalid \\escape: line 1 column 3 (char 2)"),
    (
        "\u{feff}{}",
        "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
    ),
    ("// a comment\n{}", "Expecting value: line 1 column 1 (char 0)"),
    ("{\n \"a\":\n}", "Expecting value: line 3 column 1 (char 8)"),
    // A character is one, however many bytes it has.
    ("[\"😀\" x]", "Expecting ',' delimiter: line 1 column 6 (char 5)"),
];

pub(super) async fn decoder(scene: Scene) -> Result<()> {
    let stage = Stage::new(&scene).await?;
    let mut rows = Vec::new();
    for (text, complaint) in TEXTS {
        for path in ["/start", "/restart"] {
            let body = value!({ "session_id": stage.panel.session, "config": text }).to_string();
            let answer = field("config", &format!("Failed to decode config: {complaint}"));
            rows.push(row(&format!("{path} {text:?}"), post(path, body), answer));
        }
    }
    stage.check(rows).await?;
    ensure!(stage.core.lives()?.is_empty(), "a core was started");
    Ok(())
}
