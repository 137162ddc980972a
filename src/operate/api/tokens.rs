//! Tokens of an account: making and rotating them, switching them off and on, revoking them. A token is in
//! one answer, when it is made, and nowhere else.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::lists;
use super::problem::{FieldError, Problem};
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, ROOT, Reply};
use super::shown::{Day, NewToken, Page, Time, Token};
use super::span;
use crate::ledger::store::lists as stored_lists;
use crate::ledger::store::records::{ListKind, QuotaLimit, RateLimit, TokenInfo, TokenList, TokenState};
use crate::ledger::store::tokens::{self, MAX_OVERLAP_MS, TokenDraft, TokenPatch};
use crate::ledger::store::{Outcome, StoreError, Writing, usage};

type Replied = Result<Reply<Token>, Problem>;

/// A token that is to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// How logs and people call it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub name: String,
    /// The products that it covers, by the names of the configuration.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub products: Vec<String>,
    /// Its last day, in UTC. Default: it does not expire.
    #[serde(default)]
    pub expires: Option<Day>,
    /// Rates of the token alone. Default: those of its account.
    #[serde(default)]
    pub rates: Vec<RateLimit>,
    /// Requests of the token alone, by the calendar.
    #[serde(default)]
    pub quota: QuotaLimit,
    /// Where requests may come from. Default: anywhere.
    #[serde(default)]
    pub networks: Option<TokenList>,
    /// Which pages may use it. Default: all.
    #[serde(default)]
    pub domains: Option<TokenList>,
}

/// What of a token is to be changed: what is not there stays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "TokenChange")]
pub struct TokenChange {
    /// How logs and people call it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub name: Option<String>,
    /// The products that it covers: all of them.
    #[schemars(length(max = 64))]
    pub products: Option<Vec<String>>,
    /// Its last day, in UTC; null: it does not expire any more.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<Day>")]
    pub expires: Option<Option<Day>>,
    /// Rates of the token alone: all of them.
    pub rates: Option<Vec<RateLimit>>,
    /// Requests of the token alone, by the calendar.
    pub quota: Option<QuotaLimit>,
}

/// A member that is there, null or not.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// How a token is rotated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the old token goes on beside the new one: `0`, or a whole number and s, m, h or d, as in 24h or
    /// 7d; at most 90 days.
    #[schemars(regex(pattern = "^(0|[1-9][0-9]{0,6}[smhd])$"))]
    pub overlap: String,
}

impl Rotation {
    /// The overlap in milliseconds.
    fn milliseconds(&self) -> Option<i64> {
        span::milliseconds(&self.overlap).filter(|overlap| *overlap <= MAX_OVERLAP_MS)
    }
}

/// The tokens of an account, in the order in which they were made.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Token>>, Problem> {
    let account = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| {
        let uses: HashMap<String, i64> = usage::last_uses(connection, &account)?.into_iter().collect();
        Ok((tokens::list(connection, &account)?, uses))
    });
    let (found, uses) = found.await.map_err(refused)?;
    let (after, limit) = (call.query.after(), call.query.limit());
    let state = call.query.text("state").and_then(TokenState::from_word);
    let name = call.query.text("name");
    let wanted = |token: &TokenInfo| {
        after.is_none_or(|after| *token.id > *after)
            && state.is_none_or(|state| token.state == state)
            && name.is_none_or(|name| token.name.starts_with(name))
    };
    let last_used = |token: Token| Token { last_used_at: uses.get(&token.id).map(|at| Time(*at)), ..token };
    let found = found.into_iter().filter(wanted).map(|token| last_used(token.into())).collect();
    Ok(Reply::of(Page::of(found, limit, |token| token.id.clone())))
}

/// One token.
pub async fn get(call: Call<NoBody>) -> Replied {
    let (account, token) = (call.value(0).to_owned(), call.value(1).to_owned());
    let found = call.api.store.read(move |connection| {
        Ok((tokens::get(connection, &account, &token)?, usage::last_use(connection, &account, &token)?))
    });
    let (found, last_use) = found.await.map_err(refused)?;
    Ok(shown(Token { last_used_at: last_use.map(Time), ..found.into() }))
}

/// Makes a token, with its lists.
pub async fn create(call: Call<TokenBody>) -> Result<Reply<NewToken>, Problem> {
    let account = call.value(0).to_owned();
    let TokenBody { name, products, expires, rates, quota, networks, domains } = call.body.clone();
    let mut faults = Vec::new();
    for (kind, list, at) in [(ListKind::Network, &networks, "/networks"), (ListKind::Domain, &domains, "/domains")] {
        faults.extend(list.iter().filter_map(|list| lists::drafted(kind, list, at).err()).flatten());
    }
    if !faults.is_empty() {
        return Err(Problem::body(faults));
    }
    let draft = TokenDraft { name, products, last_day: expires.map(|day| day.0), rates, quota };
    let outcome = call.write(move |writing| {
        let mut made = tokens::create(writing, &account, &draft)?;
        for (kind, list) in [(ListKind::Network, &networks), (ListKind::Domain, &domains)] {
            if let Some(list) = list {
                (made.token, _) = stored_lists::set(writing, &account, &made.token.id, kind, None, list)?;
            }
        }
        Ok(made)
    });
    let outcome = outcome.await.map_err(refused)?;
    Ok(made(outcome.value.into(), outcome.replayed))
}

/// Makes a token that takes another one's place, which ends after an overlap.
pub async fn rotate(call: Call<Rotation>) -> Result<Reply<NewToken>, Problem> {
    let (account, token, version) = (call.value(0).to_owned(), call.value(1).to_owned(), call.version());
    let Some(overlap) = call.body.milliseconds() else {
        let fault = FieldError::new("/overlap", "is longer than 90 days", "write at most 90d");
        return Err(Problem::body(vec![fault]));
    };
    let outcome = call.write(move |writing| tokens::rotate(writing, &account, &token, version, overlap)).await;
    let outcome = outcome.map_err(refused_as::<TokenInfo, Token>)?;
    Ok(made(outcome.value.into(), outcome.replayed))
}

/// Changes what is said of a token.
pub async fn update(call: Call<TokenChange>) -> Replied {
    let TokenChange { name, products, expires, rates, quota } = call.body.clone();
    let last_day = expires.map(|expires| expires.map(|day| day.0));
    let patch = TokenPatch { name, products, state: None, last_day, rates, quota };
    change(&call, move |writing, account, id, version| tokens::update(writing, account, id, version, &patch)).await
}

/// Lets a token be used again.
pub async fn enable(call: Call<NoBody>) -> Replied {
    set_state(&call, TokenState::Enabled).await
}

/// Lets nobody use a token until it is enabled again.
pub async fn disable(call: Call<NoBody>) -> Replied {
    set_state(&call, TokenState::Disabled).await
}

/// Revokes a token for good.
pub async fn revoke(call: Call<NoBody>) -> Replied {
    change(&call, tokens::revoke).await
}

async fn set_state(call: &Call<NoBody>, state: TokenState) -> Replied {
    let patch = TokenPatch { state: Some(state), ..TokenPatch::default() };
    change(call, move |writing, account, id, version| tokens::update(writing, account, id, version, &patch)).await
}

async fn change<B>(
    call: &Call<B>,
    mut operation: impl FnMut(&mut Writing<'_>, &str, &str, Option<i64>) -> Result<TokenInfo, StoreError> + Send + 'static,
) -> Replied {
    let (account, token, version) = (call.value(0).to_owned(), call.value(1).to_owned(), call.version());
    let outcome = call.write(move |writing| operation(writing, &account, &token, version)).await;
    let Outcome { value, replayed, .. } = outcome.map_err(refused_as::<TokenInfo, Token>)?;
    // That it is shown is no reason to say that the change has failed.
    let (account, id) = (value.account_id.clone(), value.id.clone());
    let last_use = call.api.store.read(move |connection| usage::last_use(connection, &account, &id)).await;
    let last_used_at = last_use.ok().flatten().map(Time);
    Ok(shown(Token { last_used_at, ..value.into() }).again(replayed))
}

fn shown(token: Token) -> Reply<Token> {
    let version = token.version;
    Reply::versioned(token, version)
}

fn made(made: NewToken, replayed: bool) -> Reply<NewToken> {
    let (version, location) =
        (made.token.version, format!("{ROOT}/accounts/{}/tokens/{}", made.token.account, made.token.id));
    Reply::versioned(made, version).at(location).again(replayed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_number_and_its_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("2m", Some(120_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("90d", Some(7_776_000_000)),
            ("91d", None),
            ("9999999d", None),
        ] {
            assert_eq!(Rotation { overlap: text.to_owned() }.milliseconds(), expected, "{text}");
        }
    }
}
