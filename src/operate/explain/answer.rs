//! The answer that a client would get, written by the same code as in the gateway.

use super::asked::Asked;
use super::dry_run::{DryRun, Ending};
use super::seen;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::respond::{self, Context, Outcome, Sink};
use crate::policy::{Policy, account_info};

/// A whole response; every text is without tokens.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub phrase: String,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The values of a header, whose name has no case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_it = move |(known, _): &&'a (String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_it).map(|(_, value)| value.as_str())
    }
}

impl Sink for Answer {
    fn status(&mut self, code: u16, phrase: &str) {
        self.status = code;
        phrase.clone_into(&mut self.phrase);
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        self.headers.push((name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    }

    fn body(&mut self, body: &[u8]) {
        self.body = String::from_utf8_lossy(body).into_owned();
    }

    /// Pages are for reading elsewhere.
    fn kept_body(&mut self, _body: &bytes::Bytes) {}
}

/// The answer to a request, unless it is the backend's to give.
pub fn of(policy: &Policy, asked: &Asked, dry_run: &DryRun<'_, '_>) -> Option<Answer> {
    let told;
    let outcome = match &dry_run.ending {
        Ending::Refused(problem) => Outcome::Refused(*problem),
        Ending::Preflight(preflight) => Outcome::Preflight(preflight),
        Ending::Enquiry(principal) => {
            told = account_info::tell(*principal, asked.now);
            Outcome::Told(&told)
        }
        Ending::Page(page, rendition) => Outcome::Page(page.rendition(*rendition)?),
        Ending::Forwarded(..) => return None,
    };
    Some(written(policy, asked, dry_run, &outcome))
}

/// The answer that has an outcome, as the client gets it; no text has a token of the request.
pub fn written(policy: &Policy, asked: &Asked, dry_run: &DryRun<'_, '_>, outcome: &Outcome<'_>) -> Answer {
    let transaction = TransactionId::random();
    let context = Context {
        policy,
        lines: &dry_run.lines,
        trail: dry_run.trail,
        transaction: &transaction,
        trace: None,
        now: asked.now,
    };
    let mut answer = Answer::default();
    respond::write(&mut answer, &context, outcome);
    let secrets = seen::secrets(policy, &dry_run.lines);
    for (_, value) in &mut answer.headers {
        *value = seen::without(value, &secrets);
    }
    answer.body = seen::without(&answer.body, &secrets);
    answer
}
