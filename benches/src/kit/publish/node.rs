//! The node's part of the README.

use super::cell::number;
use super::notes;
use crate::kit::node::{Figure, Report};

/// A table with a line for each figure and a column for each program.
pub(super) fn of(report: &Report) -> String {
    let (results, conditions) = (&report.results, &report.options);
    let names = results.names();
    let mut text = format!(
        "Made by `cargo run --release -p kariz-bench -- node`, then `-- publish`; raw: `benches/results/node.json`. {}, commit {};\n\
         medians of {} rounds, pings for {} s; {}.\n`{}`.\n\n",
        report.kariz, report.commit, conditions.rounds, conditions.ping_seconds, report.machine, conditions.core
    );
    text.push_str(&format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---:|".repeat(names.len())
    ));
    for figure in Figure::ALL {
        let values = names
            .iter()
            .map(|name| results.median(name, figure).map_or_else(|| "–".into(), number));
        text.push_str(&format!(
            "| {} | {} |\n",
            figure.label(),
            values.collect::<Vec<_>>().join(" | ")
        ));
    }
    text.push('\n');
    text.push_str(&notes::targets(&results.verdicts));
    text
}
