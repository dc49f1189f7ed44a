//! One figure of everybody: a title, and a bar for each.

use super::super::cast::Part;
use super::super::cell::{Cell, number};
use super::paper::{INK, PALE_INK, PAPER, colour};
use svg::node::element::{Group, Rectangle, Text};

pub(super) const WIDTH: f64 = 390.0;

/// Where names end and bars begin.
const NAMES: f64 = 112.0;
/// The longest bar; to the right of it is room for its figure.
const LONGEST: f64 = WIDTH - NAMES - 60.0;
const TITLE: f64 = 26.0;
const LINE: f64 = 18.0;
const THICK: f64 = 12.0;

/// What is longer than this many times the middle one would make all others look alike.
const CUT_AT: f64 = 4.0;

/// Before the end of a cut bar, and how wide it is.
const GAP_BEFORE_END: f64 = 14.0;
const GAP_WIDTH: f64 = 4.0;

#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) better: Better,
    pub(super) bars: Vec<Bar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    High,
    Low,
}

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) part: Part,
    /// `None`: the work failed.
    pub(super) value: Option<f64>,
}

impl Panel {
    pub(super) fn height(&self) -> f64 {
        TITLE + LINE * self.bars.len() as f64
    }

    pub(super) fn has_cut_bars(&self) -> bool {
        let longest = self.longest();
        self.values(|_| true).any(|value| value > longest)
    }

    pub(super) fn draw(&self) -> Group {
        let better = match self.better {
            Better::High => "more is better",
            Better::Low => "less is better",
        };
        let title = Text::new(self.title)
            .set("y", 11)
            .set("font-weight", "bold")
            .set("fill", INK);
        let better = Text::new(better)
            .set("x", WIDTH)
            .set("y", 11)
            .set("font-size", 11)
            .set("text-anchor", "end")
            .set("fill", PALE_INK);
        let panel = Group::new().add(title).add(better);
        let longest = self.longest();
        let lines = self.bars.iter().enumerate();
        lines.fold(panel, |panel, (line, bar)| {
            bar.draw(panel, TITLE + LINE * line as f64, longest)
        })
    }

    /// The value of a bar of full length. Kariz' own are never cut.
    fn longest(&self) -> f64 {
        let mut sorted: Vec<f64> = self.values(|_| true).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let greatest = sorted.last().copied().unwrap_or(0.0);
        let ours = self.values(|part| part == Part::Kariz).fold(0.0, f64::max);
        greatest.min((CUT_AT * middle).max(ours))
    }

    fn values(&self, of: impl Fn(Part) -> bool) -> impl Iterator<Item = f64> {
        let bars = self.bars.iter().filter(move |bar| of(bar.part));
        bars.filter_map(|bar| bar.value)
    }
}

impl Bar {
    fn draw(&self, panel: Group, top: f64, longest: f64) -> Group {
        let weight = if self.part == Part::Kariz { "bold" } else { "normal" };
        let words = |words: String| {
            let text = Text::new(words).set("y", top + 10.0).set("font-weight", weight);
            text.set("font-size", 11.5).set("fill", INK)
        };
        let name = words(self.name.clone()).set("x", NAMES - 7.0).set("text-anchor", "end");
        let (length, figure) = match self.value {
            Some(value) => (length(value, longest), number(value)),
            None => (0.0, Cell::Failed.text()),
        };
        let bar = |left: f64, length: f64, colour: &str| {
            let bar = Rectangle::new().set("x", left).set("y", top).set("height", THICK);
            bar.set("width", length).set("fill", colour)
        };
        let figure = words(figure).set("x", NAMES + length + 5.0);
        let panel = panel.add(name).add(bar(NAMES, length, colour(self.part))).add(figure);
        if self.value.is_some_and(|value| value > longest) {
            panel.add(bar(NAMES + length - GAP_BEFORE_END, GAP_WIDTH, PAPER))
        } else {
            panel
        }
    }
}

/// In tenths of a pixel; what is less than nothing (memory given back) has no bar.
fn length(value: f64, longest: f64) -> f64 {
    let share = if longest > 0.0 {
        (value / longest).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (share * LONGEST * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(values: &[(Part, Option<f64>)]) -> Panel {
        let bar = |(part, value): &(Part, Option<f64>)| Bar {
            name: "somebody".into(),
            part: *part,
            value: *value,
        };
        Panel {
            title: "round trip",
            better: Better::Low,
            bars: values.iter().map(bar).collect(),
        }
    }

    #[test]
    fn what_would_dwarf_the_others_is_cut_and_keeps_its_figure() {
        let values = [1.0, 1.0, 2.0, 2.0, 50_000.0].map(|value| (Part::Peer, Some(value)));
        let panel = panel(&values);
        assert!(panel.has_cut_bars());
        assert_eq!(panel.longest(), 8.0);
        let drawn = panel.draw().to_string();
        assert!(drawn.contains("50,000"), "{drawn}");
    }

    #[test]
    fn kariz_is_never_cut() {
        let panel = panel(&[
            (Part::Kariz, Some(100.0)),
            (Part::Peer, Some(1.0)),
            (Part::Limit, Some(1.0)),
        ]);
        assert!(!panel.has_cut_bars());
    }

    #[test]
    fn who_failed_has_a_line_and_no_bar() {
        let panel = panel(&[(Part::Kariz, Some(1.0)), (Part::Peer, None)]);
        let drawn = panel.draw().to_string();
        assert!(drawn.contains("failed") && drawn.contains("width=\"0\""), "{drawn}");
        assert_eq!(panel.height(), TITLE + 2.0 * LINE);
    }

    #[test]
    fn no_length_is_negative_or_endless() {
        assert_eq!(length(-1.0, 2.0), 0.0);
        assert_eq!(length(1.0, 0.0), 0.0);
        assert_eq!(length(1.0, 2.0), LONGEST / 2.0);
    }
}
