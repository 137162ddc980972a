//! Heads of HTTP/1: the end of a head does not depend on the pieces that it comes in, what was split is what was sent,
//! and what is let through has one meaning, by a naive reading of its lines and by the URL standard.

use tollgate::policy::http::head::{Field, Framing, Head, HeadLimits, Lines, MAX_FIELDS, Peer, Scan, Version, scan};

use crate::memory;

const LIMITS: HeadLimits = HeadLimits { target_bytes: 2048, header_bytes: 4096, header_lines: 64 };

pub fn run(data: &[u8]) {
    let Some((step, bytes)) = super::step(data) else { return };
    let end = scan(bytes, 0);
    assert_eq!(end.is_err(), in_pieces(bytes, step).is_err());
    let Ok(Scan::Complete(end)) = end else { return };
    assert_eq!(in_pieces(bytes, step).unwrap(), Some(end), "in pieces of {step}");
    let bytes = &bytes[..end];
    assert!(bytes.ends_with(b"\r\n\r\n") || bytes == b"\r\n");
    // Nothing that is refused costs memory, and nothing that is not.
    memory::within(0, "a head", || {
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        if let Ok(lines) = Lines::split(bytes, &mut slots) {
            let _ = Head::judge(lines, Peer::Local, &LIMITS);
        }
    });
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let Ok(lines) = Lines::split(bytes, &mut slots) else { return };
    written_again(&lines);
    if let Ok(head) = Head::judge(lines, Peer::Local, &LIMITS) {
        has_one_meaning(&head, bytes);
    }
}

/// Where a head ends that arrives in pieces.
fn in_pieces(bytes: &[u8], step: usize) -> Result<Option<usize>, &'static str> {
    let (mut arrived, mut start) = (0, 0);
    while arrived < bytes.len() {
        arrived = (arrived + step).min(bytes.len());
        match scan(&bytes[..arrived], start).map_err(|problem| problem.reason)? {
            Scan::Complete(end) => return Ok(Some(end)),
            Scan::Partial(next) => start = next,
        }
    }
    Ok(None)
}

fn written_again(lines: &Lines<'_>) {
    let version = if lines.version == Version::Http10 { "1.0" } else { "1.1" };
    let mut text = format!("{} {} HTTP/{version}\r\n", lines.method, lines.target).into_bytes();
    for field in lines.fields {
        text.extend_from_slice(&[field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let again = Lines::split(&text, &mut slots).expect("what was split and written again can be split");
    let same = |one: &Field<'_>, two: &Field<'_>| one.name == two.name && one.value == two.value;
    assert_eq!((again.method, again.target, again.version), (lines.method, lines.target, lines.version));
    assert_eq!(again.fields.len(), lines.fields.len());
    assert!(again.fields.iter().zip(lines.fields).all(|(one, two)| same(one, two)));
}

/// The lines of a head, split at every line end and at the first colon.
fn naive(bytes: &[u8]) -> Vec<(String, String)> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let lines = text.trim_start_matches("\r\n").split("\r\n").skip(1);
    let fields = lines.filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())).collect()
}

fn has_one_meaning(head: &Head<'_>, bytes: &[u8]) {
    let fields = naive(bytes);
    let of = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let (lengths, codings, hosts) = (of("content-length"), of("transfer-encoding"), of("host"));
    match head.framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert_eq!(lengths[0].parse::<u64>(), Ok(length));
            assert!(lengths[0].bytes().all(|digit| digit.is_ascii_digit()));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && codings[0].eq_ignore_ascii_case("chunked"));
            assert_eq!(head.lines.version, Version::Http11);
        }
        Framing::Frames(_) => panic!("HTTP/1 has no frames"),
    }
    assert!(hosts.len() <= 1 && (hosts.len() == 1 || head.lines.version == Version::Http10));
    for host in hosts {
        let authority: http::uri::Authority = host.parse().expect("a Host is an authority");
        assert!(!authority.as_str().contains('@'));
    }
    assert!(fields.len() <= LIMITS.header_lines && head.lines.target.len() <= LIMITS.target_bytes);
    if head.path == "*" {
        return;
    }
    // A backend that reads the path by the URL standard comes to the same place.
    let url = url::Url::parse(&format!("http://a{}", head.path)).expect("a path is part of a URL");
    let decoded = |path: &str| percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
    assert_eq!(decoded(url.path()), decoded(head.path));
    assert_eq!(url.path_segments().unwrap().count(), head.path.split('/').count() - 1);
    assert!(url.query().is_none() && url.fragment().is_none());
    let target = match head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_owned(),
    };
    assert!(head.lines.target.ends_with(&target) || head.path == "/");
}
