//! What was found, and how it is printed.

use std::fmt;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) name: &'static str,
    /// How it is here.
    pub(super) found: String,
    /// What that means.
    pub(super) verdict: Verdict,
    /// Why it matters and what mends it; empty if all is well.
    pub(super) mend: String,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            found: found.into(),
            verdict: Verdict::Ok,
            mend: String::new(),
        }
    }

    /// Something is not as it should be.
    pub(super) fn bad(name: &'static str, found: impl Into<String>, verdict: Verdict, mend: impl Into<String>) -> Self {
        Self {
            name,
            found: found.into(),
            verdict,
            mend: mend.into(),
        }
    }

    /// Cannot be seen from here, as in a container that has its own view of `/proc`.
    pub(super) fn unknown(name: &'static str) -> Self {
        Self::bad(name, "?", Verdict::Warn, "cannot be read here: look at the host")
    }
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Kariz works, with less than it could have.
    Warn,
    /// Kariz does not work.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// The rows under each other, and how many of each verdict there are.
pub(super) fn table(findings: &[Finding]) -> String {
    let name = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let found = findings
        .iter()
        .map(|finding| finding.found.chars().count())
        .max()
        .unwrap_or(0);
    let mut table = String::new();
    for finding in findings {
        let Finding { verdict, mend, .. } = finding;
        let row = format!("{:name$}  {verdict:4}  {:found$}  {mend}", finding.name, finding.found);
        table.push_str(row.trim_end());
        table.push('\n');
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    table.push_str(&format!(
        "{} ok, {} warn, {} fail\n",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ));
    table
}
