//! `kariz check`: validates a file, or a node's environment, without starting anything.

use crate::cli::CheckArgs;
use crate::exit::Exit;
use kariz_actors::config::{self, Problem, Severity};
use kariz_actors::node;
use kariz_proto::model::Spec;
use std::path::Path;

/// Prints every problem, one a line, and a summary.
pub(crate) fn check(args: &CheckArgs) -> Exit {
    match &args.checked.file {
        Some(file) => check_file(file, args.lenient),
        None => check_node(),
    }
}

fn check_node() -> Exit {
    let found = node::check(&super::variable, &super::working_directory());
    let mut report = String::new();
    for problem in &found.problems {
        report.push_str(&format!("error: {problem}\n"));
    }
    for warning in &found.warnings {
        report.push_str(&format!("warning: {warning}\n"));
    }
    let (errors, warnings) = (found.problems.len(), found.warnings.len());
    let verdict = if errors == 0 { "ok" } else { "refused" };
    report.push_str(&format!(
        "environment: {verdict}; {}, {}\n",
        plural(errors, "error"),
        plural(warnings, "warning")
    ));
    match super::print(&report) {
        Exit::Done if errors > 0 => Exit::Usage,
        printed => printed,
    }
}

fn check_file(path: &Path, lenient: bool) -> Exit {
    let file = path.display();
    let (list, left_out, verdict, exit) = match config::load(path, config::Options { lenient }) {
        Ok(loaded) => {
            let verdict = format!("{file}: ok: {}", summary(&loaded.spec));
            (loaded.warnings, 0, verdict, Exit::Done)
        }
        Err(problems) => (
            problems.list,
            problems.left_out,
            format!("{file}: refused"),
            Exit::Usage,
        ),
    };
    let mut report = String::new();
    for problem in &list {
        report.push_str(&format!("{problem}\n"));
    }
    if left_out > 0 {
        report.push_str(&format!("and {left_out} more\n"));
    }
    report.push_str(&format!("{verdict}; {}\n", counts(&list)));
    match super::print(&report) {
        Exit::Done => exit,
        failed => failed,
    }
}

/// What would run.
fn summary(spec: &Spec) -> String {
    let mut parts = Vec::new();
    if let Some(server) = &spec.server {
        parts.push(format!("[server] with {}", plural(server.services.len(), "service")));
    }
    if let Some(client) = &spec.client {
        parts.push(format!("[client] with {}", plural(client.services.len(), "service")));
    }
    if let Some(relay) = &spec.relay {
        parts.push(format!("[relay] with {}", plural(relay.services.len(), "service")));
    }
    parts.join(", ")
}

fn counts(list: &[Problem]) -> String {
    let errors = list
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    let warnings = list.len() - errors;
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
