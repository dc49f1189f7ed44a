//! The picture: what matters most, as bars.

mod panel;
mod paper;

use super::cast::{self, Member, Part};
use super::cell::{Cell, Figure};
use super::columns::{CPU_MANY_STREAMS, CPU_ONE_STREAM, IDLE_KIB, P99_BESIDE, VISITS};
use crate::kit::compare::Report;
use crate::kit::compare::results::Results;
use panel::{Bar, Better, Panel};
use svg::node::element::Group;

/// Between panels, and between them and the edge.
const GAP: f64 = 24.0;

/// Panels beside each other; the legend takes the place after the last one.
const COLUMNS: usize = 2;

#[rustfmt::skip]
const PANELS: [(&str, Better, Figure); 5] = [
    ("Gbit per CPU-second, 1 stream", Better::High, CPU_ONE_STREAM),
    ("Gbit per CPU-second, 64 streams", Better::High, CPU_MANY_STREAMS),
    ("Round trip p99 beside 2x500 Mbit/s, us", Better::Low, P99_BESIDE),
    ("New connections per CPU-second", Better::High, VISITS),
    ("KiB per idle visitor, both ends", Better::Low, IDLE_KIB),
];

/// An SVG document, the same for the same report.
pub(super) fn of(report: &Report) -> String {
    let members: Vec<Member> = cast::two_hops()
        .into_iter()
        .filter(|member| is_shown(member.part))
        .collect();
    let panels: Vec<Panel> = PANELS
        .into_iter()
        .filter_map(|(title, better, figure)| panel(title, better, figure, &members, &report.results))
        .collect();
    let legend = paper::legend(panels.iter().any(Panel::has_cut_bars));
    let blocks = panels.iter().map(|panel| (panel.draw(), panel.height()));
    let blocks: Vec<(Group, f64)> = blocks.chain([legend]).collect();
    let mut body = Group::new();
    let mut top = GAP;
    for row in blocks.chunks(COLUMNS) {
        let mut left = GAP;
        for (block, _) in row {
            let place = format!("translate({left} {top})");
            body = body.add(Group::new().set("transform", place).add(block.clone()));
            left += panel::WIDTH + GAP;
        }
        top += row.iter().map(|(_, height)| *height).fold(0.0, f64::max) + GAP;
    }
    let width = GAP + COLUMNS as f64 * (panel::WIDTH + GAP);
    paper::sheet(width, top, body)
}

/// The copy loops are in the tables: they take part in few works.
fn is_shown(part: Part) -> bool {
    matches!(part, Part::Kariz | Part::Peer | Part::Limit)
}

/// The best first, those who failed last; `None` without any figure.
fn panel(title: &'static str, better: Better, figure: Figure, members: &[Member], results: &Results) -> Option<Panel> {
    let mut bars = Vec::new();
    let mut failed = Vec::new();
    for Member { name, part } in members.iter().cloned() {
        match figure.of(&name, results) {
            Cell::Value(value) => bars.push(Bar {
                name,
                part,
                value: Some(value),
            }),
            Cell::Failed => failed.push(Bar {
                name,
                part,
                value: None,
            }),
            Cell::Blank => {}
        }
    }
    if bars.is_empty() {
        return None;
    }
    bars.sort_by(|a, b| {
        match better {
            Better::High => b.value.partial_cmp(&a.value),
            Better::Low => a.value.partial_cmp(&b.value),
        }
        .unwrap_or(std::cmp::Ordering::Equal)
    });
    bars.extend(failed);
    Some(Panel { title, better, bars })
}
