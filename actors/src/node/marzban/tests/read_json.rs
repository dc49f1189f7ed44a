//! Texts that `serde_json` refuses or misreads.

use super::super::read_json::{Unreadable, read, read_body};

/// A text as it is after reading, or why it was not read.
fn after(text: &str) -> String {
    read(text).map_or_else(|why| format!("{why:?}"), |value| value.to_string())
}

#[test]
fn order_and_numbers_stay() {
    for text in [
        r#"{"z":1,"a":{"y":2,"b":[]},"m":{}}"#,
        "18446744073709551616",
        "-0",
        "1.50",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890123456789012345678901234567890.5",
    ] {
        assert_eq!(after(text), text);
    }
    assert_eq!(after("1E5"), "1e+5");
    assert_eq!(after("[1e400]"), "[1e+400]");
    assert_eq!(after(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    for (text, expected) in [
        (r#""\ud800""#, "\"\u{fffd}\""),
        (r#""\udc00""#, "\"\u{fffd}\""),
        (r#""x\uD83D\n""#, "\"x\u{fffd}\\n\""),
        (r#""\ud83d\ude00\ud83d""#, "\"😀\u{fffd}\""),
        (r#""\ud83d\ud83d\ude00""#, "\"\u{fffd}😀\""),
        (r#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\""),
        (r#""\\ud800\ud800""#, "\"\\\\ud800\u{fffd}\""),
        (
            r#"{"\udfff\"":["\u0000\ud800é"]}"#,
            "{\"\u{fffd}\\\"\":[\"\\u0000\u{fffd}é\"]}",
        ),
    ] {
        assert_eq!(after(text), expected, "{text}");
    }
}

#[test]
fn not_a_number_is_refused_in_a_configuration_and_zero_in_a_body() {
    for (text, in_body) in [
        ("NaN", "0"),
        ("[Infinity,-Infinity]", "[0,-0]"),
        (r#"{"a":NaN,"NaN":"Infinity"}"#, r#"{"a":0,"NaN":"Infinity"}"#),
        (r#"["\ud800NaN\\",NaN]"#, "[\"\u{fffd}NaN\\\\\",0]"),
    ] {
        assert_eq!(read(text), Err(Unreadable::NotForTheCore), "{text}");
        assert_eq!(read_body(text).unwrap().to_string(), in_body, "{text}");
        assert_eq!(
            read_body(&format!("\u{feff}{text}")).unwrap().to_string(),
            in_body,
            "{text}"
        );
    }
    assert_eq!(after(r#"["NaN","\ud800"]"#), "[\"NaN\",\"\u{fffd}\"]");
}

#[test]
fn keys_that_serde_json_keeps_for_itself_are_keys_like_any_other() {
    for text in [
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::Number":"no number"}"#,
        r#"{"$serde_json::private::Number":{"$serde_json::private::Number":[]},"b":"$serde_json::private::Number"}"#,
        r#"{"$serde_json::private::RawValue":"[1]"}"#,
        r#"{"$serde_json::private::$serde_json::private::Number":"$serde_json::private::"}"#,
        r#"{"a":1,"$serde_json::private::Number":"5","z":[{"$serde_json::private::Number":5,"y":2}]}"#,
    ] {
        assert_eq!(after(text), text);
        for spelling in ["\\u0024", "\\u0024\\u0073\\u0065"] {
            let plain = &"$se"[..spelling.len() / 6];
            assert_eq!(after(&text.replace(plain, spelling)), text, "{spelling}");
        }
        assert_eq!(after(&text.replace("Number", "N\\u0075mber")), text);
        assert_eq!(after(&text.replace("::p", "\\u003A\\u003ap")), text);
    }
    let mixed = r#"{"\u0024serde_json::private::Number":"\ud800","\u0026":1}"#;
    assert_eq!(after(mixed), "{\"$serde_json::private::Number\":\"\u{fffd}\",\"&\":1}");
    assert_eq!(
        read(r#"{"$serde_json::private::Number":NaN}"#),
        Err(Unreadable::NotForTheCore)
    );
    let complaint = after(r#"{"$serde_json::private::Number":"1"} x"#);
    assert!(complaint.contains("Extra data"), "{complaint}");
}

#[test]
fn a_byte_order_mark_is_for_bodies() {
    assert_eq!(read_body("\u{feff}[1]").unwrap().to_string(), "[1]");
    let refusal = read("\u{feff}[1]").unwrap_err().to_string();
    assert_eq!(
        refusal,
        "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"
    );
    assert!(matches!(read_body("\u{feff}\u{feff}[1]"), Err(Unreadable::Complaint(complaint)) if complaint.at == 0));
}

#[test]
fn depth_is_that_of_serde_json() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize, inside: &str| format!("{}{inside}{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&nested(127, "1")).is_ok());
        assert_eq!(read(&nested(128, "1")), Err(Unreadable::TooDeep));
        // Mended texts go as deep.
        assert!(read(&nested(127, r#""\ud800""#)).is_ok());
        assert!(read(&nested(127, r#""$serde_json::private::Number""#)).is_ok());
        assert_eq!(read_body(&nested(1_000_000, "1")), Err(Unreadable::TooDeep));
    }
}
