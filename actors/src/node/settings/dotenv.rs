//! The file `.env`, in the grammar of python-dotenv: it takes lines that other parsers refuse (`INBOUNDS=A, B`), and a
//! line that it does not take costs that line alone.

use super::Environment;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// In the order of the file.
    pub(super) variables: Vec<(String, String)>,
    /// Numbers of lines that were not understood, from 1.
    pub(super) bad_lines: Vec<usize>,
}

/// Looks for `.env` in a directory and its parents.
///
/// # Errors
/// There is one, and it cannot be read: the text of a warning.
pub(super) fn find(directory: &Path) -> Result<Option<(PathBuf, String)>, String> {
    let Some(path) = directory
        .ancestors()
        .map(|parent| parent.join(".env"))
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    let refused = |reason: String| format!("{}: not read: {reason}", path.display());
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
    let mut parsed = Parsed::default();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let begin = rest.trim_start();
        let line = 1 + text[..text.len() - begin.len()].matches('\n').count();
        if begin.is_empty() {
            break;
        }
        match binding(begin) {
            Some((bound, behind)) => {
                rest = behind;
                if let Some((name, value)) = bound {
                    let value = if value.is_literal {
                        value.text
                    } else {
                        substitute(&value.text, environment, &parsed.variables)
                    };
                    parsed.variables.push((name, value));
                }
            }
            None => {
                parsed.bad_lines.push(line);
                rest = begin.split_once('\n').map_or("", |(_, behind)| behind);
            }
        }
    }
    parsed
}

struct Value {
    text: String,
    /// In single quotes: nothing is replaced in it.
    is_literal: bool,
}

/// One line, or several if a quoted value goes on; and what is behind it. A comment binds nothing.
fn binding(text: &str) -> Option<(Option<(String, Value)>, &str)> {
    if text.starts_with('#') {
        return Some((None, end_of_line(text)?));
    }
    let text = text
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map_or(text, str::trim_start);
    let (name, rest) = match text.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'').map(|(name, rest)| (name.to_owned(), rest))?,
        None => {
            let end = text
                .find(|c: char| c == '=' || c == '#' || c.is_whitespace())
                .unwrap_or(text.len());
            (text[..end].to_owned(), &text[end..])
        }
    };
    let rest = rest.trim_start_matches(BLANKS);
    if name.is_empty() {
        return None;
    }
    let Some(rest) = rest.strip_prefix('=') else {
        // A name alone is a variable without a value.
        return Some((None, end_of_line(rest)?));
    };
    let rest = rest.trim_start_matches(BLANKS);
    let is_literal = rest.starts_with('\'');
    let (text, rest) = match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&rest[1..], quote)?,
        _ => {
            let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
            (unquoted(&rest[..end]), &rest[end..])
        }
    };
    Some((Some((name, Value { text, is_literal })), end_of_line(rest)?))
}

/// Blanks within a line.
const BLANKS: [char; 4] = [' ', '\t', '\u{b}', '\u{c}'];

/// What is behind the line; `None` if there is more on it than a comment.
fn end_of_line(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(BLANKS);
    if let Some(comment) = text.strip_prefix('#') {
        return Some(comment.split_once('\n').map_or("", |(_, behind)| behind));
    }
    let text = text.strip_prefix('\r').unwrap_or(text);
    if text.is_empty() {
        Some(text)
    } else {
        text.strip_prefix('\n')
    }
}

/// Up to the closing quote, with backslashes resolved.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next()?;
                match (quote, escaped) {
                    (_, '\\' | '\'') => value.push(escaped),
                    ('"', '"') => value.push('"'),
                    ('"', 'a') => value.push('\u{7}'),
                    ('"', 'b') => value.push('\u{8}'),
                    ('"', 'f') => value.push('\u{c}'),
                    ('"', 'n') => value.push('\n'),
                    ('"', 'r') => value.push('\r'),
                    ('"', 't') => value.push('\t'),
                    ('"', 'v') => value.push('\u{b}'),
                    _ => value.extend(['\\', escaped]),
                }
            }
            c if c == quote => return Some((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    None
}

/// A value without quotes ends at a comment, which needs a blank before it.
fn unquoted(line: &str) -> String {
    let comment = line
        .match_indices('#')
        .find(|(at, _)| line[..*at].ends_with(char::is_whitespace));
    let end = comment.map_or(line.len(), |(at, _)| at);
    line[..end].trim_end().to_owned()
}

fn substitute(text: &str, environment: Environment<'_>, earlier: &[(String, String)]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("${") {
        let Some((inside, behind)) = reference.split_once('}') else {
            break;
        };
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let of_file = || {
            earlier
                .iter()
                .rfind(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        result.push_str(before);
        result.push_str(&environment(name).or_else(of_file).unwrap_or_else(|| default.to_owned()));
        rest = behind;
    }
    result.push_str(rest);
    result
}
