//! Decisions in the order in which they were made: a journal has them in the order in which their requests ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The most decisions that wait for earlier ones, and the most bytes of their lines.
const MOST_WAITING: usize = 65_536;
const MOST_WAITING_BYTES: usize = 128 * 1024 * 1024;

/// A line, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The decision's time, as it is written: times of one form are ordered as their texts are.
    time: Box<str>,
    /// The index of its file, and the number of its line.
    pub file: usize,
    pub line: u64,
    pub text: Box<str>,
}

/// Lines that wait for earlier ones.
#[derive(Debug, Default)]
pub struct InOrder {
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    /// The time of the last line that was handed on.
    last: Box<str>,
    /// Lines that came after a later one was handed on.
    late: u64,
}

impl InOrder {
    /// Adds the line of a decision; the earliest comes back if as many wait as can.
    pub fn add(&mut self, file: usize, line: u64, text: &str) -> Option<Waiting> {
        let time = time_of(text);
        if *time < *self.last {
            self.late = self.late.saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(text.len());
        self.waiting.push(Reverse(Waiting { time: time.into(), file, line, text: text.into() }));
        let is_full = self.waiting.len() > MOST_WAITING || self.bytes > MOST_WAITING_BYTES;
        if is_full { self.next() } else { None }
    }

    /// The earliest line that waits.
    pub fn next(&mut self) -> Option<Waiting> {
        let Reverse(first) = self.waiting.pop()?;
        self.bytes = self.bytes.saturating_sub(first.text.len());
        if *first.time > *self.last {
            self.last.clone_from(&first.time);
        }
        Some(first)
    }

    /// Lines that came too late to be judged in their order.
    pub fn late(&self) -> u64 {
        self.late
    }
}

/// The time that a line begins with.
fn time_of(text: &str) -> &str {
    text.split('"').nth(3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_in_the_order_of_their_times() {
        let mut order = InOrder::default();
        for (number, time) in ["07", "03", "05"].into_iter().enumerate() {
            let line = format!("{{\"time\":\"2026-01-01T00:00:{time}.000000000Z\",\"x\":1}}");
            assert_eq!(order.add(0, number as u64, &line), None);
        }
        assert_eq!(std::iter::from_fn(|| order.next().map(|next| next.line)).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(order.late(), 0);
        order.add(1, 9, "{\"time\":\"2026-01-01T00:00:01.000000000Z\"}");
        assert_eq!(order.late(), 1);
        let mut order = InOrder::default();
        let mut handed_on = 0;
        for number in 0..MOST_WAITING as u64 + 10 {
            handed_on += u64::from(order.add(0, number, &format!("{{\"time\":\"{number:09}\"}}")).is_some());
        }
        assert_eq!(handed_on, 10);
    }
}
