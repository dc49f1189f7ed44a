//! Where something stands in a file, and how it is shown.

use toml::de::DeValue;

/// Longest part of a key or value that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 80;

/// A line and the dotted key that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// Dotted path; empty for the file as a whole.
    pub(crate) key: String,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn root() -> Self {
        Self {
            line: 0,
            key: String::new(),
        }
    }

    /// A key inside this table.
    pub(crate) fn child(&self, key: &str, line: usize) -> Self {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if bare { shorten(key) } else { quote(key) };
        let key = if self.key.is_empty() {
            key
        } else {
            format!("{}.{key}", self.key)
        };
        Self { line, key }
    }

    /// An element of this array.
    pub(crate) fn element(&self, index: usize, line: usize) -> Self {
        Self {
            line,
            key: format!("{}[{index}]", self.key),
        }
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(newline, _)| newline + 1).collect())
    }

    /// The line, counted from 1, of the byte at `offset`.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|start| *start <= offset)
    }
}

/// A value as a problem may show it: `None` if it is not a scalar.
pub(crate) fn show(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(quote(text)),
        DeValue::Integer(number) => Some(shorten(&number.to_string())),
        DeValue::Float(number) => Some(shorten(number.as_str())),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(value) => Some(value.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", shorten(text).escape_debug())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_beyond_what_is_shown_is_cut() {
        // Counted in characters, not in bytes.
        let longest = "\u{e9}".repeat(MAX_SHOWN_CHARS);
        assert_eq!(quote(&longest), format!("\"{longest}\""));
        assert_eq!(quote(&format!("{longest}x")), format!("\"{longest}...\""));
        let key = "k".repeat(MAX_SHOWN_CHARS);
        assert_eq!(Place::root().child(&key, 1).key, key);
        assert_eq!(Place::root().child(&format!("{key}k"), 1).key, format!("{key}..."));
    }
}
