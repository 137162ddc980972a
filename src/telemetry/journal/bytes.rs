//! Numbers and texts as bytes, one behind the other, for notes that wait in memory. Nothing here reads what another
//! process has written.

/// Appends values.
pub struct Pen<'o>(pub &'o mut Vec<u8>);

impl Pen<'_> {
    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A number.
    pub fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A size, which is far below the largest number.
    pub fn size(&mut self, value: usize) {
        self.number(u64::try_from(value).unwrap_or(u64::MAX));
    }

    /// A text with its length before it.
    pub fn text(&mut self, text: &[u8]) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(text);
    }

    /// A text that may be missing.
    pub fn maybe(&mut self, text: Option<&[u8]>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// Reads the same values in the same order; `None` behind the end.
pub struct Reading<'a>(pub &'a [u8]);

impl<'a> Reading<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Bytes of a fixed count.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Bytes with their count before them.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A text that may be missing.
    pub fn maybe(&mut self) -> Option<Option<&'a str>> {
        match self.maybe_bytes()? {
            None => Some(None),
            Some(bytes) => Some(Some(std::str::from_utf8(bytes).ok()?)),
        }
    }

    /// Bytes that may be missing.
    pub fn maybe_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.byte()? {
            0 => Some(None),
            _ => Some(Some(self.bytes()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut out = Vec::new();
        let mut pen = Pen(&mut out);
        pen.byte(7);
        pen.number(u64::MAX - 1);
        pen.text(b"a");
        pen.maybe(None);
        pen.maybe(Some(b""));
        let mut reading = Reading(&out);
        assert_eq!((reading.byte(), reading.number(), reading.text()), (Some(7), Some(u64::MAX - 1), Some("a")));
        assert_eq!((reading.maybe(), reading.maybe(), reading.byte()), (Some(None), Some(Some("")), None));
        for end in 0..out.len() {
            let mut cut = Reading(&out[..end]);
            let all = cut.byte().and(cut.number()).and(cut.text()).and(cut.maybe()).and(cut.maybe());
            assert!(all.is_none(), "{end}");
        }
    }
}
