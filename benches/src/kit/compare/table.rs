//! The result on the terminal: one block for each figure, one line for each contestant.

use super::results::{Results, Row};

pub(super) fn print(results: &Results) {
    let mut blocks: Vec<(&str, &str, Vec<&Row>)> = Vec::new();
    for row in &results.rows {
        let unit = row.metric.unit();
        match blocks.iter_mut().find(|(work, of, _)| *work == row.work && *of == unit) {
            Some((_, _, rows)) => rows.push(row),
            None => blocks.push((&row.work, unit, vec![row])),
        }
    }
    for (work, unit, rows) in blocks {
        println!("\n{work}, {unit}: median (least to greatest)");
        for row in rows {
            let digits = if row.median < 100.0 { 2 } else { 0 };
            println!(
                "  {:<18}{:>10.digits$}  ({:.digits$} to {:.digits$})",
                row.name, row.median, row.min, row.max
            );
        }
    }
    println!();
    for failure in &results.failures {
        println!(
            "failed: {} at {}, round {}: {}",
            failure.name, failure.work, failure.round, failure.why
        );
    }
    for name in &results.answers_lost {
        println!("drops answers after a half-close: {name}");
    }
    for (peer, why) in &results.missing {
        println!("missing: {peer}: {why}");
    }
}
