//! Where a request can carry its token, and how it is read there (contract, sections 4 and 5).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::parameter::{encode, member, members};
use crate::policy::http::head::{Head, Lines, One};
use crate::policy::problem::{Problem, Row};

/// The header of the schemes of RFC 9110, section 11.6.2.
pub const AUTHORIZATION: &str = "authorization";

/// A place where a product takes tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// A header whose value is the token.
    Header(Box<str>),
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    Bearer,
    /// `Authorization: Basic` (RFC 7617), of which the token is one part.
    Basic(BasicPart),
    /// A parameter of the query.
    Query(Box<str>),
}

/// Which part of `user:password` is the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicPart {
    User,
    Password,
}

/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried<'p> {
    /// A header and its value.
    Header(&'p str, String),
    /// A member of the query, encoded.
    Query(String),
}

impl TokenPlace {
    /// Whether another one is the same place: the name of a header has no case.
    pub fn is_same(&self, other: &TokenPlace) -> bool {
        match (self, other) {
            (TokenPlace::Header(name), TokenPlace::Header(other)) => name.eq_ignore_ascii_case(other),
            (place, other) => place == other,
        }
    }

    /// A token as a request carries it there.
    pub fn example(&self, token: &str) -> Carried<'_> {
        match self {
            TokenPlace::Header(name) => Carried::Header(name, token.to_owned()),
            TokenPlace::Bearer => Carried::Header("Authorization", format!("Bearer {token}")),
            TokenPlace::Basic(part) => {
                let pair = match part {
                    BasicPart::User => format!("{token}:"),
                    BasicPart::Password => format!(":{token}"),
                };
                Carried::Header("Authorization", format!("Basic {}", BASE64.encode(pair)))
            }
            TokenPlace::Query(name) => {
                let mut out = Vec::new();
                encode(&mut out, name.as_bytes());
                out.push(b'=');
                encode(&mut out, token.as_bytes());
                Carried::Query(String::from_utf8_lossy(&out).into_owned())
            }
        }
    }

    /// The header that carries it, as it is written; `None` for a query.
    pub fn header(&self) -> Option<&str> {
        match self {
            TokenPlace::Header(name) => Some(name),
            TokenPlace::Bearer | TokenPlace::Basic(_) => Some("Authorization"),
            TokenPlace::Query(_) => None,
        }
    }

    /// The scheme that a 401 asks for (RFC 9110, section 11.6.1), if the place has one.
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            TokenPlace::Header(_) | TokenPlace::Query(_) => None,
            TokenPlace::Bearer => Some("Bearer"),
            TokenPlace::Basic(_) => Some("Basic realm=\"api\", charset=\"UTF-8\""),
        }
    }

    /// The tokens that a request has there; an empty one is none.
    pub fn each<'a>(&self, head: &Head<'a>, see: &mut dyn FnMut(Cow<'a, [u8]>)) {
        match self {
            TokenPlace::Header(name) => {
                head.lines.values(name).filter(|value| !value.is_empty()).for_each(|value| see(Cow::Borrowed(value)));
            }
            TokenPlace::Bearer => {
                let tokens = credentials(&head.lines, b"bearer").filter(|token| !token.is_empty());
                tokens.for_each(|token| see(Cow::Borrowed(token)));
            }
            TokenPlace::Basic(part) => {
                let tokens = credentials(&head.lines, b"basic").filter_map(|text| part.of(text));
                tokens.for_each(|token| see(Cow::Owned(token)));
            }
            TokenPlace::Query(name) => {
                let query = members(head.query.unwrap_or_default());
                let values = query.filter(|(known, _)| *member(known) == *name.as_bytes());
                let tokens = values.map(|(_, value)| member(value.unwrap_or_default()));
                tokens.filter(|token| !token.is_empty()).for_each(see);
            }
        }
    }

    /// The first token that a request has there.
    fn first<'a>(&self, head: &Head<'a>) -> Option<Cow<'a, [u8]>> {
        let mut first = None;
        self.each(head, &mut |token| {
            if first.is_none() {
                first = Some(token);
            }
        });
        first
    }
}

impl fmt::Display for TokenPlace {
    /// As the reference names it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenPlace::Header(name) => formatter.write_str(name),
            TokenPlace::Bearer => formatter.write_str("Authorization: Bearer"),
            TokenPlace::Basic(BasicPart::User) => formatter.write_str("Authorization: Basic (user name)"),
            TokenPlace::Basic(BasicPart::Password) => formatter.write_str("Authorization: Basic (password)"),
            TokenPlace::Query(name) => write!(formatter, "?{name}"),
        }
    }
}

impl BasicPart {
    /// The part of credentials in Base64; `None` if they are not that, or the part is empty.
    fn of(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = BASE64.decode(text).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let part = match self {
            BasicPart::User => {
                decoded.truncate(colon);
                decoded
            }
            BasicPart::Password => decoded.split_off(colon + 1),
        };
        Some(part).filter(|part| !part.is_empty())
    }
}

/// What follows a scheme in the Authorization lines.
fn credentials<'a>(lines: &Lines<'a>, scheme: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines.values(AUTHORIZATION).filter_map(move |value| {
        let (name, rest) = value.split_at_checked(scheme.len())?;
        let rest = rest.strip_prefix(b" ").filter(|_| name.eq_ignore_ascii_case(scheme))?;
        Some(rest.trim_ascii())
    })
}

/// The bytes of a token of ours: a prefix of three letters, 64 hexadecimal digits, and 8 of its checksum.
const SEALED_BYTES: usize = PREFIX.len() + 64 + 8;

/// What tokens of ours begin with, so that scanners for leaked secrets can find them: `tg_[0-9a-f]{72}`.
pub const PREFIX: &str = "tg_";

/// A secret with the CRC-32 of its text behind it, as 8 hexadecimal digits.
pub fn sealed(secret: &str) -> String {
    format!("{secret}{:08x}", crc32fast::hash(secret.as_bytes()))
}

/// Whether a token has the form of ours and a wrong checksum, so that nobody has it: it was not copied as it is.
pub fn is_misspelt(token: &[u8]) -> bool {
    if token.len() != SEALED_BYTES || !token.starts_with(PREFIX.as_bytes()) {
        return false;
    }
    let (secret, checksum) = token.split_at(SEALED_BYTES - 8);
    let stated = std::str::from_utf8(checksum).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    stated != Some(crc32fast::hash(secret))
}

/// The token of a request, from the first of some places that has one.
///
/// # Errors
/// `token-missing`.
#[inline]
pub fn token<'a>(places: &[TokenPlace], head: &Head<'a>) -> Result<Cow<'a, [u8]>, Problem> {
    for place in places {
        let found = match place {
            // The usual places, without a call.
            TokenPlace::Header(name) => head.lines.values(name).find(|value| !value.is_empty()).map(Cow::Borrowed),
            TokenPlace::Bearer => {
                credentials(&head.lines, b"bearer").find(|token| !token.is_empty()).map(Cow::Borrowed)
            }
            TokenPlace::Basic(_) | TokenPlace::Query(_) => place.first(head),
        };
        if let Some(token) = found {
            return Ok(token);
        }
    }
    Err(Problem::new(Row::TokenMissing, "no place where a token can be has one"))
}

/// Whether a request has different tokens, or one of a query twice. That a header of tokens has one line at the most is
/// [`has_several_lines`]'s to see, before this.
pub fn disagree(places: &[TokenPlace], head: &Head<'_>) -> bool {
    // One line has one token.
    if matches!(places, [TokenPlace::Header(_) | TokenPlace::Bearer | TokenPlace::Basic(_)]) {
        return false;
    }
    let mut first: Option<Cow<'_, [u8]>> = None;
    let mut differs = false;
    for place in places {
        let mut count = 0_u32;
        place.each(head, &mut |token| {
            count = count.saturating_add(1);
            match &first {
                Some(known) => differs |= *known != token,
                None => first = Some(token),
            }
        });
        differs |= count > 1 && matches!(place, TokenPlace::Query(_));
    }
    differs
}

/// Whether a header that carries tokens has several lines.
pub fn has_several_lines(headers: &[Box<str>], lines: &Lines<'_>) -> bool {
    headers.iter().any(|name| lines.one(name) == One::Several)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::head::{Field, HeadLimits, Peer};

    fn with<T>(target: &str, fields: &[(&str, &str)], read: impl FnOnce(&Head<'_>) -> T) -> T {
        let mut lines: Vec<Field<'_>> = vec![Field { name: "Host", value: b"h" }];
        lines.extend(fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }));
        let lines = Lines { method: "GET", target, fields: &lines, ..Lines::UNREADABLE };
        let limits = HeadLimits { target_bytes: 1000, header_bytes: 1000, header_lines: 10 };
        read(&Head::judge(lines, Peer::Local, &limits).unwrap())
    }

    #[test]
    fn a_token_is_read_where_the_product_says() {
        let header = TokenPlace::Header("Auth-Token".into());
        let query = TokenPlace::Query("key".into());
        for (place, target, fields, token_there) in [
            (&header, "/", vec![("auth-token", "t")], Some("t")),
            (&header, "/", vec![("Auth-Token", "")], None),
            (&header, "/", vec![("Authorization", "Bearer t")], None),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "Bearer t")], Some("t")),
            (&TokenPlace::Bearer, "/", vec![("authorization", "bEARER   t ")], Some("t")),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "Bearer")], None),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "Bearer ")], None),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "Bearert")], None),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "t")], None),
            (&TokenPlace::Bearer, "/", vec![("Authorization", "Basic dDo=")], None),
            (&TokenPlace::Basic(BasicPart::User), "/", vec![("Authorization", "Basic dDpw")], Some("t")),
            (&TokenPlace::Basic(BasicPart::Password), "/", vec![("Authorization", "basic dDpw")], Some("p")),
            (&TokenPlace::Basic(BasicPart::Password), "/", vec![("Authorization", "Basic OmE6Yg==")], Some("a:b")),
            (&TokenPlace::Basic(BasicPart::Password), "/", vec![("Authorization", "Basic OmE6Yg")], Some("a:b")),
            (&TokenPlace::Basic(BasicPart::Password), "/", vec![("Authorization", "Basic dDo=")], None),
            (&TokenPlace::Basic(BasicPart::User), "/", vec![("Authorization", "Basic !")], None),
            (&TokenPlace::Basic(BasicPart::User), "/", vec![("Authorization", "Basic dA==")], None),
            (&query, "/?key=t", vec![], Some("t")),
            (&query, "/?a=b&k%65y=t%2b", vec![], Some("t+")),
            (&query, "/?key=", vec![], None),
            (&query, "/?Key=t", vec![], None),
        ] {
            let found =
                with(target, &fields, |head| token(std::slice::from_ref(place), head).map(Cow::into_owned).ok());
            assert_eq!(found.as_deref(), token_there.map(str::as_bytes), "{place} of {target} {fields:?}");
        }
    }

    #[test]
    fn a_token_of_ours_with_a_typo_is_told_apart() {
        let token = sealed(&format!("{PREFIX}{}", "0123456789abcdef".repeat(4)));
        assert_eq!(token.len(), SEALED_BYTES);
        assert!(!is_misspelt(token.as_bytes()));
        for (typo, misspelt) in [
            (token.replacen('7', "8", 1), true),
            (token.replacen("89", "98", 1), true),
            (token.replace("tg_", "tx_"), false),
            (token[..token.len() - 1].to_owned(), false),
            (token[..token.len() - 8].to_owned(), false),
            (token[..token.len() - 8].to_owned() + "+1234567", true),
        ] {
            assert_eq!(is_misspelt(typo.as_bytes()), misspelt, "{typo}");
        }
    }

    #[test]
    fn two_tokens_that_differ_are_a_mistake_wherever_they_are() {
        let places = [TokenPlace::Header("A".into()), TokenPlace::Bearer, TokenPlace::Query("key".into())];
        for (target, fields, differ) in [
            ("/?key=t", vec![("A", "t"), ("Authorization", "Bearer t")], false),
            ("/?key=u", vec![("A", "t")], true),
            ("/", vec![("A", "t"), ("Authorization", "Bearer u")], true),
            ("/", vec![("A", ""), ("Authorization", "Bearer u")], false),
            ("/?key=t&key=t", vec![], true),
            ("/?key=t&key=", vec![], false),
        ] {
            assert_eq!(with(target, &fields, |head| disagree(&places, head)), differ, "{target} {fields:?}");
        }
    }
}
