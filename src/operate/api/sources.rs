//! Where a token was used from in the last seven days: addresses of clients and hosts of pages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
use crate::ledger::store::records::ListKind;
use crate::ledger::store::sources::{self, SOURCES_KEPT_MS, Source, TokenSources};

/// One source of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokenSource")]
pub struct ShownSource {
    /// The list that it is about.
    pub kind: ListKind,
    /// Of a network: the client's address, or its network where addresses are kept masked; `(unknown)` where a proxy has
    /// not said it. Of a domain: the host of Origin, else Referer, as an entry of a list has it; `(none)` for requests
    /// without both, `(no host)` where they name none, as `null` does.
    pub value: String,
    /// How many requests there were that the token's lists have let pass.
    pub requests: i64,
    /// The last of them.
    pub last_at: Time,
}

impl From<Source> for ShownSource {
    fn from(source: Source) -> ShownSource {
        let Source { kind, value, requests, last_at } = source;
        ShownSource { kind, value, requests, last_at: Time(last_at) }
    }
}

/// The sources of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokenSources")]
pub struct ShownSources {
    /// Most requests first: at most 50 of each kind.
    pub items: Vec<ShownSource>,
    /// All requests that the token's lists have let pass, those of other sources included; 0 where sources are not
    /// counted.
    pub requests: i64,
    /// What was used before is not shown.
    pub since: Time,
}

/// The sources of a token.
pub async fn list(call: Call<NoBody>) -> Result<Reply<ShownSources>, Problem> {
    let (account, token, now) = (call.value(0).to_owned(), call.value(1).to_owned(), call.at_ms);
    let found = call.api.store.read(move |connection| sources::of(connection, (&account, &token), false, now));
    let TokenSources { requests, sources } = found.await.map_err(refused)?;
    let items = sources.into_iter().map(ShownSource::from).collect();
    Ok(Reply::of(ShownSources { items, requests, since: Time(now.saturating_sub(SOURCES_KEPT_MS)) }))
}
