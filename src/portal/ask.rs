//! What a page asks of the management API, for the person who looks at it.

use serde::de::DeserializeOwned;

use super::person::SignedIn;
use crate::ledger::entry::Statement;
use crate::ledger::store::Via;
use crate::ledger::store::records::Role;
use crate::operate::api::caller::{Caller, SCOPES, Scope};
use crate::operate::api::client::{Answer, Asked, InProcess};
use crate::operate::api::connection::Peer;
use crate::operate::api::credits::Balances;
use crate::operate::api::problem::Told;
use crate::operate::api::shown::Page;

/// Why something is not there, or was not done.
#[derive(Debug)]
pub enum Refusal {
    /// The API's words.
    Told(Box<Told>),
    /// What was asked for is no path, and so is not there.
    Nowhere,
    /// What answered is no answer.
    Broken(String),
}

impl Refusal {
    /// The status of the API's answer.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Told(told) => told.status,
            Refusal::Nowhere => 404,
            Refusal::Broken(_) => 500,
        }
    }
}

/// Whoever asks, with the API.
#[derive(Clone)]
pub struct Client {
    api: InProcess,
    caller: Caller,
    peer: Option<Peer>,
}

impl Client {
    /// Somebody as a member of an account.
    pub fn member(api: &InProcess, person: &SignedIn, account: &str, role: Role, peer: Option<Peer>) -> Client {
        Client::of(api, person, (Some(account.to_owned()), role), SCOPES.to_vec(), peer)
    }

    /// An operator.
    pub fn operator(api: &InProcess, person: &SignedIn, role: Role, peer: Option<Peer>) -> Client {
        Client::of(api, person, (None, role), SCOPES.to_vec(), peer)
    }

    /// An operator who looks at what a customer sees, and changes nothing.
    pub fn looking(api: &InProcess, person: &SignedIn, role: Role, peer: Option<Peer>) -> Client {
        Client::of(api, person, (None, role), vec![Scope::Read], peer)
    }

    fn of(
        api: &InProcess,
        person: &SignedIn,
        (account, role): (Option<String>, Role),
        scopes: Vec<Scope>,
        peer: Option<Peer>,
    ) -> Client {
        let actor = format!("user:{}", person.user);
        let caller = Caller { id: person.user.clone(), via: Via::Portal, actor, role, account, scopes };
        Client { api: api.clone(), caller, peer }
    }

    /// Asks.
    ///
    /// # Errors
    /// The API's refusal.
    pub async fn ask<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T, Refusal> {
        let answer = self.answer(asked).await?;
        answer.read().map_err(|told| refusal(told, answer.status))
    }

    /// Asks for what is no JSON, with the `after` of the next page.
    ///
    /// # Errors
    /// The API's refusal.
    pub async fn text(&self, asked: &Asked) -> Result<(String, Option<String>), Refusal> {
        let answer = self.answer(asked).await?;
        if (200..300).contains(&answer.status) {
            return Ok((String::from_utf8_lossy(&answer.body).into_owned(), answer.next));
        }
        Err(refusal(answer.read::<()>().err().flatten(), answer.status))
    }

    /// The rows of a list, page by page, at the most so many.
    ///
    /// # Errors
    /// The API's refusal.
    pub async fn rows<T: DeserializeOwned>(&self, asked: &Asked, most: usize) -> Result<Vec<T>, Refusal> {
        let mut rows = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let asked = asked.clone().with("limit", Some("200")).with("after", after.as_deref());
            let page: Page<T> = self.ask(&asked).await?;
            rows.extend(page.items);
            match page.next {
                Some(next) if rows.len() < most => after = Some(next),
                _ => return Ok(rows),
            }
        }
    }

    /// The rows of a list, or none where this person may not see them.
    ///
    /// # Errors
    /// The API's refusal, if it is another than 403.
    pub async fn rows_if_allowed<T: DeserializeOwned>(&self, asked: &Asked, most: usize) -> Result<Vec<T>, Refusal> {
        match self.rows(asked, most).await {
            Err(refusal) if refusal.status() == 403 => Ok(Vec::new()),
            rows => rows,
        }
    }

    /// The balances of an account; none where the gateway keeps no credits, or they cannot be read at the moment.
    ///
    /// # Errors
    /// The API's refusal, if it is another than 503.
    pub async fn balances(&self, account: &str) -> Result<Vec<Statement>, Refusal> {
        match self.ask::<Balances>(&Asked::get(format!("/accounts/{account}/credits"))).await {
            Ok(balances) => Ok(balances.items),
            Err(refusal) if refusal.status() == 503 => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn answer(&self, asked: &Asked) -> Result<Answer, Refusal> {
        // What stands behind `#` would be cut off, and behind `?` would be a query.
        if asked.path.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#' | b'"' | b'\\')) {
            return Err(Refusal::Nowhere);
        }
        self.api.ask(self.caller.clone(), self.peer, asked).await.map_err(Refusal::Broken)
    }
}

fn refusal(told: Option<Box<Told>>, status: u16) -> Refusal {
    told.map_or_else(|| Refusal::Broken(format!("the API said {status}")), Refusal::Told)
}
