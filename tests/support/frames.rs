//! A client of HTTP/2 that sends and reads single frames, so that it can misbehave at any byte.

use std::io::{Read, Write};

use super::{Request, Wire};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// One frame (RFC 9113, section 4.1).
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// One connection of HTTP/2.
pub struct Frames {
    wire: Wire,
    input: Vec<u8>,
}

impl Frames {
    /// Begins a connection on which the gateway may send so many bytes on each stream.
    pub fn begin(wire: Wire, window: u32) -> Frames {
        let mut frames = Frames { wire, input: Vec::new() };
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(SETTINGS, 0, 0, &setting);
        frames
    }

    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends one frame. That the gateway has closed already is no fault of the test.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.write(&[&head, payload].concat());
    }

    /// Sends a whole request.
    pub fn request(&mut self, stream: u32, request: &Request) {
        self.send(HEADERS, END_HEADERS, stream, &block(request));
        self.send(DATA, END_STREAM, stream, &request.body);
    }

    /// Lets the gateway send so many bytes more on a stream.
    pub fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// Takes no interest in a stream any more.
    pub fn reset(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }

    /// The next frame; `None` when the connection has ended.
    pub fn frame(&mut self) -> Option<Frame> {
        while self.input.len() < 9 || self.input.len() < 9 + self.length() {
            let mut buffer = [0; 16_384];
            match self.wire.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    let late = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                    assert!(!late, "no frame came in time");
                    return None;
                }
            }
        }
        let bytes: Vec<u8> = self.input.drain(..9 + self.length()).collect();
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
    }

    /// The next frame of a kind; `None` when the connection ends before.
    pub fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    fn length(&self) -> usize {
        usize::from(self.input[0]) << 16 | usize::from(self.input[1]) << 8 | usize::from(self.input[2])
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
    }
}

/// The head of a request as a block of lines that no table remembers (RFC 7541, section 6.2.2).
pub fn block(request: &Request) -> Vec<u8> {
    let pseudo = [
        (":method", request.method.as_str()),
        (":scheme", "http"),
        (":authority", "api.example.com"),
        (":path", request.target.as_str()),
    ];
    let mut block = lines(&pseudo);
    for (name, value) in &request.headers {
        line(&mut block, name.to_ascii_lowercase().as_bytes(), value);
    }
    block
}

/// Lines of a block, in the order that is given.
pub fn lines(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        line(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

fn line(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        // A length in seven bits, and more of it in bytes of seven bits (section 5.1).
        match text.len() {
            length @ 0..127 => block.push(length as u8),
            mut length => {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128 + 128) as u8);
                    length /= 128;
                }
                block.push(length as u8);
            }
        }
        block.extend_from_slice(text);
    }
}
