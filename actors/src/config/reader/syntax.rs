//! What is wrong with the text itself rather than with a value in it.

use super::super::problem::{Problem, Severity};
use super::Reader;

/// Longest key in bytes for which the nearest known one is looked for.
const MAX_COMPARED_BYTES: usize = 64;

impl Reader<'_> {
    /// Reports an error of the TOML parser. The line itself is not shown: it may hold a secret.
    pub(super) fn syntax_error(&mut self, text: &str, error: &toml::de::Error) {
        let span = error.span().unwrap_or_default();
        let line = self.lines.line_of(span.start);
        self.failed = true;
        // The parser often has more to say about a line that it has given up on already.
        if !self.syntax_error_lines.insert(line) {
            return;
        }
        let (key, message) = match error.message() {
            "duplicate key" => (
                super::Place::root().child(text.get(span).unwrap_or_default(), line).key,
                "given twice, expected a key or section once".to_owned(),
            ),
            message if message.starts_with("invalid boolean") => (
                String::new(),
                "not TOML: a word without quotes, expected a value such as \"text\", 1 or true".to_owned(),
            ),
            message => (String::new(), format!("not TOML: {message}")),
        };
        self.push(Problem {
            severity: Severity::Error,
            line: Some(line),
            key,
            value: None,
            expected: message,
        });
    }
}

/// A hint at the known key that is nearest to `key`.
pub(super) fn nearest(key: &str, known: &[&[&str]]) -> String {
    if key.len() > MAX_COMPARED_BYTES {
        return String::new();
    }
    let nearest = known
        .iter()
        .flat_map(|spellings| spellings.iter())
        .min_by_key(|candidate| strsim::damerau_levenshtein(key, candidate));
    match nearest {
        Some(nearest) => format!(", the nearest known key is {nearest}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_too_long_to_be_a_typing_mistake_gets_no_hint() {
        let known: &[&[&str]] = &[&["transport"]];
        let hint = ", the nearest known key is transport";
        assert_eq!(nearest(&"t".repeat(MAX_COMPARED_BYTES), known), hint);
        assert_eq!(nearest(&"t".repeat(MAX_COMPARED_BYTES + 1), known), "");
    }
}
