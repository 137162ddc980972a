//! Pictures: bars by the day, as SVG made here, with colours of the style sheet and a table beneath for whoever does not
//! see them.

use std::fmt::Write;

/// One bar: parts above each other, the first at the bottom.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    /// A day, as `2026-11-29`.
    pub label: String,
    pub parts: Vec<i64>,
}

impl Bar {
    fn sum(&self) -> i64 {
        self.parts.iter().sum()
    }
}

/// A picture of bars.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, in a sentence.
    pub title: String,
    /// What the parts of a bar are, in their order.
    pub names: Vec<&'static str>,
    pub bars: Vec<Bar>,
}

/// Units of the picture; a browser scales it.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 150;
const LEFT: i64 = 56;
const TOP: i64 = 10;
const BOTTOM: i64 = 20;

/// The classes of the parts.
const CLASSES: [&str; 3] = ["a", "b", "c"];

impl Chart {
    /// The sum of one part over all bars.
    pub fn total(&self, part: usize) -> i64 {
        self.bars.iter().filter_map(|bar| bar.parts.get(part)).sum()
    }

    /// Whether there is nothing to see.
    pub fn is_empty(&self) -> bool {
        self.bars.iter().all(|bar| bar.sum() == 0)
    }

    /// The class of a part.
    pub fn class(&self, part: &usize) -> &'static str {
        CLASSES.get(*part).copied().unwrap_or("a")
    }

    /// Whether there are several parts, which need a key.
    pub fn has_key(&self) -> bool {
        self.names.len() > 1
    }

    /// The SVG. It has nothing but numbers and days, so that nothing in it has to be escaped but the title.
    pub fn svg(&self) -> String {
        let most = round_up(self.bars.iter().map(Bar::sum).max().unwrap_or_default());
        let room = HEIGHT - TOP - BOTTOM;
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            askama::filters::escape(&self.title, askama::filters::Html)
                .map_or_else(|_| String::new(), |text| text.to_string())
        );
        for (share, value) in [(0, most), (1, most / 2), (2, 0)] {
            let y = TOP + room * share / 2;
            let _ = write!(
                svg,
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                LEFT - 6,
                y + 4,
                super::words::grouped(value)
            );
        }
        let count = i64::try_from(self.bars.len()).unwrap_or(1).max(1);
        for (index, bar) in (0_i64..).zip(&self.bars) {
            let x = LEFT + (WIDTH - LEFT) * index / count;
            let next = LEFT + (WIDTH - LEFT) * (index + 1) / count;
            let wide = (next - x - 3).max(1);
            let mut y = HEIGHT - BOTTOM;
            let _ = write!(svg, "<g><title>{}: {}</title>", bar.label, super::words::grouped(bar.sum()));
            for (part, value) in bar.parts.iter().enumerate() {
                let high = if most == 0 { 0 } else { room.saturating_mul(*value) / most };
                // What there is can be seen.
                let high = if *value > 0 { high.max(1) } else { 0 };
                y -= high;
                let class = self.class(&part);
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\"/>",
                    x + 1
                );
            }
            svg += "</g>";
        }
        for (bar, x, anchor) in [(self.bars.first(), LEFT, "start"), (self.bars.last(), WIDTH, "end")] {
            if let Some(bar) = bar {
                let _ =
                    write!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>", HEIGHT - 5, bar.label);
            }
        }
        svg + "</svg>"
    }
}

/// The next number of one digit other than zero that is 1, 2, 5, or such a number times ten, at least 2.
fn round_up(most: i64) -> i64 {
    let mut step = 1_i64;
    loop {
        for factor in [2, 5, 10] {
            let value = step.saturating_mul(factor);
            if value >= most {
                return value;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number() {
        for (most, end) in [(0, 2), (2, 2), (3, 5), (6, 10), (11, 20), (4_999, 5_000), (5_001, 10_000)] {
            assert_eq!(round_up(most), end, "{most}");
        }
        assert_eq!(round_up(i64::MAX), i64::MAX);
    }

    #[test]
    fn each_day_has_a_bar_with_its_parts() {
        let bar = |label: &str, parts: &[i64]| Bar { label: label.to_owned(), parts: parts.to_vec() };
        let chart = Chart {
            title: "Requests of <b>".to_owned(),
            names: vec!["answered", "refused"],
            bars: vec![bar("2026-11-28", &[10, 0]), bar("2026-11-29", &[5, 1])],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.contains("<title>2026-11-29: 6</title>") && !svg.contains("<b>"), "{svg}");
        assert_eq!((chart.total(0), chart.total(1), chart.is_empty()), (15, 1, false));
    }
}
