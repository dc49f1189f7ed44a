//! The sheet, its colours, and what they mean.

use super::super::cast::Part;
use svg::Document;
use svg::node::element::{Group, Rectangle, Text, Title};

const LINE: f64 = 18.0;

/// Readable on the sheet, which brings its own background: a reader's theme changes nothing.
pub(super) const PAPER: &str = "#ffffff";
const EDGE: &str = "#d0d7de";
pub(super) const INK: &str = "#1f2328";
pub(super) const PALE_INK: &str = "#59636e";

const FONTS: &str = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif";

const ENTRIES: [(Part, &str); 3] = [
    (Part::Kariz, "Kariz"),
    (Part::Peer, "peers"),
    (Part::Limit, "limits: parts of the benchmark kit that only move bytes"),
];

const CUT: &str = "A bar with a gap is longer than drawn: its figure counts.";

pub(super) fn colour(part: Part) -> &'static str {
    match part {
        Part::Kariz => "#0a7d6c",
        Part::Peer => "#8c959f",
        Part::Limit | Part::CopyLoop | Part::Bare => "#d3d9e0",
    }
}

/// The whole document.
pub(super) fn sheet(width: f64, height: f64, body: Group) -> String {
    let background = Rectangle::new()
        .set("x", 0.5)
        .set("y", 0.5)
        .set("width", width - 1.0)
        .set("height", height - 1.0)
        .set("rx", 6)
        .set("fill", PAPER)
        .set("stroke", EDGE);
    let document = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .set("font-family", FONTS)
        .set("font-size", 12)
        .add(Title::new("Kariz beside its peers and its limits"))
        .add(background)
        .add(body);
    format!("{document}\n")
}

/// What the colours mean, and its height.
pub(super) fn legend(has_cut_bars: bool) -> (Group, f64) {
    let mut legend = Group::new().set("font-size", 11);
    let mut top = 0.0;
    for (part, words) in ENTRIES {
        let square = Rectangle::new()
            .set("y", top + 1.0)
            .set("width", 12)
            .set("height", 12)
            .set("fill", colour(part));
        legend = legend.add(square).add(words_at(18.0, top, words));
        top += LINE;
    }
    if has_cut_bars {
        legend = legend.add(words_at(0.0, top, CUT));
        top += LINE;
    }
    (legend, top)
}

fn words_at(left: f64, top: f64, words: &str) -> Text {
    Text::new(words)
        .set("x", left)
        .set("y", top + 11.0)
        .set("fill", PALE_INK)
}
