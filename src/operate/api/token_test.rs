//! Trying out a token before its lists are changed: a request that is not sent is judged by the gateway's own checks,
//! with a draft of the token's lists if there is one. Nothing is stored, counted or held.
//!
//! The token itself is kept nowhere. So its account is compiled once more, alone, with another token in its place
//! that exists for this request only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conflicts;
use super::lists;
use super::problem::{FieldError, Kind, Problem};
use super::refusal::refused;
use super::route::{Call, Reply};
use super::shown::Time;
use crate::config::rows::RowCompiler;
use crate::ledger::Ledger;
use crate::ledger::store::records::{Absent, ListKind, StoredPlan, TokenList, WholeAccount};
use crate::ledger::store::{StoreError, plans, whole};
use crate::operate::explain::{self, Asked, Finding, Judged, carried};
use crate::platform::count::counted;
use crate::policy::Policy;
use crate::policy::account::Digest;
use crate::policy::credits::CreditAccount;
use crate::policy::http::head::{Peer, Version};
use crate::policy::now::Now;
use crate::policy::observer::Check;
use crate::policy::route::Route;

/// Headers of a request that is tried out.
const MOST_HEADERS: usize = 32;

/// A request that is judged as if it came with the token. Without `headers` and `body`, what is judged is what a token
/// decides: product, networks, domains, rates and quotas.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenTest {
    /// The address that it comes from.
    #[schemars(length(min = 2, max = 45))]
    pub address: String,
    /// Its method. Default: that of the token's first route.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Z]{1,20}$"))]
    pub method: Option<String>,
    /// Its path and query. Default: that of the token's first route.
    #[serde(default)]
    #[schemars(length(max = 2000), regex(pattern = r"^/[!-~]*$"))]
    pub path: Option<String>,
    /// What a browser says in Origin. Default: there is none.
    #[serde(default)]
    #[schemars(length(max = 300), regex(pattern = "^[ -~]+$"))]
    pub origin: Option<String>,
    /// What a browser says in Referer. Default: there is none.
    #[serde(default)]
    #[schemars(length(max = 2000), regex(pattern = "^[ -~]+$"))]
    pub referer: Option<String>,
    /// Other headers, by their names, without the one that has the token.
    #[serde(default)]
    #[schemars(extend("maxProperties" = MOST_HEADERS), extend("propertyNames" = serde_json::json!({ "pattern": "^[A-Za-z0-9-]{1,100}$" })))]
    pub headers: Option<BTreeMap<String, HeaderText>>,
    /// The body, as text.
    #[serde(default)]
    #[schemars(length(max = 65536))]
    pub body: Option<String>,
    /// When it comes. Default: now.
    #[serde(default)]
    pub at: Option<Time>,
    /// Networks to judge it by, in place of the token's.
    #[serde(default)]
    pub networks: Option<TokenList>,
    /// Domains to judge it by, in place of the token's.
    #[serde(default)]
    pub domains: Option<TokenList>,
}

/// The value of a header.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct HeaderText(#[schemars(length(max = 2000), regex(pattern = "^[ -~]*$"))] pub String);

/// What a request would be answered with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestOutcome {
    /// What it would be refused with; null: the token lets it pass.
    pub refusal: Option<TestRefusal>,
    /// Every check in its order.
    pub checks: Vec<TestedCheck>,
    /// The mode `watch` lets it pass, and `enforce` would refuse it, by the networks.
    pub networks_watched: bool,
    /// The same by the domains.
    pub domains_watched: bool,
    /// The draft of the networks, in the form that requests are compared with.
    pub networks: Option<TokenList>,
    /// The draft of the domains, in the form that requests are compared with.
    pub domains: Option<TokenList>,
    /// What of the account is not in force as it is written, so that requests are judged otherwise.
    pub conflicts: Vec<String>,
}

/// A refusal.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestRefusal {
    /// The problem's row, as it ends the `type` of the error object.
    pub problem: String,
    /// The status of the answer.
    pub status: u16,
    /// Why, in the words of the log.
    pub reason: String,
}

/// What became of one check.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestedCheck {
    /// The row that it refuses with.
    pub problem: String,
    /// pass, refused, not reached, or does not apply.
    pub verdict: String,
    /// What it looked at.
    pub seen: String,
}

/// Judges a request that is not sent.
pub async fn run(call: Call<TokenTest>) -> Result<Reply<TestOutcome>, Problem> {
    let mut test = call.body.clone();
    let mut faults = Vec::new();
    for (kind, draft, at) in
        [(ListKind::Network, &mut test.networks, "/networks"), (ListKind::Domain, &mut test.domains, "/domains")]
    {
        if let Some(list) = draft {
            match lists::drafted(kind, list, at) {
                Ok(canonical) => *draft = Some(canonical),
                Err(wrong) => faults.extend(wrong),
            }
        }
    }
    let address = test.address.trim().parse::<IpAddr>();
    if address.is_err() {
        faults.push(FieldError::new("/address", "is not an address", "write one as in 203.0.113.9 or 2001:db8::1"));
    }
    let policy = call.api.in_force.policy();
    for name in test.headers.iter().flat_map(BTreeMap::keys) {
        if policy.token_headers.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            let fix = "leave it out: the request is judged as if it came with this token";
            faults.push(FieldError::new("/headers", "has a header that carries tokens", fix));
        }
    }
    let Ok(address) = address else { return Err(Problem::body(faults)) };
    if !faults.is_empty() {
        return Err(Problem::body(faults));
    }
    let (account, token) = (call.value(0).to_owned(), call.value(1).to_owned());
    let read = call.api.store.read(move |connection| Ok((whole::one(connection, &account)?, plans::list(connection)?)));
    let (mut whole, plans) = read.await.map_err(refused)?;
    whole.tokens.retain(|known| known.info.id == token);
    let Some(stored) = whole.tokens.first_mut() else { return Err(refused(StoreError::NotFound { what: "token" })) };
    let secret = carried::secret();
    stored.digest = Digest::of(secret.as_bytes());
    if let Some(list) = &test.networks {
        (stored.info.networks_mode, stored.networks) = (list.mode, list.entries.clone());
    }
    if let Some(list) = &test.domains {
        (stored.info.domains_mode, stored.domains) = (list.mode, list.entries.clone());
        stored.info.absent = list.absent.unwrap_or(Absent::Deny);
    }
    let alone = alone(&policy, call.api.ledger.as_deref(), &whole, &plans)?;
    let asked = asked(&test, address, &alone, &secret, call.at_ms);
    let mut judged = explain::judge(&alone, &asked);
    tell_credits(&mut judged, &alone);
    let conflicts = conflicts::of_account(&call.api, call.value(0)).await?;
    Ok(Reply::of(outcome(judged, test, conflicts)))
}

/// The policy with the account alone. Its credits are what the account has now; holding some changes nothing.
fn alone(
    policy: &Policy,
    ledger: Option<&Ledger>,
    whole: &WholeAccount,
    plans: &[StoredPlan],
) -> Result<Policy, Problem> {
    let credits = |account: &str, product: &str| {
        let has = ledger?.credit_account(account, product)?.shown().available;
        Some(Arc::new(CreditAccount::new(account.into(), product.into(), has)))
    };
    let compiled = RowCompiler::new(policy, plans, &credits).compile(whole);
    let compiled =
        compiled.map_err(|flaw| Problem::new(Kind::Conflict, format!("The account cannot be in force: it {flaw}.")))?;
    // Of an account that is closed, all tokens are unknown.
    Ok(policy.alone(compiled.account, || {}))
}

/// The request, with a token that is known to this policy.
fn asked(test: &TokenTest, address: IpAddr, policy: &Policy, secret: &str, now_ms: i64) -> Asked {
    let covered = policy.accounts.keys().next().map(|key| key.token.products);
    let first = policy.products.iter().find(|product| covered.is_some_and(|covered| covered.contains(product.index)));
    let route = first.or(policy.products.first()).and_then(|product| product.routes.first());
    let target = test.path.clone().or_else(|| route.map(Route::example_target)).unwrap_or_else(|| "/".to_owned());
    let path = policy.paths.find_anywhere(target.split('?').next().unwrap_or_default());
    let of_path = path.and_then(|path| path.methods.first()).map(|(method, _)| method);
    let of_route = of_path.or(route.map(|route| &route.method)).map_or("GET", |method| method);
    let method = test.method.clone().unwrap_or_else(|| of_route.to_owned());
    let text = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers: Vec<_> = test.origin.iter().map(|value| text("Origin", value)).collect();
    headers.extend(test.referer.iter().map(|value| text("Referer", value)));
    headers.extend(test.headers.iter().flatten().map(|(name, HeaderText(value))| text(name, value)));
    let at_ms = test.at.map_or(now_ms, |Time(at_ms)| at_ms);
    let unix_seconds = u64::try_from(at_ms.div_euclid(1000)).unwrap_or_default();
    let mut asked = Asked {
        version: Version::Http11,
        peer: Peer::Address(address),
        method,
        target,
        headers,
        body: test.body.clone().unwrap_or_default().into_bytes(),
        now: Now { monotonic: Duration::ZERO, unix_seconds, unix_nanos: 0 },
    };
    carried::put(&mut asked, secret, policy);
    asked
}

/// Says what the account has now, in place of what it had to begin with.
fn tell_credits(judged: &mut Judged, policy: &Policy) {
    let is_it = |credits: &&Arc<CreditAccount>| judged.product.as_ref() == Some(&credits.product);
    let Some(has) = policy.credit_accounts().find(is_it).map(|credits| credits.first_grant) else { return };
    let position = Check::Credits.position();
    for Finding { seen, .. } in judged.findings.iter_mut().filter(|finding| finding.position == position) {
        if !seen.is_empty() {
            *seen = format!("the account has {}", counted(has, "credit"));
        }
    }
}

fn outcome(judged: Judged, test: TokenTest, conflicts: Vec<String>) -> TestOutcome {
    let is_whole = test.headers.is_some() || test.body.is_some();
    let is_told = |position: usize| is_whole || position <= Check::Concurrency.position();
    let Judged { findings, refusal, watched, .. } = judged;
    let refusal = refusal.filter(|refusal| is_told(refusal.position));
    let checks = findings.into_iter().filter(|finding| is_told(finding.position));
    TestOutcome {
        refusal: refusal.map(|refusal| TestRefusal {
            problem: refusal.problem,
            status: refusal.status,
            reason: refusal.reason.to_owned(),
        }),
        checks: checks
            .map(|Finding { problem, verdict, seen, .. }| TestedCheck {
                problem,
                verdict: verdict.word().to_owned(),
                seen,
            })
            .collect(),
        networks_watched: watched.networks,
        domains_watched: watched.domains,
        networks: test.networks,
        domains: test.domains,
        conflicts,
    }
}
