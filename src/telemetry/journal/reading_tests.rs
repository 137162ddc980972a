//! Tests of reading: whole files, cut ones, damaged ones, and bytes that are no journal.

use super::*;

/// Keeps what it is handed.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    lines: Vec<(u64, String)>,
    damages: Vec<Damage>,
}

impl Reader for Kept {
    fn line(&mut self, number: u64, text: &str) {
        self.lines.push((number, text.to_owned()));
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

fn frame(text: &str) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    compressor.compress(text.as_bytes()).unwrap()
}

fn kept(bytes: &[u8]) -> Kept {
    let mut kept = Kept::default();
    read(&mut &*bytes, &mut kept).unwrap();
    let mut slowly = Kept::default();
    read(&mut Slow(bytes, 7), &mut slowly).unwrap();
    assert_eq!(kept, slowly);
    kept
}

fn texts(kept: &Kept) -> Vec<&str> {
    kept.lines.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn frames_and_plain_lines_are_read() {
    let whole = [frame("a\nb\n"), frame("c\n")].concat();
    assert_eq!(kept(&whole).lines, [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
    assert_eq!(kept(&whole).damages, []);
    assert_eq!(texts(&kept(b"a\nb")), ["a", "b"]);
    // Frames of other programs can cut lines.
    assert_eq!(texts(&kept(&[frame("a\nb"), frame("c\nd\n")].concat())), ["a", "bc", "d"]);
    assert_eq!(kept(b""), Kept::default());
    let skipped = [frame("a\n"), vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2], frame("b\n")].concat();
    assert_eq!(texts(&kept(&skipped)), ["a", "b"]);
}

#[test]
fn a_cut_file_is_read_up_to_its_last_whole_frame() {
    let (first, second) = (frame("a\nb\n"), frame(&"c\n".repeat(1000)));
    let whole = [first.clone(), second].concat();
    for end in 0..whole.len() {
        let kept = kept(&whole[..end]);
        let is_cut = end != 0 && end != first.len();
        if end >= first.len() {
            assert_eq!(texts(&kept), ["a", "b"], "{end}");
            assert_eq!(kept.damages.len(), usize::from(is_cut), "{end}: {kept:?}");
        }
        if end > first.len() {
            assert_eq!(kept.damages[0].byte, first.len() as u64, "{end}");
        }
    }
}

#[test]
fn damage_costs_its_own_frame_alone() {
    let frames: Vec<Vec<u8>> = ["a\n", &"bcdefg\n".repeat(50), "h\n"].map(frame).to_vec();
    let whole = frames.concat();
    let second = frames[0].len()..frames[0].len() + frames[1].len();
    for at in second.clone() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let kept = kept(&damaged);
        let texts = texts(&kept);
        assert_eq!((texts.first(), texts.last()), (Some(&"a"), Some(&"h")), "{at}: {kept:?}");
        // No damage is taken for a line.
        assert!(texts.iter().all(|text| ["a", "bcdefg", "h"].contains(text)), "{at}");
        if texts.len() == 2 {
            assert!(kept.damages.iter().any(|damage| second.contains(&usize::try_from(damage.byte).unwrap())), "{at}");
        }
    }
    let between = [frames[0].clone(), b"garbage".to_vec(), frames[2].clone()].concat();
    assert_eq!(texts(&kept(&between)), ["a", "h"]);
    assert_eq!(kept(&between).damages.len(), 1);
}

#[test]
fn a_line_without_end_takes_no_more_memory_than_the_longest() {
    let mut kept = Kept::default();
    let long = "x".repeat(MOST_LINE_BYTES + 1);
    read(&mut format!("a\n{long}\nb\n").as_bytes(), &mut kept).unwrap();
    assert!(texts(&kept) == ["a", "b"], "{} lines", kept.lines.len());
    assert_eq!(kept.damages.len(), 1);
    let frame = frame(&"y".repeat(MOST_HELD_BYTES + 10));
    let mut kept = Kept::default();
    read(&mut &*frame, &mut kept).unwrap();
    assert_eq!((kept.lines.len(), kept.damages.len()), (0, 1));
}
