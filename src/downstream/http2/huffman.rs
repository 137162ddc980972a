//! Decodes the Huffman code of header lines in HTTP/2 (RFC 7541, appendix B).

use std::sync::LazyLock;

/// The bits of each byte's code. The code is canonical: codes of one length follow one another in
/// the order of their bytes, and those of the next length continue after them.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The bits of the shortest and of the longest code.
const SHORTEST: u8 = 5;
const LONGEST: u8 = 30;

/// The most padding bits (ones) after the last code.
const MOST_PADDING: u8 = 7;

/// The codes of one length.
#[derive(Clone, Copy, Debug, Default)]
struct Codes {
    first: u32,
    count: u32,
    /// The index of their first byte in [`Tables::bytes`].
    index: usize,
}

struct Tables {
    /// By length; there are none shorter than five bits.
    codes: Vec<Codes>,
    /// All bytes in the order of their codes.
    bytes: Vec<u8>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables { codes: Vec::new(), bytes: Vec::new() };
    let mut first = 0_u32;
    for length in 0..=LONGEST {
        let index = tables.bytes.len();
        tables.bytes.extend((0..=u8::MAX).zip(LENGTHS).filter(|(_, bits)| *bits == length).map(|(byte, _)| byte));
        let count = u32::try_from(tables.bytes.len() - index).unwrap_or(0);
        tables.codes.push(Codes { first, count, index });
        first = (first + count) << 1;
    }
    tables
});

/// Decodes a string and appends it to `out`; `None` if it is not valid (RFC 7541, section 5.2).
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let tables = &*TABLES;
    let (mut code, mut length) = (0_u32, 0_u8);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(*byte >> bit & 1);
            length += 1;
            if length < SHORTEST {
                continue;
            }
            let codes = tables.codes.get(usize::from(length))?;
            let nth = code.wrapping_sub(codes.first);
            if nth < codes.count {
                out.push(*tables.bytes.get(codes.index + usize::try_from(nth).ok()?)?);
                (code, length) = (0, 0);
            }
        }
    }
    let is_padding = length <= MOST_PADDING && code == (1 << length) - 1;
    is_padding.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(bytes, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn the_examples_of_the_rfc_and_of_another_implementation() {
        for (code, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[0x60, 0x7f, 0xe4, 0x70, 0x2a, 0x20, 0x7f, 0xd1, 0x3f], "/a?b=%20#c"),
            (&[], ""),
        ] {
            assert_eq!(decoded(code).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_string_of_codes_is_told() {
        // Padding of eight bits, padding of zeros, and the end-of-string code.
        for code in [&[0x64, 0x02, 0xff][..], &[0x64, 0x00, 0x00], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decoded(code), None, "{code:?}");
        }
    }
}
