//! The node's part of the README.

use super::cell::number;
use super::notes;
use crate::kit::node::{Measured, Report, Table};

/// For each family of panels a table with a line for each figure and a column for each program.
pub(super) fn of(report: &Report) -> String {
    let (results, conditions) = (&report.results, &report.options);
    let mut text = format!(
        "Made by `cargo run --release -p kariz-bench -- node`, then `-- publish`; raw: `benches/results/node.json`. {}, commit {};\n\
         medians of {} rounds, pings for {} s; {}.\n`{}`.\n\n",
        report.kariz, report.commit, conditions.rounds, conditions.ping_seconds, report.machine, conditions.core
    );
    text.push_str(&table(&results.programs));
    if !results.gozargah.names().is_empty() {
        text.push_str("\nWith an API key, as Gozargah and PasarGuard panels see it:\n\n");
        text.push_str(&table(&results.gozargah));
    }
    text.push('\n');
    text.push_str(&notes::targets(&results.verdicts));
    text
}

fn table<F: Measured>(table: &Table<F>) -> String {
    let names = table.names();
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
    for figure in F::ALL.iter().copied() {
        let values = names.iter().map(|name| {
            table
                .value(name, figure)
                .map_or_else(|| "–".into(), |value| told(figure, value))
        });
        text.push_str(&format!(
            "| {} | {} |\n",
            figure.label(),
            values.collect::<Vec<_>>().join(" | ")
        ));
    }
    text
}

fn told<F: Measured>(figure: F, value: f64) -> String {
    match figure.is_question() {
        true if value >= 1.0 => "yes".into(),
        true => "no".into(),
        false => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = r#"{
        "programs": { "kariz": { "idle_mib": [11.0] } },
        "gozargah": { "kariz": { "core_stays": [1.0, 1.0], "visitor_stays": [1.0, 0.0], "stats_ms": [12.5] } },
        "verdicts": []
    }"#;

    #[test]
    fn a_question_is_answered_with_a_word() {
        let results: crate::kit::node::Results = serde_json::from_str(RESULTS).unwrap();
        let lines = table(&results.gozargah);
        assert!(lines.contains("| the core lives through that | yes |\n"), "{lines}");
        assert!(
            lines.contains("| users' connections live through that | no |\n"),
            "{lines}"
        );
        assert!(lines.contains("20,000 counters, ms | 12.5 |\n"), "{lines}");
        assert!(table(&results.programs).contains("| memory, idle, MiB | 11.0 |\n"));
    }
}
