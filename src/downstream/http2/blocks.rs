//! Checks the heads of a client's HTTP/2 connection for what `h2` does not report, before `h2` gets
//! them.
//!
//! `h2` cuts a `:path` at its `#`, drops the `:scheme` of a request without `:authority` and the
//! pseudo-headers of trailers, and answers a head beyond its limit itself, with a status that is
//! not in the contract. So header blocks are decoded here first, with the same table (RFC 7541), of
//! whose entries only the size and the meaning are kept. Nothing else is checked; malformed blocks
//! are left to `h2`, which ends the connection.

use std::collections::VecDeque;

use super::huffman;

/// The bytes of the connection preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// The bytes of a frame header (section 4.1).
const FRAME_HEAD_BYTES: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// The bytes of a connection's dynamic table: what `h2` offers; clients may use less.
const TABLE_BYTES: usize = 4096;

/// The overhead of a table entry, in bytes (RFC 7541, section 4.1).
const ENTRY_BYTES: usize = 32;

/// How a head or trailers are malformed (RFC 9113, section 8.1.1) where `h2` does not report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A fragment in `:path`.
    Fragment,
    /// A `:scheme` that is neither http nor https.
    Scheme,
    /// A pseudo-header in trailers (RFC 9113, section 8.1).
    Trailers,
}

impl Malformed {
    /// Why the request is refused.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Malformed::Fragment => "a fragment in the target",
            Malformed::Scheme => "a scheme that is not http or https",
            Malformed::Trailers => "a pseudo-header in the trailers",
        }
    }
}

/// A head exceeds the limit of decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Reads the frames of a connection.
pub struct Blocks {
    /// The most decoded bytes of a head, as HTTP/2 counts them (RFC 9113, section 6.5.2).
    most: usize,
    preface_left: usize,
    head: Vec<u8>,
    /// The bytes left in the payload of the frame.
    left: usize,
    /// What the previous frame has left over, and the payload of this frame with headers.
    payload: Vec<u8>,
    block: Block,
    /// The decoded bytes of heads and trailers that have ended, until they are taken.
    decoded: usize,
    table: Table,
    /// The last stream that has begun: a block on an earlier one has trailers.
    last_stream: u32,
    /// The bytes are not valid HTTP/2.
    is_broken: bool,
}

/// The state of the block that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    bytes: usize,
    has_pseudo: bool,
    fault: Option<Malformed>,
}

impl Blocks {
    /// A reader for a connection whose heads may have this many decoded bytes.
    pub fn new(most: usize) -> Blocks {
        Blocks {
            most,
            preface_left: PREFACE_BYTES,
            head: Vec::with_capacity(FRAME_HEAD_BYTES),
            left: 0,
            payload: Vec::new(),
            block: Block::default(),
            decoded: 0,
            table: Table { entries: VecDeque::new(), bytes: 0, most: TABLE_BYTES, scratch: Vec::new() },
            last_stream: 0,
            is_broken: false,
        }
    }

    /// Reads bytes that have arrived; `found` is called with each error and its stream.
    ///
    /// # Errors
    /// A head exceeds the limit. The bytes must not be passed on then.
    pub fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(u32, Malformed)) -> Result<(), TooLarge> {
        let preface = split(&mut bytes, self.preface_left);
        self.preface_left -= preface.len();
        while !bytes.is_empty() && !self.is_broken {
            if self.left == 0 {
                let missing = FRAME_HEAD_BYTES - self.head.len();
                self.head.extend_from_slice(split(&mut bytes, missing));
                let &[high, middle, low, ..] = self.head.as_slice() else { return Ok(()) };
                if self.head.len() < FRAME_HEAD_BYTES {
                    return Ok(());
                }
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            }
            let piece = split(&mut bytes, self.left);
            self.left -= piece.len();
            let is_block = matches!(self.head.get(3), Some(&(HEADERS | CONTINUATION)));
            if is_block {
                self.payload.extend_from_slice(piece);
                if self.payload.len() > self.most {
                    return Err(TooLarge);
                }
            }
            if self.left == 0 {
                if is_block {
                    self.end_of_frame(&mut found)?;
                }
                self.head.clear();
            }
        }
        Ok(())
    }

    /// The decoded bytes of the heads and trailers that have ended since the last call.
    pub fn take_decoded(&mut self) -> usize {
        std::mem::take(&mut self.decoded)
    }

    /// Whether the bytes turned out not to be valid HTTP/2. What follows is not read.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Reads the headers of a complete frame; an incomplete line is kept for the next frame.
    fn end_of_frame(&mut self, found: &mut impl FnMut(u32, Malformed)) -> Result<(), TooLarge> {
        let &[_, _, _, kind, flags, a, b, c, d] = self.head.as_slice() else { return Ok(()) };
        let stream = u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1);
        let payload = std::mem::take(&mut self.payload);
        let Some(fragment) = (if kind == HEADERS { unframed(&payload, flags) } else { Some(payload.as_slice()) })
        else {
            self.is_broken = true;
            return Ok(());
        };
        let mut reader = Reader(fragment);
        let stopped = loop {
            let before = reader;
            match self.table.field(&mut reader, &mut self.block) {
                Ok(()) if self.block.bytes >= self.most => return Err(TooLarge),
                Ok(()) => {}
                Err(stop) => {
                    reader = before;
                    break stop;
                }
            }
        };
        let ends = flags & END_HEADERS != 0;
        // Bytes left over at the end of a block are an error; at the end of a frame they may be
        // half a line.
        self.is_broken = stopped == Stop::Broken || (ends && !reader.0.is_empty());
        self.payload = reader.0.to_vec();
        if ends {
            self.end_of_block(stream, found);
        }
        Ok(())
    }

    fn end_of_block(&mut self, stream: u32, found: &mut impl FnMut(u32, Malformed)) {
        let block = std::mem::take(&mut self.block);
        self.decoded = self.decoded.saturating_add(block.bytes);
        let is_trailers = stream <= self.last_stream;
        self.last_stream = self.last_stream.max(stream);
        let fault = if is_trailers { block.has_pseudo.then_some(Malformed::Trailers) } else { block.fault };
        if let Some(fault) = fault {
            found(stream, fault);
        }
    }
}

/// Takes up to `most` bytes off the front.
fn split<'b>(bytes: &mut &'b [u8], most: usize) -> &'b [u8] {
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    front
}

/// The header block of a HEADERS frame (RFC 9113, section 6.2).
fn unframed(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let mut reader = Reader(payload);
    let padding = if flags & PADDED == 0 { 0 } else { usize::from(reader.byte().ok()?) };
    if flags & PRIORITY != 0 {
        reader.take(5).ok()?;
    }
    reader.0.get(..reader.0.len().checked_sub(padding)?)
}

/// The meaning of a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Regular,
    Pseudo,
    Path(Option<Malformed>),
    Scheme(Option<Malformed>),
}

impl Meaning {
    /// The meaning of a name.
    fn of(name: &[u8]) -> Meaning {
        match name {
            b":path" => Meaning::Path(None),
            b":scheme" => Meaning::Scheme(None),
            [b':', ..] => Meaning::Pseudo,
            _ => Meaning::Regular,
        }
    }

    /// The meaning of a line with this name and a value.
    fn with(self, value: &[u8]) -> Meaning {
        match self {
            Meaning::Regular | Meaning::Pseudo => self,
            Meaning::Path(_) => Meaning::Path(value.contains(&b'#').then_some(Malformed::Fragment)),
            Meaning::Scheme(_) => {
                let known = value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https");
                Meaning::Scheme((!known).then_some(Malformed::Scheme))
            }
        }
    }
}

/// An entry of the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name_bytes: usize,
    value_bytes: usize,
    meaning: Meaning,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.name_bytes.saturating_add(self.value_bytes).saturating_add(ENTRY_BYTES)
    }
}

/// The lines that a client can refer to by index (RFC 7541, section 2.3), the newest first.
#[derive(Debug)]
struct Table {
    entries: VecDeque<Entry>,
    bytes: usize,
    most: usize,
    /// The buffer for decoding strings.
    scratch: Vec<u8>,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The next line is missing or incomplete.
    NoMore,
    Broken,
}

impl Table {
    /// Reads one line, or one change of the table's size (section 6).
    fn field(&mut self, reader: &mut Reader<'_>, block: &mut Block) -> Result<(), Stop> {
        let first = reader.byte()?;
        let (prefix, remembers) = match first {
            0x80.. => {
                let entry = self.entry(reader.number(first, 7)?)?;
                block.add(&entry);
                return Ok(());
            }
            0x40.. => (6, true),
            0x20.. => {
                self.most = Some(reader.number(first, 5)?).filter(|most| *most <= TABLE_BYTES).ok_or(Stop::Broken)?;
                self.evict();
                return Ok(());
            }
            _ => (4, false),
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let (name_bytes, meaning) = match reader.number(first, prefix)? {
            0 => {
                let name = reader.string(&mut scratch)?;
                (name.len(), Meaning::of(name))
            }
            index => self.entry(index).map(|entry| (entry.name_bytes, entry.meaning))?,
        };
        scratch.clear();
        let value = reader.string(&mut scratch)?;
        let entry = Entry { name_bytes, value_bytes: value.len(), meaning: meaning.with(value) };
        self.scratch = scratch;
        block.add(&entry);
        if remembers {
            self.bytes = self.bytes.saturating_add(entry.bytes());
            self.entries.push_front(entry);
            self.evict();
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<Entry, Stop> {
        let index = index.checked_sub(1).ok_or(Stop::Broken)?;
        let known = match STATIC.get(index) {
            Some((name, value_bytes)) => Some(Entry {
                name_bytes: usize::from(*name),
                value_bytes: usize::from(*value_bytes),
                meaning: meaning_of_static(index),
            }),
            None => self.entries.get(index - STATIC.len()).copied(),
        };
        known.ok_or(Stop::Broken)
    }

    fn evict(&mut self) {
        while self.bytes > self.most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }
}

impl Block {
    fn add(&mut self, entry: &Entry) {
        self.bytes = self.bytes.saturating_add(entry.bytes());
        self.has_pseudo |= entry.meaning != Meaning::Regular;
        match entry.meaning {
            Meaning::Regular | Meaning::Pseudo => {}
            Meaning::Path(fault) | Meaning::Scheme(fault) => self.fault = self.fault.or(fault),
        }
    }
}

/// Bytes of a block that are not read yet.
#[derive(Clone, Copy)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Result<u8, Stop> {
        let (first, rest) = self.0.split_first().ok_or(Stop::NoMore)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Stop> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Stop::NoMore)?;
        self.0 = rest;
        Ok(front)
    }

    /// An integer that begins in the last bits of a byte (section 5.1).
    fn number(&mut self, first: u8, bits: u32) -> Result<usize, Stop> {
        /// More bits than any length or index here needs.
        const MOST_BITS: u32 = 28;
        let mask = u8::MAX >> (8 - bits);
        let mut number = usize::from(first & mask);
        if first & mask < mask {
            return Ok(number);
        }
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            number = number.saturating_add(usize::from(byte & 0x7f) << shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
            if shift >= MOST_BITS {
                return Err(Stop::Broken);
            }
        }
    }

    /// A string (section 5.2), which may be decoded into a buffer.
    fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Stop> {
        let first = self.byte()?;
        let length = self.number(first, 7)?;
        let bytes = self.take(length)?;
        if first & 0x80 == 0 {
            scratch.extend_from_slice(bytes);
        } else {
            huffman::decode(bytes, scratch).ok_or(Stop::Broken)?;
        }
        Ok(scratch)
    }
}

/// The meaning of a line of the static table, by its index from 0 on: one `:authority`, two
/// `:method`, two `:path`, two `:scheme`, seven `:status`.
fn meaning_of_static(index: usize) -> Meaning {
    match index {
        3 | 4 => Meaning::Path(None),
        5 | 6 => Meaning::Scheme(None),
        0..3 | 7..14 => Meaning::Pseudo,
        _ => Meaning::Regular,
    }
}

/// The bytes of the names and values of the static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [(u8, u8); 61] = [
    (10, 0), (7, 3), (7, 4), (5, 1), (5, 11), (7, 4), (7, 5), (7, 3), (7, 3), (7, 3),
    (7, 3), (7, 3), (7, 3), (7, 3), (14, 0), (15, 13), (15, 0), (13, 0), (6, 0), (27, 0),
    (3, 0), (5, 0), (13, 0), (13, 0), (19, 0), (16, 0), (16, 0), (14, 0), (16, 0), (13, 0),
    (12, 0), (6, 0), (4, 0), (4, 0), (6, 0), (7, 0), (4, 0), (4, 0), (8, 0), (17, 0),
    (13, 0), (8, 0), (19, 0), (13, 0), (4, 0), (8, 0), (12, 0), (18, 0), (19, 0), (5, 0),
    (7, 0), (7, 0), (11, 0), (6, 0), (10, 0), (25, 0), (17, 0), (10, 0), (4, 0), (3, 0),
    (16, 0),
];

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
