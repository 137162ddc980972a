//! Header blocks of HTTP/2: the same in whatever pieces they come, and the sizes and faults that another decoder's lines
//! have.

use httlib_hpack::Decoder;
use tollgate::downstream::http2::blocks::{Blocks, Malformed};

use crate::memory;

/// The most decoded bytes of a head here; small, so that it is reached.
const MOST: usize = 4096;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// A frame: its kind, its flags, its stream and its payload.
type Frame<'f> = (u8, u8, u8, &'f [u8]);

/// What was found in the frames of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    faults: Vec<(u32, Malformed)>,
    decoded: usize,
    is_too_large: bool,
    is_broken: bool,
}

pub fn run(data: &[u8]) {
    let Some((step, rest)) = super::step(data) else { return };
    let frames = valid(rest);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (kind, flags, stream, payload) in &frames {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        bytes.extend_from_slice(&[&length[1..], &[*kind, *flags, 0, 0, 0, *stream], payload].concat());
    }
    // A line that is not complete and the buffer that it is decoded into, and the table.
    let found = memory::within(32 * 1024, "the blocks of a connection", || found(&bytes, usize::MAX));
    assert_eq!(found, self::found(&bytes, step), "in pieces of {step}");
    // The other decoder panics where a line is cut short, so that it is only asked about what this one takes.
    let is_whole = frames.iter().rfind(|(kind, ..)| *kind != 0).is_none_or(|(_, flags, ..)| flags & END_HEADERS != 0);
    if is_whole && !found.is_broken && !found.is_too_large {
        assert_eq!(Some(found), expected(&frames), "the other decoder finds something else");
    }
}

/// Frames out of any bytes, in an order that RFC 9113 allows: nothing comes between the frames of a block.
fn valid(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let (mut frames, mut open) = (Vec::new(), None);
    while let [kind, flags, stream, length, rest @ ..] = bytes {
        let (payload, after) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = after;
        let (kind, stream) = match open {
            Some(stream) => (CONTINUATION, stream),
            None if kind % 4 == 0 => (0, *stream),
            None => (HEADERS, *stream),
        };
        open = (kind != 0 && flags & END_HEADERS == 0).then_some(stream);
        frames.push((kind, *flags, stream, payload));
    }
    frames
}

fn found(bytes: &[u8], step: usize) -> Found {
    let (mut blocks, mut found) = (Blocks::new(MOST), Found::default());
    for piece in bytes.chunks(step) {
        if blocks.read(piece, |stream, fault| found.faults.push((stream, fault))).is_err() {
            found.is_too_large = true;
            break;
        }
    }
    found.decoded = blocks.take_decoded();
    found.is_broken = blocks.is_broken();
    found
}

/// The same, by complete blocks and another decoder; `None` if it refuses one.
fn expected(frames: &[Frame<'_>]) -> Option<Found> {
    let (mut decoder, mut found, mut block, mut last) = (Decoder::default(), Found::default(), Vec::new(), 0);
    for (kind, flags, stream, payload) in frames.iter().filter(|(kind, ..)| *kind != 0) {
        block.extend_from_slice(if *kind == HEADERS { unframed(payload, *flags)? } else { payload });
        if flags & END_HEADERS == 0 {
            continue;
        }
        let lines = lines(&mut decoder, &std::mem::take(&mut block))?;
        let bytes = bytes_of(&lines);
        if bytes >= MOST {
            found.is_too_large = true;
            return Some(found);
        }
        found.decoded += bytes;
        let stream = u32::from(*stream);
        let fault = if stream <= last {
            lines.iter().any(|(name, ..)| name.starts_with(b":")).then_some(Malformed::Trailers)
        } else {
            lines.iter().find_map(|(name, value, _)| match name.as_slice() {
                b":path" => value.contains(&b'#').then_some(Malformed::Fragment),
                b":scheme" => (!value.eq_ignore_ascii_case(b"http") && !value.eq_ignore_ascii_case(b"https"))
                    .then_some(Malformed::Scheme),
                _ => None,
            })
        };
        last = last.max(stream);
        found.faults.extend(fault.map(|fault| (stream, fault)));
    }
    Some(found)
}

/// The lines of a block: name, value and what the other decoder says of them.
type Lines = Vec<(Vec<u8>, Vec<u8>, u8)>;

fn lines(decoder: &mut Decoder, block: &[u8]) -> Option<Lines> {
    let (mut block, mut lines) = (block.to_vec(), Vec::new());
    decoder.decode(&mut block, &mut lines).ok().map(|_| lines)
}

/// Their size as HTTP/2 counts it (RFC 9113, section 6.5.2).
fn bytes_of(lines: &Lines) -> usize {
    lines.iter().map(|(name, value, _)| name.len() + value.len() + 32).sum()
}

fn unframed(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, rest) = if flags & PADDED == 0 { (0, payload) } else { (*payload.first()?, &payload[1..]) };
    let rest = if flags & PRIORITY == 0 { rest } else { rest.get(5..)? };
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}
