//! The journal: reading ends whatever the bytes are, and finds the same in whatever pieces they come; and a line that was
//! read is written and read again as the same.

use std::io::{self, Read};

use tollgate::telemetry::journal::line::Line;
use tollgate::telemetry::journal::reading::{Damage, Reader, read};

#[derive(Debug, Default, PartialEq)]
struct Kept {
    lines: Vec<String>,
    damages: Vec<Damage>,
}

impl Reader for Kept {
    fn line(&mut self, _number: u64, text: &str) {
        self.lines.push(text.to_owned());
    }

    fn damage(&mut self, damage: Damage) {
        self.damages.push(damage);
    }
}

/// Hands out a few bytes at a time.
struct Slow<'b>(&'b [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(out.len());
        let (now, later) = self.0.split_at(count);
        out[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

pub fn run(data: &[u8]) {
    let Some((step, bytes)) = super::step(data) else { return };
    let (mut at_once, mut slowly) = (Kept::default(), Kept::default());
    read(&mut &*bytes, &mut at_once).unwrap();
    read(&mut Slow(bytes, step), &mut slowly).unwrap();
    assert_eq!(at_once, slowly, "in pieces of {step}");
    for text in &at_once.lines {
        let Ok(line) = Line::read(text) else { continue };
        let mut out = Vec::new();
        line.write(&mut out).unwrap();
        let written = String::from_utf8(out).unwrap();
        // A member that has what it mostly has is left out, so that another one can be the first.
        if let Ok(again) = Line::read(written.trim_end()) {
            assert_eq!(again, line, "{text}");
        }
    }
}
