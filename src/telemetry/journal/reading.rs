//! Reads the lines of a journal, whatever state its files are in.
//!
//! A stream is frames of zstd, or lines as they are. What is damaged is told with its place and passed over: reading goes
//! on with the next frame. A frame counts only as a whole, once its checksum was right, unless it is far larger than those
//! that this program writes. Memory is bounded, whatever the bytes are.

use std::io::{self, Read};

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// What every frame begins with (RFC 8878, section 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes that are read at a time.
const STEP_BYTES: usize = 256 * 1024;

/// Decompressed bytes of a frame that are held back until it is whole; of a larger one the lines are handed on before.
const MOST_HELD_BYTES: usize = 32 * 1024 * 1024;

/// Compressed bytes of a frame that are kept, so that the next one is looked for from its beginning.
const MOST_KEPT_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the longest line. Only that of a policy with thousands of routes is longer than a few thousand bytes.
pub const MOST_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The byte of the stream at which it begins, from 0.
    pub byte: u64,
    pub what: &'static str,
}

/// Who is handed the lines.
pub trait Reader {
    /// A line without its end, and its number from 1 among those that could be read.
    fn line(&mut self, number: u64, text: &str);
    /// A part that could not be read.
    fn damage(&mut self, damage: Damage);
}

/// Reads a stream to its end.
///
/// # Errors
/// Those of the stream. What was read before counts.
pub fn read(source: &mut impl Read, reader: &mut impl Reader) -> io::Result<()> {
    let decoder = Decoder::new()?;
    let mut stream = Stream { source, window: Vec::new(), base: 0, is_over: false, decoder };
    let mut lines = Lines::default();
    let begins = stream.has(MAGIC.len())? && is_frame(&stream.window);
    if !begins {
        while stream.has(1)? {
            lines.add(&stream.window, stream.base, reader);
            stream.pass(stream.window.len());
        }
        lines.end(stream.base, reader);
        return Ok(());
    }
    while stream.has(1)? {
        let at = stream.base;
        let damage = |what| Damage { byte: at, what };
        if !stream.has(MAGIC.len())? || !is_frame(&stream.window) {
            reader.damage(damage("bytes that are no frame of zstd"));
            lines.forget();
            stream.find_frame()?;
            continue;
        }
        if let Err(what) = stream.frame(&mut lines, reader)? {
            reader.damage(damage(what));
            lines.forget();
            stream.pass(MAGIC.len());
            stream.find_frame()?;
        }
    }
    lines.end(stream.base, reader);
    Ok(())
}

/// Whether bytes begin as a frame does, of data or of something to be skipped.
fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) || matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

struct Stream<'s, S> {
    source: &'s mut S,
    /// The bytes that were read, from those that are needed on.
    window: Vec<u8>,
    /// The place of the first of them in the stream.
    base: u64,
    is_over: bool,
    decoder: Decoder<'static>,
}

impl<S: Read> Stream<'_, S> {
    /// Whether so many bytes are there, once as much as needed was read.
    fn has(&mut self, count: usize) -> io::Result<bool> {
        while self.window.len() < count && !self.is_over {
            self.more()?;
        }
        Ok(self.window.len() >= count)
    }

    fn more(&mut self) -> io::Result<()> {
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let count = self.source.by_ref().take(step).read_to_end(&mut self.window)?;
        self.is_over = count == 0;
        Ok(())
    }

    fn pass(&mut self, count: usize) {
        let count = count.min(self.window.len());
        self.window.drain(..count);
        self.base = self.base.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Passes over all that is before the next frame.
    fn find_frame(&mut self) -> io::Result<()> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.window, &MAGIC) {
                self.pass(at);
                return Ok(());
            }
            // What follows can be the rest of a beginning.
            self.pass(self.window.len().saturating_sub(MAGIC.len() - 1));
            let before = self.window.len();
            self.more()?;
            if self.is_over {
                self.pass(before);
                return Ok(());
            }
        }
    }

    /// Reads one frame, and passes over it if it is whole.
    fn frame(&mut self, lines: &mut Lines, reader: &mut impl Reader) -> io::Result<Result<(), &'static str>> {
        const CUT: &str = "a frame that has no end: it was cut off";
        self.decoder.reinit()?;
        let (mut used, mut held, mut room) = (0, Vec::new(), vec![0; STEP_BYTES]);
        loop {
            if used == self.window.len() {
                if used > MOST_KEPT_BYTES {
                    self.pass(used);
                    used = 0;
                }
                self.more()?;
            }
            let mut input = InBuffer::around(self.window.get(used..).unwrap_or_default());
            let mut output = OutBuffer::around(room.as_mut_slice());
            let left = match self.decoder.run(&mut input, &mut output) {
                Ok(left) => left,
                Err(_) => return Ok(Err("a frame that is damaged")),
            };
            let made = output.pos();
            used += input.pos();
            held.extend_from_slice(room.get(..made).unwrap_or_default());
            if left == 0 {
                self.pass(used);
                lines.add(&held, self.base, reader);
                return Ok(Ok(()));
            }
            if held.len() > MOST_HELD_BYTES {
                lines.add(&held, self.base, reader);
                held.clear();
            }
            if made == 0 && used == self.window.len() && self.is_over {
                return Ok(Err(CUT));
            }
        }
    }
}

/// Cuts text into lines.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end was not read yet.
    begun: Vec<u8>,
    /// The line is longer than lines can be, and is passed over.
    is_skipped: bool,
    number: u64,
}

impl Lines {
    fn add(&mut self, mut text: &[u8], byte: u64, reader: &mut impl Reader) {
        while let Some(end) = memchr::memchr(b'\n', text) {
            let (line, rest) = text.split_at(end);
            text = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() && !self.is_skipped && line.len() <= MOST_LINE_BYTES {
                self.hand_over(line, byte, reader);
            } else {
                self.go_on(line);
                self.end(byte, reader);
            }
        }
        self.go_on(text);
    }

    /// Adds to the line that was begun, unless it becomes longer than lines can be.
    fn go_on(&mut self, text: &[u8]) {
        if self.begun.len().saturating_add(text.len()) > MOST_LINE_BYTES {
            self.begun.clear();
            self.is_skipped = true;
        } else if !self.is_skipped {
            self.begun.extend_from_slice(text);
        }
    }

    /// Hands over the line that was begun.
    fn end(&mut self, byte: u64, reader: &mut impl Reader) {
        let line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.is_skipped) {
            reader.damage(Damage { byte, what: "a line that is longer than lines can be" });
        } else if !line.is_empty() {
            self.hand_over(&line, byte, reader);
        }
    }

    fn hand_over(&mut self, line: &[u8], byte: u64, reader: &mut impl Reader) {
        self.number = self.number.saturating_add(1);
        match std::str::from_utf8(line) {
            Ok(text) => reader.line(self.number, text),
            Err(_) => reader.damage(Damage { byte, what: "a line that is no text" }),
        }
    }

    /// Forgets the line that was begun, since what follows is another one.
    fn forget(&mut self) {
        self.begun.clear();
        self.is_skipped = false;
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
