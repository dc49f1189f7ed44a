//! What is wrong with a configuration.

use std::fmt;

/// Most errors that are kept, and most warnings; what goes beyond is only counted.
pub const MAX_PROBLEMS: usize = 1000;

/// One thing in a configuration that is wrong or deserves attention.
///
/// Never holds a secret: values of secret keys, of unknown keys and of broken lines are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the program can start in spite of it.
    pub severity: Severity,
    /// Line in the file, counted from 1; `None` if the problem is with the file as a whole.
    pub line: Option<usize>,
    /// Dotted path of the key (`server.services.web.bind_addr`); empty if there is none.
    pub key: String,
    /// The value as written, shortened and with control characters escaped; `None` if there is none to show.
    pub value: Option<String>,
    /// What is wrong and what was expected, as a phrase.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.expected)
    }
}

/// Whether a problem keeps the program from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Everything that is wrong with a configuration; at least one entry is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// In the order of lines: at most [`MAX_PROBLEMS`] errors, and as many warnings.
    pub list: Vec<Problem>,
    /// How many more there were.
    pub left_out: usize,
}

impl Problems {
    /// The one problem that kept a file from being read at all.
    pub(super) fn with_file(expected: String) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            line: None,
            key: String::new(),
            value: None,
            expected,
        };
        Self {
            list: vec![problem],
            left_out: 0,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
