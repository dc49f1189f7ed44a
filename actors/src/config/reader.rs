//! Walks a parsed TOML document: knows the line and the dotted key of everything, and collects problems.

use super::problem::{MAX_PROBLEMS, Problem, Problems, Severity};
use super::value::Sources;
use super::{Options, raw::Section};
use std::collections::HashSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod place;
mod syntax;

pub(super) use place::{Place, show};

/// A value together with where it was written.
#[derive(Debug, Clone)]
pub(super) struct Field<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// The value as it may be shown in a problem; `None` for a secret or a section.
    pub(super) shown: Option<String>,
}

/// What can be read from a TOML value. Problems go to the reader.
pub(super) trait FromToml: Sized {
    /// Reads the value at `place`; `None` if a problem with it was reported.
    fn from_toml(value: &Spanned<DeValue<'_>>, place: &Place, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value as a problem may show it.
    fn shown(value: &DeValue<'_>) -> Option<String> {
        show(value)
    }

    /// The dotted paths of all keys below and including `path`.
    fn paths(path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
    }
}

/// State of reading one configuration.
pub(super) struct Reader<'a> {
    options: Options,
    /// Where secrets come from.
    pub(super) sources: &'a Sources<'a>,
    lines: place::Lines,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    left_out: usize,
    failed: bool,
    syntax_error_lines: HashSet<usize>,
    /// Keys whose value was refused.
    refused: HashSet<String>,
    inline_secret: Option<Place>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, options: Options, sources: &'a Sources<'a>) -> Self {
        Self {
            options,
            sources,
            lines: place::Lines::of(text),
            errors: Vec::new(),
            warnings: Vec::new(),
            left_out: 0,
            failed: false,
            syntax_error_lines: HashSet::new(),
            refused: HashSet::new(),
            inline_secret: None,
        }
    }

    /// Parses `text` and reads the whole file as one section.
    pub(super) fn read<S: Section>(&mut self, text: &str) -> S {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            self.syntax_error(text, &error);
        }
        self.table(document.get_ref(), &Place::root())
    }

    /// Reads a section from a value that has to be a table.
    pub(super) fn section<S: Section>(&mut self, value: &Spanned<DeValue<'_>>, place: &Place) -> Option<S> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.table(table, place)),
            // The value is not shown: a section put in the wrong place may be a secret.
            other => {
                self.error(
                    place,
                    None,
                    format!("expected a section, not a value of type {}", other.type_str()),
                );
                None
            }
        }
    }

    fn table<S: Section>(&mut self, table: &DeTable<'_>, place: &Place) -> S {
        let mut section = S::empty();
        for (key, value) in table {
            let at = self.place(place, key.get_ref(), key.span().start);
            if !section.take(key.get_ref(), value, &at, self) {
                self.unknown_key(&at, key.get_ref(), S::KEYS);
            }
        }
        section
    }

    /// Reads one key's value into `slot`.
    pub(super) fn fill<T: FromToml>(&mut self, slot: &mut Option<Field<T>>, value: &Spanned<DeValue<'_>>, at: &Place) {
        if let Some(earlier) = slot {
            let expected = format!("given twice, expected only one of this and {}", earlier.place.key);
            self.error(at, T::shown(value.get_ref()), expected);
        } else if let Some(read) = T::from_toml(value, at, self) {
            *slot = Some(Field {
                value: read,
                place: at.clone(),
                shown: T::shown(value.get_ref()),
            });
        } else {
            self.refused.insert(at.key.clone());
        }
    }

    /// The place of `key`, which stands at byte `offset`, in the table at `parent`.
    pub(super) fn place(&self, parent: &Place, key: &str, offset: usize) -> Place {
        parent.child(key, self.lines.line_of(offset))
    }

    /// The place of element `index`, which stands at byte `offset`, of the array at `parent`.
    pub(super) fn element(&self, parent: &Place, index: usize, offset: usize) -> Place {
        parent.element(index, self.lines.line_of(offset))
    }

    fn unknown_key(&mut self, at: &Place, key: &str, known: &[&[&str]]) {
        let severity = if self.options.lenient {
            Severity::Warning
        } else {
            Severity::Error
        };
        // The value is not shown: it may be a secret under a key with a typing error.
        self.add(
            severity,
            at,
            None,
            format!("unknown key{}", syntax::nearest(key, known)),
        );
    }

    /// Reports what keeps the configuration from being accepted.
    pub(super) fn error(&mut self, at: &Place, value: Option<String>, expected: impl Into<String>) {
        self.add(Severity::Error, at, value, expected.into());
    }

    /// Reports that a required key, the first of `keys`, or another one in its place is not there; `at` is the
    /// section. Says nothing if one of them is there with a problem, or after a syntax error: the key may be in
    /// what could not be read.
    pub(super) fn missing(&mut self, at: &Place, keys: &[&str], expected: &str) {
        self.failed = true;
        let known = keys.iter().any(|key| self.is_refused(at, key));
        if let Some(key) = keys.first().filter(|_| self.syntax_error_lines.is_empty() && !known) {
            self.error(&at.child(key, at.line), None, format!("missing, expected {expected}"));
        }
    }

    /// Whether `key` of the section at `at` was given a value that was refused.
    pub(super) fn is_refused(&self, at: &Place, key: &str) -> bool {
        self.refused.contains(&at.child(key, at.line).key)
    }

    /// Reports that the file has nothing to run; not after a syntax error, as with [`Reader::missing`].
    pub(super) fn missing_section(&mut self, expected: &str) {
        self.failed = true;
        if self.syntax_error_lines.is_empty() {
            self.error(&Place::root(), None, expected);
        }
    }

    /// Reports what deserves attention.
    pub(super) fn warning(&mut self, at: &Place, value: Option<String>, expected: impl Into<String>) {
        self.add(Severity::Warning, at, value, expected.into());
    }

    /// Notes that a secret stands in the text itself.
    pub(super) fn note_inline_secret(&mut self, at: &Place) {
        if self.inline_secret.as_ref().is_none_or(|first| first.line > at.line) {
            self.inline_secret = Some(at.clone());
        }
    }

    /// Reports the first inline secret, if there is one, with `warning`.
    pub(super) fn warn_about_inline_secrets(&mut self, warning: &str) {
        if let Some(place) = self.inline_secret.clone() {
            self.warning(&place, None, warning);
        }
    }

    fn add(&mut self, severity: Severity, at: &Place, value: Option<String>, expected: String) {
        self.failed |= severity == Severity::Error;
        // What a broken line seems to mean is a guess of the parser.
        if self.syntax_error_lines.contains(&at.line) {
            return;
        }
        self.push(Problem {
            severity,
            line: (at.line > 0).then_some(at.line),
            key: at.key.clone(),
            value,
            expected,
        });
    }

    fn push(&mut self, problem: Problem) {
        let list = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() < MAX_PROBLEMS {
            list.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// The warnings if there was no error, else everything.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        let mut problems = self.errors;
        problems.append(&mut self.warnings);
        problems.sort_by_key(|problem| problem.line);
        if self.failed {
            Err(Problems {
                list: problems,
                left_out: self.left_out,
            })
        } else {
            Ok(problems)
        }
    }
}
