//! The formats that there are, their media types, and which of them a product has.

/// A format of bodies and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
    MsgPack,
}

/// The formats of a product. JSON is always among them: it is what the backend speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// A bit for each of the others.
    others: u8,
}

/// Why an answer has no rendition in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRendered {
    /// It is nested too deeply, or has a number that is larger than any double.
    Unreadable,
    /// It would have more bytes than its limit.
    TooLarge,
}

impl Format {
    /// Every format, the one that clients get without a preference first.
    pub const ALL: [Format; 3] = [Format::Json, Format::Xml, Format::MsgPack];

    /// The name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Xml => "xml",
            Format::MsgPack => "msgpack",
        }
    }

    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Xml => "XML",
            Format::MsgPack => "MessagePack",
        }
    }

    /// Its media types, the usual one first.
    pub const fn types(self) -> &'static [&'static str] {
        match self {
            Format::Json => &["application/json"],
            Format::Xml => &["application/xml", "text/xml"],
            Format::MsgPack => &["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"],
        }
    }

    /// The format of a media type without parameters, in any case of letters. A type whose suffix names a format is of
    /// that format (RFC 6839, sections 3.1 and 4.1).
    pub fn of(essence: &[u8]) -> Option<Format> {
        let is_type = |known: &&str| essence.eq_ignore_ascii_case(known.as_bytes());
        if let Some(format) = Format::ALL.into_iter().find(|format| format.types().iter().any(is_type)) {
            return Some(format);
        }
        let plus = essence.iter().rposition(|byte| *byte == b'+')?;
        let suffix = essence.get(plus..)?;
        match () {
            () if suffix.eq_ignore_ascii_case(b"+json") => Some(Format::Json),
            () if suffix.eq_ignore_ascii_case(b"+xml") => Some(Format::Xml),
            () => None,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Format::Json => 0,
            Format::Xml => 1,
            Format::MsgPack => 2,
        }
    }
}

impl Formats {
    /// JSON and these.
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Formats {
        Formats { others: formats.into_iter().fold(0, |others, format| others | format.bit()) }
    }

    /// Whether there is another one than JSON.
    #[inline]
    pub const fn are_several(self) -> bool {
        self.others != 0
    }

    /// Whether this is one of them.
    pub const fn has(self, format: Format) -> bool {
        self.others & format.bit() == format.bit()
    }

    /// All of them, JSON first.
    pub fn iter(self) -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(move |format| self.has(*format))
    }

    /// `JSON, XML or MessagePack`.
    pub fn in_words(self) -> String {
        let names: Vec<&str> = self.iter().map(Format::name).collect();
        match names.split_last() {
            Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
            Some((only, _)) => (*only).to_owned(),
            None => String::new(),
        }
    }

    /// The one among them that a media type has.
    pub fn of(self, essence: &[u8]) -> Option<Format> {
        Format::of(essence).filter(|format| self.has(*format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_format_of_its_name_or_its_suffix() {
        for (essence, format) in [
            ("application/json", Some(Format::Json)),
            ("APPLICATION/Xml", Some(Format::Xml)),
            ("text/xml", Some(Format::Xml)),
            ("application/soap+xml", Some(Format::Xml)),
            ("application/vnd.a+b+JSON", Some(Format::Json)),
            ("application/msgpack", Some(Format::MsgPack)),
            ("application/x-msgpack", Some(Format::MsgPack)),
            ("application/vnd.msgpack", Some(Format::MsgPack)),
            ("application/pdf", None),
            ("application/xmlx", None),
            ("text/json", None),
            ("", None),
        ] {
            assert_eq!(Format::of(essence.as_bytes()), format, "{essence}");
        }
        let two = Formats::new([Format::Xml]);
        assert!(two.are_several() && two.has(Format::Json) && two.has(Format::Xml) && !two.has(Format::MsgPack));
        assert_eq!(two.of(b"application/msgpack"), None);
        assert!(!Formats::default().are_several() && Formats::default().has(Format::Json));
        assert_eq!(Formats::new(Format::ALL).iter().collect::<Vec<_>>(), Format::ALL);
        let words = [vec![], vec![Format::MsgPack], Format::ALL.to_vec()].map(|list| Formats::new(list).in_words());
        assert_eq!(words, ["JSON", "JSON or MessagePack", "JSON, XML or MessagePack"]);
    }
}
