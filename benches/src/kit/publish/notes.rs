//! What the tables do not say: targets, failures, who was missing, and how all of it was made.

use crate::kit::compare::Report;
use crate::kit::compare::results::{Failure, Results};
use crate::kit::report::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many targets were reached, and which were not.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let missed: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.pass).collect();
    let mut text = match verdicts.len() {
        0 => return "No target could be checked: nobody to compare with was measured.\n".into(),
        all => format!("Reached: {} of {all}.\n", all - missed.len()),
    };
    if !missed.is_empty() {
        text.push_str("\n### Where it is behind\n\nWhat came out, and what it should be; `a / b` is a ratio.\n\n");
        text.extend(missed.into_iter().map(miss));
    }
    text
}

fn miss(verdict: &Verdict) -> String {
    let Verdict { what, value, bound, .. } = verdict;
    let side = if verdict.at_least { "at least" } else { "at most" };
    format!("- {what}: {}, {side} {bound}\n", told_from(*value, *bound))
}

/// `value` with three decimals, or as many as it takes to see that it is not `bound`.
fn told_from(value: f64, bound: f64) -> String {
    let texts = (3..=9).map(|decimals| (format!("{value:.decimals$}"), format!("{bound:.decimals$}")));
    let differing = texts.into_iter().find(|(value, bound)| value != bound);
    differing.map_or_else(|| value.to_string(), |(value, _)| value)
}

/// Who failed, who loses answers, who was not there.
pub(super) fn troubles(results: &Results) -> String {
    let mut text = String::new();
    if !results.answers_lost.is_empty() {
        let names: Vec<&str> = results.answers_lost.iter().map(String::as_str).collect();
        text.push_str(&format!(
            "- Dropped the answer to a visitor who had ended his own direction (half-close): {}\n",
            names.join(", ")
        ));
    }
    text.extend(failures(&results.failures));
    for (peer, why) in &results.missing {
        text.push_str(&format!("- Missing: {peer}, {}\n", code(why)));
    }
    text
}

/// One line for each contestant and work; the first reason stands for all.
fn failures(failures: &[Failure]) -> Vec<String> {
    let mut seen: Vec<(&Failure, usize)> = Vec::new();
    for failure in failures {
        let same = |other: &Failure| other.name == failure.name && other.work == failure.work;
        match seen.iter_mut().find(|(other, _)| same(other)) {
            Some((_, times)) => *times += 1,
            None => seen.push((failure, 1)),
        }
    }
    let line = |(failure, times): (&Failure, usize)| {
        let rounds = if times == 1 { "round" } else { "rounds" };
        let why = code(&failure.why);
        format!(
            "- Failed: {} at {}, in {times} {rounds}: {why}\n",
            failure.name, failure.work
        )
    };
    seen.into_iter().map(line).collect()
}

/// Programs, machine and options.
pub(super) fn conditions(report: &Report) -> String {
    let options = &report.options;
    let versions = versions(&report.results.versions);
    let workers = if options.kariz_workers == 1 {
        "worker"
    } else {
        "workers"
    };
    let rounds = if options.rounds == 1 { "round" } else { "rounds" };
    format!(
        "Made by `cargo run --release -p kariz-bench -- compare{}`, then `-- publish`; raw: `benches/results/compare.json`.\n\
         {}, commit {}, {} {workers}, io {}; {} {rounds}, turns of {} s, in {}.\n{}.\n{versions}\n",
        options.chosen,
        report.kariz,
        report.commit,
        options.kariz_workers,
        options.kariz_io,
        options.rounds,
        options.timing.turn.as_secs_f64(),
        options.network,
        report.machine,
    )
}

fn versions(versions: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (peer, version) in versions {
        let between = if text.is_empty() { "Peers: " } else { ", " };
        // Written to a string: nothing that can fail.
        let _ = write!(text, "{between}{peer} {}", code(version));
    }
    if !text.is_empty() {
        text.push('.');
    }
    text
}

/// Words of others, in which nothing is Markdown.
fn code(text: &str) -> String {
    let plain: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain.replace(|c: char| c == '`' || c.is_control(), "'");
    format!("`{}`", if plain.is_empty() { "unknown" } else { &plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_named_with_its_bound() {
        let verdicts = [
            Verdict::at_least("kariz direct / rathole, visits, /cpu-s", 1.0, 1.1),
            Verdict::at_most("kariz direct / haproxy pair, ping/alone, p50 us", 0.9, 1.0),
        ];
        let text = targets(&verdicts);
        assert!(text.starts_with("Reached: 1 of 2.\n"), "{text}");
        assert!(
            text.ends_with("\n\n- kariz direct / rathole, visits, /cpu-s: 1.000, at least 1.1\n"),
            "{text}"
        );
        assert_eq!(targets(&verdicts[1..]), "Reached: 1 of 1.\n");
        assert!(targets(&[]).starts_with("No target"));
    }

    #[test]
    fn a_narrow_miss_does_not_look_like_a_hit() {
        assert_eq!(told_from(1.05, 1.1), "1.050");
        assert_eq!(told_from(0.89997, 0.9), "0.89997");
        assert_eq!(told_from(0.9, 0.9), "0.9");
    }

    #[test]
    fn failures_of_one_kind_share_a_line() {
        let failure = |work: &str, round, why: &str| Failure {
            name: "frp tcpMux".into(),
            work: work.into(),
            round,
            why: why.into(),
        };
        let results = Results {
            failures: vec![
                failure("visits", 1, "a `b`"),
                failure("visits", 2, "c"),
                failure("start", 2, ""),
            ],
            answers_lost: ["rathole".into()].into(),
            missing: [("realm".into(), "no registry carries it".into())].into(),
            ..Results::default()
        };
        assert_eq!(
            troubles(&results),
            "- Dropped the answer to a visitor who had ended his own direction (half-close): rathole\n\
             - Failed: frp tcpMux at visits, in 2 rounds: `a 'b'`\n\
             - Failed: frp tcpMux at start, in 1 round: `unknown`\n\
             - Missing: realm, `no registry carries it`\n"
        );
        assert_eq!(troubles(&Results::default()), "");
    }
}
