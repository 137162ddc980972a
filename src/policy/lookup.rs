//! A lookup after its head was admitted, up to the moment it may be sent to the backend.
//!
//! [`Admission`] → [`BodyAwaited`] → [`Priced`] → [`Paid`]: each is made of the one before it and of nothing
//! else, and the backend's request is built from the last. So the order (admit, read the body, judge and price
//! it, hold the credits) cannot be written differently, whoever runs it: the gateway, or `explain`.
//! Where bytes, threads and balances come from is the caller's.

use std::sync::Arc;

use serde_json::Value;

use crate::policy::admit::Admission;
use crate::policy::check::body::{Accepted, BodyRule, without_mark};
use crate::policy::credits::{CreditAccount, Hold, Receipt};
use crate::policy::format::kind::Format;
use crate::policy::http::head::Head;
use crate::policy::problem::{Problem, Row};
use crate::policy::tariff::{Passed, Tariff};

impl<'p> Admission<'p> {
    /// The credits that the request is paid with; `None` if it costs nothing.
    fn credit_account(&self) -> Option<&'p Arc<CreditAccount>> {
        let account = self.principal().account.credit_accounts.of(self.product().balance)?;
        self.route().tariff.is_some().then_some(account)
    }

    /// What the request costs those who pay.
    fn tariff(&self) -> Option<&'p Tariff> {
        self.route().tariff.as_deref().filter(|_| self.credit_account().is_some())
    }

    /// How many bytes the body may have.
    fn body_limit(&self) -> usize {
        self.route().body.as_ref().map_or(0, |rule| rule.max_bytes)
    }

    /// What a tariff has to know of the request's parameters.
    fn look_at_parameters(&self, tariff: &Tariff, head: &Head<'_>) -> Passed {
        if tariff.parameters().next().is_none() {
            return Passed::default();
        }
        let route = self.route();
        tariff.look_at_parameters(|name, see| {
            let index = route.parameter(name);
            index.into_iter().flat_map(|index| route.values(index, head)).for_each(|value| see(&value));
        })
    }

    /// The head is accepted; the body is next.
    ///
    /// # Errors
    /// `body-too-large` when the head states more than the product allows, before any of it was read.
    pub fn await_body(self, head: &Head<'_>) -> Result<BodyAwaited<'p>, Problem> {
        let limit = self.body_limit();
        let stated = head.framing.stated_length().and_then(|length| usize::try_from(length).ok());
        if stated.is_some_and(|length| length > limit) {
            return Err(Problem::new(Row::BodyTooLarge, "the head states more bytes than the route allows"));
        }
        let parameters = self.tariff().map_or(Passed::default(), |tariff| self.look_at_parameters(tariff, head));
        Ok(BodyAwaited { admission: self, parameters })
    }
}

/// A request whose body is to be read and judged.
#[derive(Debug)]
pub struct BodyAwaited<'p> {
    admission: Admission<'p>,
    /// What the prices have to know of the request's parameters.
    parameters: Passed,
}

impl<'p> BodyAwaited<'p> {
    /// How many bytes the body may have.
    pub fn limit(&self) -> usize {
        self.admission.body_limit()
    }

    /// Judges the whole body, which has no more bytes than its limit.
    ///
    /// # Errors
    /// Those of the product's rule for bodies.
    pub fn judge(self, body: &[u8]) -> Result<Priced<'p>, Problem> {
        let accepted = self.rule().map(|rule| rule.judge_as(self.admission.format(), body)).transpose()?;
        Ok(self.priced(accepted))
    }

    /// The same if it takes no longer than other requests of a thread can wait.
    ///
    /// # Errors
    /// The request as it was, if it would.
    pub fn judge_at_once(self, body: &[u8]) -> Result<Result<Priced<'p>, Problem>, Self> {
        let Some(rule) = self.rule() else { return Ok(Ok(self.priced(None))) };
        match rule.judge_as_at_once(self.admission.format(), body) {
            Some(judged) => Ok(judged.map(|accepted| self.priced(Some(accepted)))),
            None => Err(self),
        }
    }

    /// What judges the body on another thread.
    pub fn judge_apart(&self, body: &[u8]) -> JudgeApart {
        JudgeApart { rule: self.rule().cloned(), format: self.admission.format(), body: body.to_vec() }
    }

    /// Goes on with a body that was judged on another thread. Its value stays with the caller, since it may take long to
    /// free.
    pub fn accept(self, body: &mut AcceptedBody) -> Priced<'p> {
        match &mut body.0 {
            None => self.priced_by(None, None),
            Some(Accepted { value, json }) => self.priced_by(Some(value), json.take()),
        }
    }

    fn rule(&self) -> Option<&'p BodyRule> {
        self.admission.route().body.as_ref()
    }

    fn priced(self, body: Option<Accepted>) -> Priced<'p> {
        match body {
            None => self.priced_by(None, None),
            Some(Accepted { value, json }) => self.priced_by(Some(&value), json),
        }
    }

    fn priced_by(self, body: Option<&Value>, json: Option<Vec<u8>>) -> Priced<'p> {
        let tariff = self.admission.tariff();
        let passed = tariff.map_or(Passed::default(), |tariff| tariff.look_at(body, self.parameters));
        Priced { admission: self.admission, passed, highest: tariff.map_or(0, |tariff| tariff.highest(passed)), json }
    }
}

/// A body and its product's rule, for another thread.
#[derive(Debug)]
pub struct JudgeApart {
    rule: Option<BodyRule>,
    format: Format,
    body: Vec<u8>,
}

impl JudgeApart {
    /// Judges the body.
    ///
    /// # Errors
    /// Those of the product's rule for bodies.
    pub fn judge(&self) -> Result<AcceptedBody, Problem> {
        self.rule.as_ref().map(|rule| rule.judge_as(self.format, &self.body)).transpose().map(AcceptedBody)
    }
}

/// A body that its rule accepted; `None` where the product takes none.
#[derive(Debug)]
pub struct AcceptedBody(Option<Accepted>);

/// A request that nothing but its credits can refuse any more.
#[derive(Debug)]
pub struct Priced<'p> {
    admission: Admission<'p>,
    passed: Passed,
    highest: u32,
    /// The body as JSON, if it came in another format.
    json: Option<Vec<u8>>,
}

impl<'p> Priced<'p> {
    /// What was accepted of the head.
    pub fn admission(&self) -> &Admission<'p> {
        &self.admission
    }

    /// What the backend gets of a body: what was judged.
    pub fn body<'b>(&'b self, sent: &'b [u8]) -> &'b [u8] {
        self.json.as_deref().unwrap_or_else(|| without_mark(sent))
    }

    /// Whose credits are to be held; `None` if the request costs nothing.
    pub fn credit_account(&self) -> Option<&'p Arc<CreditAccount>> {
        self.admission.credit_account()
    }

    /// The credits that the request can cost at the most; 0 where nobody pays.
    pub fn highest(&self) -> u32 {
        self.highest
    }

    /// Goes on with the hold on just these credits.
    pub fn paid_with(self, hold: Hold<'p>) -> Paid<'p> {
        debug_assert_eq!(hold.amount(), if self.credit_account().is_some() { self.highest } else { 0 });
        Paid { admission: self.admission, passed: self.passed, hold, json: self.json }
    }
}

/// A request that may be sent to the backend. Dropping it gives its credits back.
#[derive(Debug)]
#[must_use = "what is paid for is sent"]
pub struct Paid<'p> {
    admission: Admission<'p>,
    passed: Passed,
    hold: Hold<'p>,
    json: Option<Vec<u8>>,
}

impl<'p> Paid<'p> {
    /// What was accepted of the head.
    pub fn admission(&self) -> &Admission<'p> {
        &self.admission
    }

    /// What the backend gets of a body: what was judged.
    pub fn body<'b>(&'b self, sent: &'b [u8]) -> &'b [u8] {
        self.json.as_deref().unwrap_or_else(|| without_mark(sent))
    }

    /// Whether the body came in another format than the backend gets it in.
    pub fn is_converted(&self) -> bool {
        self.json.is_some()
    }

    /// The prices of the answer, for those who pay.
    pub fn tariff(&self) -> Option<&'p Tariff> {
        self.admission.tariff()
    }

    /// Which tests of the prices the request passes.
    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// The credits that are held; `None` if the request costs nothing.
    pub fn held(&self) -> Option<u32> {
        self.hold.credit_account().map(|_| self.hold.amount())
    }

    /// What a client is told of an answer that costs `price`; `None` if the request costs nothing.
    pub fn receipt(&self, price: u32) -> Option<Receipt> {
        self.hold.credit_account().map(|_| self.hold.receipt(price))
    }

    /// What the answer is paid with.
    pub fn into_hold(self) -> Hold<'p> {
        self.hold
    }
}
