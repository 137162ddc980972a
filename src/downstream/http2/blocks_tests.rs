//! Tests of reading header blocks.

use tokio::io::{AsyncReadExt, duplex};

use super::*;

const MOST: usize = 256 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A line that is not added to the table.
fn line(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// The errors found in frames after the preface, read in pieces of this many bytes.
fn found(most: usize, frames: &[Vec<u8>], piece: usize) -> (Vec<(u32, Malformed)>, bool, bool) {
    let mut blocks = Blocks::new(most);
    let mut all = Vec::new();
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frames.concat()].concat();
    let fits = bytes.chunks(piece).all(|piece| blocks.read(piece, |stream, fault| all.push((stream, fault))).is_ok());
    (all, fits, blocks.is_broken())
}

/// The same for frames that are valid and within the limit, in pieces of every size.
fn faults(frames: &[Vec<u8>]) -> Vec<(u32, Malformed)> {
    let whole = found(MOST, frames, usize::MAX);
    for piece in [1, 2, 7, 64] {
        assert_eq!(found(MOST, frames, piece), whole);
    }
    let (all, fits, is_broken) = whole;
    assert!(fits && !is_broken);
    all
}

#[test]
fn what_h2_lets_pass_is_found_in_every_form() {
    let path = line(":path", "/a#b");
    // A name from the static table, a value that is added to the table, and a reference to the two.
    let remembered = [&[0x44, 4][..], b"/a#b"].concat();
    let coded = [&[0x04, 0x89][..], &[0x60, 0x7f, 0xe4, 0x70, 0x2a, 0x20, 0x7f, 0xd1, 0x3f]].concat();
    for (block, fault) in [
        (path, Malformed::Fragment),
        (remembered, Malformed::Fragment),
        (coded, Malformed::Fragment),
        (line(":scheme", "ftp"), Malformed::Scheme),
    ] {
        assert_eq!(faults(&[frame(HEADERS, END_HEADERS, 1, &block)]), [(1, fault)]);
        // Padding and a priority around the block.
        let around = [&[3][..], &[0; 5], &block, &[0; 3]].concat();
        assert_eq!(faults(&[frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &around)]), [(1, fault)]);
        // In two frames, cut anywhere.
        for at in 0..=block.len() {
            let (first, second) = block.split_at(at);
            let frames = [frame(HEADERS, 0, 1, first), frame(CONTINUATION, END_HEADERS, 1, second)];
            assert_eq!(faults(&frames), [(1, fault)], "cut at {at}");
        }
    }
    let remembered = [&[0x44, 4][..], b"/a#b"].concat();
    let frames = [frame(HEADERS, END_HEADERS, 1, &remembered), frame(HEADERS, END_HEADERS, 3, &[0xbe])];
    assert_eq!(faults(&frames), [(1, Malformed::Fragment), (3, Malformed::Fragment)]);
    // A reference to the name only, with another value.
    let frames = [frame(HEADERS, END_HEADERS, 1, &remembered), frame(HEADERS, END_HEADERS, 3, b"\x7e\x02/c")];
    assert_eq!(faults(&frames), [(1, Malformed::Fragment)]);
}

#[test]
fn trailers_have_no_pseudo_headers() {
    let head = frame(HEADERS, END_HEADERS, 1, &[0x83, 0x86, 0x84]);
    let data = frame(0, 0, 1, b"data with \x01\x04 in it");
    for (trailers, expected) in [
        (line(":path", "/"), vec![(1, Malformed::Trailers)]),
        (vec![0x84], vec![(1, Malformed::Trailers)]),
        (line(":odd", ""), vec![(1, Malformed::Trailers)]),
        (line("checksum", ":path"), vec![]),
    ] {
        assert_eq!(faults(&[head.clone(), data.clone(), frame(HEADERS, END_HEADERS | 1, 1, &trailers)]), expected);
    }
}

#[test]
fn a_head_is_too_large_before_h2_sees_its_last_byte() {
    // Names and values of four bytes count 40.
    let block = line("name", "four").repeat(10);
    let frames = [frame(HEADERS, END_HEADERS, 1, &block)];
    assert!(found(401, &frames, 1).1);
    assert!(!found(400, &frames, 1).1);
    // A byte that refers to a line counts as much as the line: 33 for the line of one byte that is added here.
    let plant = frame(HEADERS, END_HEADERS, 1, b"\x40\x01a\x00");
    let bomb = frame(HEADERS, END_HEADERS, 3, &[0xbe; 7_944]);
    assert!(!found(MOST, &[plant.clone(), bomb], 1024).1);
    let less = frame(HEADERS, END_HEADERS, 3, &[0xbe; 7_943]);
    assert!(found(MOST, &[plant, less], 1024).1);
    // A line that never ends is kept no longer than the limit.
    let endless = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[b'a'; 1000]), 10);
    let frames: Vec<_> = [frame(HEADERS, 0, 1, b"\x00\x7f\xff\xff\x03")].into_iter().chain(endless).collect();
    assert!(!found(5000, &frames, 512).1);
}

#[test]
fn what_is_broken_is_left_to_h2() {
    for block in [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x80], &[0xbe], &[0x3f, 0xff, 0x7f], &[0x00, 0x05, b'a']]
    {
        let (all, fits, is_broken) = found(MOST, &[frame(HEADERS, END_HEADERS, 1, block)], 3);
        assert_eq!((all, fits, is_broken), (vec![], true, true), "{block:?}");
    }
}

/// Heads from the encoder of `h2`, with lines that are added to the table, referred to and evicted.
#[tokio::test]
async fn another_encoders_heads_are_followed() {
    let (client, mut gateway) = duplex(1 << 22);
    let (sender, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let mut open = Vec::new();
    for number in 0..90_usize {
        let mut request = http::Request::builder().method("POST").uri(format!("https://a.example/{}", number % 7));
        for name in 0..number % 9 {
            // From empty to larger than the whole table.
            let value = "Value/".repeat(number * (name + 1) % 120);
            request = request.header(format!("x-{}", name * number % 11), value);
        }
        let (answer, sending) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        open.push((answer, sending));
        sender = sender.ready().await.unwrap();
    }
    let mut blocks = Blocks::new(MOST);
    let mut buffer = vec![0; 977];
    while let Ok(Ok(count @ 1..)) =
        tokio::time::timeout(std::time::Duration::from_millis(500), gateway.read(&mut buffer)).await
    {
        blocks.read(&buffer[..count], |stream, fault| panic!("{fault:?} in {stream}")).unwrap();
    }
    assert!(!blocks.is_broken());
    assert_eq!(blocks.last_stream, 179);
    assert!(!blocks.table.entries.is_empty() && blocks.table.bytes <= TABLE_BYTES);
    let counted: usize = blocks.table.entries.iter().map(Entry::bytes).sum();
    assert_eq!(blocks.table.bytes, counted);
    connection.abort();
}
