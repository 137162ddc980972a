//! One answer that is kept for a request that is sent again, and its form in the store.

use crate::policy::Product;
use crate::policy::answers::{PassedStatus, Passing};
use crate::policy::problem::Status;
use crate::upstream::exchange::Answer;

/// The form in the store that this program writes.
const FORM: u8 = 1;

/// An answer of a backend, as clients get it: with its type and format chosen.
#[derive(Debug)]
pub struct KeptAnswer {
    pub passing: Passing,
    pub body: Box<[u8]>,
    /// Its media type, if the product serves several kinds.
    pub content_type: Option<Box<[u8]>>,
    /// The headers that pass, by their names: another configuration can have others, or another order.
    passed: Box<[PassedHeader]>,
}

/// The name and the value of a header.
type PassedHeader = (Box<str>, Box<[u8]>);

impl KeptAnswer {
    /// The answer to a request of a product, if answers like it are kept: none that another attempt could improve, such as
    /// failures and refusals that the product passes on.
    pub fn of(answer: &Answer<'_>, product: &Product) -> Option<KeptAnswer> {
        let is_kept = match answer.passing.status {
            PassedStatus::Ok => true,
            PassedStatus::Other(status) => is_final(status),
        };
        if !is_kept || answer.passing.is_failure {
            return None;
        }
        let names = &product.answers.headers;
        let named = answer.passed.iter().filter_map(|(index, value)| {
            let name = names.get(usize::from(*index))?;
            Some((name.clone(), value.clone()))
        });
        Some(KeptAnswer {
            passing: Passing { status: answer.passing.status, body: None, is_failure: false },
            body: Box::from(&*answer.body),
            content_type: answer.content_type.clone(),
            passed: named.collect(),
        })
    }

    /// Its bytes: those of the body and of the headers.
    pub fn bytes(&self) -> usize {
        let headers = self.passed.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let kind = self.content_type.as_ref().map_or(0, |kind| kind.len());
        headers.fold(self.body.len().saturating_add(kind), usize::saturating_add)
    }

    /// The headers that a product passes, by their index there.
    pub fn passed(&self, product: &Product) -> Vec<(u8, Box<[u8]>)> {
        let names = &product.answers.headers;
        let indexed = self.passed.iter().filter_map(|(name, value)| {
            let index = names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
            Some((u8::try_from(index).ok()?, value.clone()))
        });
        indexed.collect()
    }

    /// Its form in the store: a number of the form, the status, and parts with their lengths.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(&self.passing.status.code().to_be_bytes());
        bytes.push(u8::from(self.content_type.is_some()));
        add(&mut bytes, self.content_type.as_deref().unwrap_or_default());
        add(&mut bytes, &self.body);
        for (name, value) in &self.passed {
            add(&mut bytes, name.as_bytes());
            add(&mut bytes, value);
        }
        bytes
    }

    /// The answer with a form of the store; `None` if it is another program's, or is broken.
    pub fn from_bytes(bytes: &[u8]) -> Option<KeptAnswer> {
        let ([form, high, low, has_type], mut rest) = bytes.split_first_chunk()?;
        let status = PassedStatus::from_code(u16::from_be_bytes([*high, *low])).filter(|_| *form == FORM)?;
        let content_type = part(&mut rest)?;
        let body = part(&mut rest)?;
        let mut passed = Vec::new();
        while !rest.is_empty() {
            let name = std::str::from_utf8(part(&mut rest)?).ok()?;
            passed.push((name.into(), part(&mut rest)?.into()));
        }
        Some(KeptAnswer {
            passing: Passing { status, body: None, is_failure: false },
            body: body.into(),
            content_type: (*has_type == 1).then(|| content_type.into()),
            passed: passed.into(),
        })
    }
}

/// Whether a status that is passed on says something of the lookup that another attempt does not change.
fn is_final(status: Status) -> bool {
    match status {
        Status::BadRequest
        | Status::Unauthorized
        | Status::Forbidden
        | Status::NotFound
        | Status::NotAcceptable
        | Status::UnsupportedMediaType => true,
        Status::RequestTimeout | Status::TooManyRequests | Status::InternalServerError | Status::ServiceUnavailable => {
            false
        }
    }
}

fn add(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(part);
}

/// Takes the next part off.
fn part<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    Some(part)
}

#[cfg(test)]
pub(super) fn sample(body: &[u8]) -> KeptAnswer {
    KeptAnswer { passing: Passing::plain().clone(), body: body.into(), content_type: None, passed: Box::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_same_after_it_was_in_the_store() {
        for (content_type, status) in [(None, 200), (Some(b"application/xml".as_slice()), 404), (Some(b""), 400)] {
            let answer = KeptAnswer {
                passing: Passing { status: PassedStatus::from_code(status).unwrap(), body: None, is_failure: false },
                content_type: content_type.map(Box::from),
                passed: [("ETag".into(), b"\"e\"".as_slice().into()), ("Link".into(), b"".as_slice().into())].into(),
                ..sample(b"{\"a\":\xff}")
            };
            let bytes = answer.to_bytes();
            assert_eq!(format!("{:?}", KeptAnswer::from_bytes(&bytes).unwrap()), format!("{answer:?}"));
            assert_eq!(answer.bytes(), 7 + 4 + 3 + 4 + content_type.map_or(0, <[u8]>::len));
            // Whatever is cut off, it is refused or less, and nothing panics.
            for end in 0..bytes.len() {
                let cut = KeptAnswer::from_bytes(&bytes[..end]);
                assert!(cut.is_none_or(|cut| cut.passed.len() < 2), "{end}");
            }
            assert!(KeptAnswer::from_bytes(&[&[FORM + 1][..], &bytes[1..]].concat()).is_none(), "another program's");
            assert!(KeptAnswer::from_bytes(&[&bytes[..1], &[0, 99], &bytes[3..]].concat()).is_none(), "no status");
        }
    }

    #[test]
    fn what_another_attempt_could_improve_is_not_kept() {
        let kept = Status::ALL.into_iter().filter(|status| is_final(*status)).map(Status::code);
        assert_eq!(kept.collect::<Vec<_>>(), [400, 401, 403, 404, 406, 415]);
    }
}
