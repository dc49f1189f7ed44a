//! The file `.env`, in the grammar of python-dotenv: it takes lines that other parsers refuse (`INBOUNDS=A, B`), and a
//! line that it does not take costs that line alone.
//!
//! As there, `${NAME}` is replaced in every value, in single quotes too, and an environment goes before the file.

use super::Environment;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most bytes that all values may have together. A file that refers to itself often enough would grow without end.
const MAX_VALUE_BYTES: usize = 4 << 20;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The last value of each name.
    pub(super) variables: BTreeMap<String, String>,
    /// Numbers of lines that were not understood, from 1.
    pub(super) bad_lines: Vec<usize>,
}

/// Looks for `.env` in a directory and its parents.
///
/// # Errors
/// There is one, and it cannot be read: which, and why.
pub(super) fn find(directory: &Path) -> Result<Option<(PathBuf, String)>, (PathBuf, String)> {
    let Some(path) = directory
        .ancestors()
        .map(|parent| parent.join(".env"))
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    let refused = |reason: String| (path.clone(), format!("it cannot be read: {reason}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(|error| refused(error.to_string()))?;
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refused(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8".to_owned()))?;
    Ok(Some((path, text)))
}

/// Reads the text. `${NAME}` and `${NAME:-default}` are replaced by what `environment` or an earlier line says.
pub(super) fn parse(text: &str, environment: Environment<'_>) -> Parsed {
    // Python reads text files so.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut cursor = Cursor {
        rest: text.strip_prefix('\u{feff}').unwrap_or(&text),
        line: 1,
    };
    let mut parsed = Parsed::default();
    let mut bytes_left = MAX_VALUE_BYTES;
    loop {
        cursor.skip(is_space);
        if cursor.rest.is_empty() {
            return parsed;
        }
        let line = cursor.line;
        let bound = match binding(&mut cursor) {
            Some(Binding::Comment) => continue,
            Some(Binding::Nothing(name)) => {
                parsed.variables.remove(&name);
                continue;
            }
            Some(Binding::Value(name, value)) => {
                let lookup = |name: &str| environment(name).or_else(|| parsed.variables.get(name).cloned());
                substitute(&value, lookup, bytes_left).map(|value| (name, value))
            }
            None => {
                cursor.skip(|c| c != '\n');
                None
            }
        };
        match bound {
            Some((name, value)) => {
                bytes_left -= value.len();
                parsed.variables.insert(name, value);
            }
            None => parsed.bad_lines.push(line),
        }
    }
}

/// The text from where it is read on.
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_skipped(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Text between quotes that begins here, without them.
    fn take_quoted(&mut self, end: usize) -> &'a str {
        let taken = self.take(end + 2);
        &taken[1..=end]
    }
}

/// What a line says of a name.
enum Binding {
    /// Nothing: a comment.
    Comment,
    /// It has no value, whatever came before.
    Nothing(String),
    Value(String, String),
}

/// Reads one name and its value. `None` if this is neither that nor a comment; the cursor then stands where it was noticed.
fn binding(cursor: &mut Cursor<'_>) -> Option<Binding> {
    if cursor
        .rest
        .strip_prefix("export")
        .is_some_and(|rest| rest.starts_with(is_blank))
    {
        cursor.take("export".len());
        cursor.skip(is_blank);
    }
    let name = match cursor.rest.chars().next() {
        Some('#') => "",
        Some('\'') => {
            let end = cursor.rest[1..].find('\'').filter(|end| *end > 0)?;
            cursor.take_quoted(end)
        }
        _ => Some(cursor.skip(|c| !matches!(c, '=' | '#') && !is_space(c))).filter(|name| !name.is_empty())?,
    };
    cursor.skip(is_blank);
    let mut value = None;
    if cursor.rest.starts_with('=') {
        cursor.take(1);
        cursor.skip(is_blank);
        value = Some(match cursor.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let end = closing(&cursor.rest[1..], quote)?;
                unescape(cursor.take_quoted(end), quote)
            }
            _ => without_comment(cursor.skip(|c| c != '\n')).to_owned(),
        });
    }
    cursor.skip(is_blank);
    if cursor.rest.starts_with('#') {
        cursor.skip(|c| c != '\n');
    }
    let is_whole = cursor.rest.is_empty() || cursor.rest.starts_with('\n');
    is_whole.then(|| match value {
        Some(value) => Binding::Value(name.to_owned(), value),
        None if name.is_empty() => Binding::Comment,
        None => Binding::Nothing(name.to_owned()),
    })
}

/// Python's white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

/// Where a quoted value ends: at the first quote without a backslash before it, or else at the last one that has one.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut last = None;
    for (at, _) in text.match_indices(quote) {
        last = Some(at);
        if !text[..at].ends_with('\\') {
            break;
        }
    }
    last
}

fn unescape(text: &str, quote: char) -> String {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let meant = match (chars.as_str().chars().next(), quote) {
            _ if c != '\\' => None,
            (Some(escaped @ ('\\' | '\'')), _) | (Some(escaped @ '"'), '"') => Some(escaped),
            (Some('a'), '"') => Some('\u{7}'),
            (Some('b'), '"') => Some('\u{8}'),
            (Some('f'), '"') => Some('\u{c}'),
            (Some('n'), '"') => Some('\n'),
            (Some('r'), '"') => Some('\r'),
            (Some('t'), '"') => Some('\t'),
            (Some('v'), '"') => Some('\u{b}'),
            _ => None,
        };
        if meant.is_some() {
            chars.next();
        }
        value.push(meant.unwrap_or(c));
    }
    value
}

/// A value without quotes ends at a comment, which needs a blank before it.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with(is_space));
    let end = comment.map_or(line.len(), |(at, _)| at);
    line[..end].trim_end_matches(is_space)
}

/// Replaces what is named in a value; `None` if it then has more than `most` bytes.
fn substitute(text: &str, lookup: impl Fn(&str) -> Option<String>, most: usize) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        result.push_str(before);
        match reference(behind) {
            Some((name, default, behind)) => {
                result.push_str(&lookup(name).unwrap_or_else(|| default.to_owned()));
                rest = behind;
            }
            None => {
                result.push_str("${");
                rest = behind;
            }
        }
        if result.len() > most {
            return None;
        }
    }
    result.push_str(rest);
    (result.len() <= most).then_some(result)
}

/// Name, default and what is behind the brace, of text that stands behind `${`.
fn reference(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_at(text.find(['}', ':'])?);
    let (default, behind) = match rest.strip_prefix(":-") {
        Some(rest) => rest.split_once('}')?,
        None => ("", rest.strip_prefix('}')?),
    };
    Some((name, default, behind))
}
