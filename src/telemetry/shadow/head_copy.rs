//! A copy of a request's head that outlives its connection. It has the token, and so it has no `Debug`.

use smallvec::SmallVec;

use crate::policy::http::head::{Field, Framing, Head, Lines, Peer, Version};

/// The header lines of a usual head.
const USUAL_LINES: usize = 24;

/// A head: its texts one after the other, and how long each is.
pub struct HeadCopy {
    bytes: Box<[u8]>,
    method: usize,
    target: usize,
    authority: Option<usize>,
    path: usize,
    query: Option<usize>,
    /// The name and the value of each line.
    fields: Box<[(u32, u32)]>,
    version: Version,
    framing: Framing,
    expects_continue: bool,
    keep_alive: bool,
    peer: Peer,
}

impl HeadCopy {
    /// The bytes that a copy would have.
    pub fn bytes_of(head: &Head<'_>) -> usize {
        let Lines { method, target, authority, fields, .. } = head.lines;
        let lines: usize = fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        let words = method.len() + target.len() + authority.map_or(0, str::len);
        words + head.path.len() + head.query.map_or(0, str::len) + lines
    }

    /// A copy of a head.
    pub fn of(head: &Head<'_>) -> HeadCopy {
        let Lines { method, target, version, authority, fields } = head.lines;
        let mut bytes = Vec::with_capacity(HeadCopy::bytes_of(head));
        for text in [method, target, authority.unwrap_or_default(), head.path, head.query.unwrap_or_default()] {
            bytes.extend_from_slice(text.as_bytes());
        }
        for field in fields {
            bytes.extend_from_slice(field.name.as_bytes());
            bytes.extend_from_slice(field.value);
        }
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        HeadCopy {
            bytes: bytes.into(),
            method: method.len(),
            target: target.len(),
            authority: authority.map(str::len),
            path: head.path.len(),
            query: head.query.map(str::len),
            fields: fields.iter().map(|field| (length(field.name.len()), length(field.value.len()))).collect(),
            version,
            framing: head.framing,
            expects_continue: head.expects_continue,
            keep_alive: head.keep_alive,
            peer: head.peer,
        }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Does something with the head.
    pub fn with<T>(&self, act: impl FnOnce(&Head<'_>) -> T) -> T {
        let mut rest = Rest(&self.bytes);
        let (method, target) = (rest.text(self.method), rest.text(self.target));
        let authority = self.authority.map(|length| rest.text(length));
        let (path, query) = (rest.text(self.path), self.query.map(|length| rest.text(length)));
        let size = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
        let mut fields: SmallVec<[Field<'_>; USUAL_LINES]> = SmallVec::new();
        for (name, value) in &self.fields {
            fields.push(Field { name: rest.text(size(*name)), value: rest.take(size(*value)) });
        }
        act(&Head {
            lines: Lines { method, target, version: self.version, authority, fields: &fields },
            path,
            query,
            framing: self.framing,
            expects_continue: self.expects_continue,
            keep_alive: self.keep_alive,
            peer: self.peer,
        })
    }
}

/// What was not taken yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    fn text(&mut self, length: usize) -> &'b str {
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn a_copy_is_the_head_that_was_copied() {
        let fields = [
            Field { name: "Host", value: b"api.example.com" },
            Field { name: "Empty", value: b"" },
            Field { name: "Raw", value: b"\xff\x80" },
        ];
        let peer = Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for (authority, query, framing, fields) in [
            (None, None, Framing::None, &fields[..]),
            (Some("api.example.com"), Some("a=1&b=2"), Framing::Frames(Some(7)), &fields[1..]),
            (None, Some(""), Framing::Length(9), &[]),
            (None, None, Framing::Chunked, &fields[2..]),
        ] {
            let target = query.map_or("/a/b".to_owned(), |query| format!("/a/b?{query}"));
            let lines = Lines { method: "POST", target: &target, version: Version::Http11, authority, fields };
            let head = Head { lines, path: "/a/b", query, framing, expects_continue: true, keep_alive: false, peer };
            let copy = HeadCopy::of(&head);
            assert_eq!(copy.bytes(), HeadCopy::bytes_of(&head));
            copy.with(|copied| {
                let of = |head: &Head<'_>| {
                    let Lines { method, target, version, authority, fields } = head.lines;
                    let fields = fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
                    let texts = [method, target, head.path].map(str::to_owned);
                    let lines = (texts, authority.map(str::to_owned), head.query.map(str::to_owned));
                    let facts = (head.framing, head.expects_continue, head.keep_alive, head.peer);
                    (lines, version, fields.collect::<Vec<_>>(), facts)
                };
                assert_eq!(of(copied), of(&head));
            });
        }
    }
}
