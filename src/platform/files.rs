//! Reading the files that operators name: without blocking, and within limits.
//!
//! A path can be anything: an endless device, a FIFO without a writer, a file that is not text. In every case, reading
//! ends with the bytes, or with an error for the operator.

use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::count::counted;

/// Why a file cannot be read. Its content is never shown.
#[derive(Debug)]
pub enum Unreadable {
    NotThere,
    /// This user has no permission to read it.
    Forbidden,
    /// It is not a regular file, but this.
    NotAFile(&'static str),
    /// It has more bytes than this limit.
    TooLarge(u64),
    /// It has the byte order mark of UTF-16 or UTF-32.
    OtherEncoding,
    /// It is not valid UTF-8.
    NotUtf8(Spot),
    Other(io::Error),
}

/// The position of a byte that is not valid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    byte: u8,
}

impl Unreadable {
    /// Whether the message already says what to do instead.
    pub fn says_what_to_do(&self) -> bool {
        match self {
            Unreadable::OtherEncoding | Unreadable::NotUtf8(_) => true,
            Unreadable::NotThere
            | Unreadable::Forbidden
            | Unreadable::NotAFile(_)
            | Unreadable::TooLarge(_)
            | Unreadable::Other(_) => false,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::NotThere => formatter.write_str("does not exist"),
            Unreadable::Forbidden => formatter.write_str("may not be read by this user"),
            Unreadable::NotAFile(what) => write!(formatter, "is {what}, not a file"),
            Unreadable::TooLarge(most) => write!(formatter, "is larger than {}", Size(*most)),
            Unreadable::OtherEncoding => formatter.write_str("is text in UTF-16 or UTF-32; save it as UTF-8"),
            Unreadable::NotUtf8(spot) => write!(formatter, "{spot}"),
            Unreadable::Other(error) => write!(formatter, "cannot be read: {error}"),
        }
    }
}

impl Spot {
    /// The position of a byte in a line that was read by itself.
    pub fn on_line(self, line: usize) -> Spot {
        Spot { line, ..self }
    }
}

/// The byte, and what it would be in Latin-1.
impl fmt::Display for Spot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let byte = self.byte;
        write!(formatter, "has a byte that is not UTF-8 (0x{byte:02X}")?;
        if byte >= 0xA0 {
            write!(formatter, ", which would be {} in Latin-1", char::from(byte))?;
        }
        formatter.write_str("); save the file as UTF-8")
    }
}

impl std::error::Error for Unreadable {}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        match error.kind() {
            // `NotADirectory`: a part of the path is a file.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unreadable::NotThere,
            io::ErrorKind::PermissionDenied => Unreadable::Forbidden,
            io::ErrorKind::IsADirectory => Unreadable::NotAFile("a directory"),
            _ => Unreadable::Other(error),
        }
    }
}

/// A number of bytes, in the largest unit in which it is a whole number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(formatter, "{} {name}", self.0 / unit),
            None => formatter.write_str(&counted(self.0, "byte")),
        }
    }
}

/// Opens a regular file for reading, without blocking. Nothing else is opened.
///
/// # Errors
/// That it does not exist, may not be read, or is not a regular file.
pub fn open(path: &Path) -> Result<File, Unreadable> {
    // Checked before it is opened, since opening a device can have side effects.
    is_file(std::fs::metadata(path)?.file_type())?;
    // Non-blocking, since it may have become a FIFO in between, and opening one waits for a writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    is_file(file.metadata()?.file_type())?;
    Ok(file)
}

/// What stands at a path, in words, if it is anything but a regular file; nothing is opened.
pub fn other_than_a_file(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    match is_file(kind) {
        Err(Unreadable::NotAFile(what)) => Some(what),
        Ok(()) | Err(_) => None,
    }
}

fn is_file(kind: FileType) -> Result<(), Unreadable> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Unreadable::NotAFile(what))
}

/// The bytes of a file of at most `most` bytes.
///
/// # Errors
/// Those of [`open`] and of reading, or that there are more bytes.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        return Err(Unreadable::TooLarge(most));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    // A file can grow while it is read, and the size of some (below /proc) is not known.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|count| count <= most) {
        Ok(bytes)
    } else {
        Err(Unreadable::TooLarge(most))
    }
}

/// The text of a file of at most `most` bytes, without its byte order mark.
///
/// # Errors
/// Those of [`bytes()`], or that it is not UTF-8.
pub fn text(path: &Path, most: u64) -> Result<String, Unreadable> {
    let bytes = bytes(path, most)?;
    check_encoding(&bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        Unreadable::NotUtf8(spot(error.as_bytes(), valid))
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// Some editors write it first; it is not part of the text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Checks whether a file begins like text in UTF-16 or UTF-32: with a byte order mark, or with a zero byte in the first
/// letter.
///
/// # Errors
/// That it is.
pub fn check_encoding(beginning: &[u8]) -> Result<(), Unreadable> {
    match beginning {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => Err(Unreadable::OtherEncoding),
        [0, letter, 0, another, ..] | [letter, 0, another, 0, ..] if *letter != 0 && *another != 0 => {
            Err(Unreadable::OtherEncoding)
        }
        _ => Ok(()),
    }
}

/// The position of the byte that follows `valid` bytes of UTF-8.
pub fn spot(bytes: &[u8], valid: usize) -> Spot {
    let (before, rest) = bytes.split_at_checked(valid).unwrap_or((bytes, &[]));
    let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
    let begin = memchr::memrchr(b'\n', before).map_or(0, |end| end.saturating_add(1));
    let in_line = before.get(begin..).unwrap_or_default();
    let characters = String::from_utf8_lossy(in_line).trim_start_matches(BYTE_ORDER_MARK).chars().count();
    Spot { line, column: characters.saturating_add(1), byte: rest.first().copied().unwrap_or_default() }
}

/// Reads up to and including the next line end, or to the end of the text, and keeps the first `most` bytes of the
/// line, without the line end. `None` at the end of the text, else the length of the line in bytes.
///
/// # Errors
/// Those of reading.
pub fn line(from: &mut impl BufRead, most: usize, into: &mut Vec<u8>) -> io::Result<Option<usize>> {
    into.clear();
    let mut length = 0_usize;
    loop {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = memchr::memchr(b'\n', piece);
        let part = piece.get(..end.unwrap_or(piece.len())).unwrap_or(piece);
        let room = most.saturating_sub(into.len()).min(part.len());
        into.extend_from_slice(part.get(..room).unwrap_or_default());
        length = length.saturating_add(part.len());
        let used = part.len().saturating_add(usize::from(end.is_some()));
        from.consume(used);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("tollgate-files-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_text_is_utf_8_or_its_place_is_told() {
        let scratch = Scratch::new("text");
        for (bytes, expected) in [
            (&b"a: 1\n"[..], "a: 1\n"),
            (b"\xef\xbb\xbfa: 1\n", "a: 1\n"),
            (b"", ""),
            (
                b"a: 1\nb: \xc3\xa9\xe9\n",
                "2:5: has a byte that is not UTF-8 (0xE9, which would be é in Latin-1); save the file as UTF-8",
            ),
            (b"\xef\xbb\xbfa\x80", "1:2: has a byte that is not UTF-8 (0x80); save the file as UTF-8"),
            (
                b"cut: \xe2\x82",
                "1:6: has a byte that is not UTF-8 (0xE2, which would be â in Latin-1); save the file as UTF-8",
            ),
            (b"\xff\xfea\0:\0", "is text in UTF-16 or UTF-32; save it as UTF-8"),
            (b"\xfe\xff\0a\0:", "is text in UTF-16 or UTF-32; save it as UTF-8"),
            (b"a\0:\0 \0", "is text in UTF-16 or UTF-32; save it as UTF-8"),
            (b"\0a\0:\0 ", "is text in UTF-16 or UTF-32; save it as UTF-8"),
            (&[b'x'; 101], "is larger than 100 bytes"),
        ] {
            let path = scratch.write("text", bytes);
            let told = match text(&path, 100) {
                Ok(text) => text,
                Err(Unreadable::NotUtf8(spot)) => format!("{}:{}: {spot}", spot.line, spot.column),
                Err(why) => why.to_string(),
            };
            assert_eq!(told, expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_not_opened_and_nobody_is_waited_for() {
        let scratch = Scratch::new("open");
        let fifo = scratch.0.join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let socket = scratch.0.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = |to: &str, name: &str| {
            symlink(to, scratch.0.join(name)).unwrap();
            scratch.0.join(name)
        };
        for (path, expected) in [
            (fifo, "is a FIFO, not a file"),
            (socket, "is a socket, not a file"),
            (link("/dev/zero", "zero"), "is a device, not a file"),
            (link("fifo", "to-fifo"), "is a FIFO, not a file"),
            (link("nowhere", "dangling"), "does not exist"),
            (scratch.0.clone(), "is a directory, not a file"),
            (scratch.write("file", b"").join("below"), "does not exist"),
        ] {
            assert_eq!(text(&path, 10).unwrap_err().to_string(), expected, "{}", path.display());
        }
    }

    #[test]
    fn files_without_a_known_size_are_read_within_the_limit() {
        // Its size is 0 before it is read.
        assert!(matches!(bytes(Path::new("/proc/self/maps"), 100), Err(Unreadable::TooLarge(100))));
        assert!(!bytes(Path::new("/proc/self/maps"), 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn sizes_are_told_in_their_largest_unit() {
        for (bytes, expected) in
            [(100, "100 bytes"), (1024, "1 KiB"), (1025, "1025 bytes"), (64 << 20, "64 MiB"), (1 << 30, "1 GiB")]
        {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }

    #[test]
    fn a_long_line_is_read_over_and_only_its_beginning_is_kept() {
        let text = [b"ab\n".as_slice(), b"\n", &[b'x'; 1000], b"\nlast"].concat();
        let mut from = io::BufReader::with_capacity(7, &*text);
        let mut kept = Vec::new();
        let mut lines = Vec::new();
        while let Some(length) = line(&mut from, 3, &mut kept).unwrap() {
            lines.push((String::from_utf8(kept.clone()).unwrap(), length));
        }
        let expected = [("ab", 2), ("", 0), ("xxx", 1000), ("las", 4)];
        assert_eq!(lines, expected.map(|(text, length)| (text.to_owned(), length)));
    }
}
