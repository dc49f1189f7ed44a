//! A table in Markdown.

use super::cast::{Member, Part};
use super::cell::Cell;
use super::columns::Column;
use crate::kit::compare::results::Results;

/// Keeps the figures of a cell in one line.
const BETWEEN: &str = "\u{a0}/\u{a0}";

/// Without the columns of works that nobody did, and without those who did none of them; empty if nothing is left.
pub(super) fn of(members: &[Member], columns: &[Column], results: &Results) -> String {
    let has = |member: &Member, column: &Column| cells(member, column, results).iter().any(|cell| *cell != Cell::Blank);
    let columns: Vec<&Column> = columns
        .iter()
        .filter(|column| members.iter().any(|member| has(member, column)))
        .collect();
    let lines = members
        .iter()
        .filter(|member| columns.iter().any(|column| has(member, column)))
        .map(|member| line(member, &columns, results));
    let mut text = String::new();
    if !columns.is_empty() {
        let heads: Vec<&str> = columns.iter().map(|column| column.head).collect();
        text = format!("| | {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len()));
    }
    text.extend(lines);
    text
}

fn line(member: &Member, columns: &[&Column], results: &Results) -> String {
    let bold = if member.part == Part::Kariz { "**" } else { "" };
    let mut line = format!("| {bold}{}{bold}{} |", member.name, remark(member.part));
    for column in columns {
        line.push_str(&format!(" {bold}{}{bold} |", text(&cells(member, column, results))));
    }
    line.push('\n');
    line
}

fn remark(part: Part) -> &'static str {
    match part {
        Part::Kariz | Part::Peer | Part::CopyLoop => "",
        Part::Limit => " (limit)",
        Part::Bare => " (no tunnel)",
    }
}

fn cells(member: &Member, column: &Column, results: &Results) -> Vec<Cell> {
    let figures = column.figures.iter();
    figures.map(|figure| figure.of(&member.name, results)).collect()
}

/// What all have in common is said once.
fn text(cells: &[Cell]) -> String {
    match cells {
        [first, rest @ ..] if !matches!(first, Cell::Value(_)) && rest.iter().all(|cell| cell == first) => first.text(),
        _ => cells.iter().map(|cell| cell.text()).collect::<Vec<_>>().join(BETWEEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::compare::results::Failure;
    use crate::kit::compare::work::{Beside, Metric, Work};
    use crate::kit::contestant::{Contestant, Hop};
    use crate::kit::publish::{cast, columns};

    const BOTH: &[Column] = &[columns::ROUND_TRIP, columns::ROUND_TRIP_BESIDE, columns::CONNECTIONS];

    #[test]
    fn only_what_was_measured_has_a_column_and_only_who_took_part_a_line() {
        let mut results = Results::default();
        let alone = Work::PingPong {
            beside: Beside::Nothing,
        };
        let figures = [
            (Metric::RttP50Us, 100.0),
            (Metric::RttP99Us, 1500.0),
            (Metric::RttP999Us, 2500.0),
        ];
        results.record(Contestant::DIRECT, alone, 0, &figures);
        results.record(
            Contestant::Pair(Hop::Splice),
            Work::Visits,
            0,
            &[(Metric::VisitsPerCpuS, 20_000.0)],
        );
        results.failures.push(Failure {
            name: "rathole".into(),
            work: alone.key(),
            round: 1,
            why: "it said no".into(),
        });
        let table = of(&cast::two_hops(), BOTH, &results).replace('\u{a0}', " ");
        assert_eq!(
            table,
            "| | round trip alone, p50 / p99 / p99.9, us | new connections per CPU-second |\n\
             |---|---:|---:|\n\
             | **kariz direct** | **100 / 1,500 / 2,500** | **–** |\n\
             | rathole | failed | – |\n\
             | splice pair (limit) | – | 20,000 |\n"
        );
    }

    #[test]
    fn nothing_measured_is_no_table() {
        assert_eq!(of(&cast::one_hop(), columns::ONE_HOP, &Results::default()), "");
    }
}
