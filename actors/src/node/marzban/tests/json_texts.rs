//! `python_json` against the answers of CPython itself (`tests/python/json_texts.py`).

use super::super::python_json::{Verdict, judge, judge_body};

/// A list of pairs: a text, and what CPython says of it; null if it takes it.
const ANSWERS: &str = include_str!("json_texts.json");

#[test]
fn complaints_are_those_of_cpython() {
    let answers: Vec<(String, Option<String>)> = serde_json::from_str(ANSWERS).unwrap();
    assert!(answers.len() >= 300);
    for (text, expected) in answers {
        let verdict = match judge(&text) {
            Verdict::Valid => None,
            Verdict::Wrong(complaint) => Some(complaint.to_string()),
            Verdict::TooDeep => panic!("too deep: {text}"),
        };
        assert_eq!(verdict, expected, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_before_a_body_is_no_mistake() {
    let complaint = |text: &str| match judge_body(text) {
        Verdict::Wrong(complaint) => complaint.to_string(),
        verdict => format!("{verdict:?}"),
    };
    assert_eq!(complaint("\u{feff}{}"), "Valid");
    assert_eq!(complaint("\u{feff}nul"), "Expecting value: line 1 column 1 (char 0)");
    assert_eq!(complaint("\u{feff}é"), "Expecting value: line 1 column 1 (char 0)");
    assert_eq!(
        complaint("\u{feff}\u{feff}{}"),
        "Expecting value: line 1 column 1 (char 0)"
    );
    assert_eq!(complaint("\u{feff}{}\n x"), "Extra data: line 2 column 2 (char 4)");
}

#[test]
fn depth_is_bounded_and_a_mistake_in_the_deep_is_still_found() {
    let nested = |depth: usize, inside: &str| format!("{}{inside}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(judge(&nested(127, "")), Verdict::Valid);
    assert_eq!(judge(&nested(128, "")), Verdict::TooDeep);
    assert_eq!(judge(&nested(127, "{}")), Verdict::TooDeep);
    assert!(matches!(judge(&nested(900, "nul")), Verdict::Wrong(complaint) if complaint.at == 900));
    assert_eq!(judge(&nested(1_000, "nul")), Verdict::TooDeep);
    assert_eq!(judge(&"[".repeat(10_000_000)), Verdict::TooDeep);
    assert_eq!(judge(&"{\"\":".repeat(1_000_000)), Verdict::TooDeep);
    assert_eq!(judge(&format!("[{}]", vec!["[]"; 1_000].join(","))), Verdict::Valid);
}
