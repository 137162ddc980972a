//! Who is asking: an account, and what each of its tokens may do.
//!
//! A token is only ever a SHA-256 digest here (contract, section 5). The used part of a rate is in
//! `rate.rs`; the product says which header carries a token; all accounts together are in
//! `account/directory.rs`.

pub mod directory;
pub mod in_order;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;
mod unused;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::credits::CreditAccount;
use crate::policy::limit::{Asker, LimitState, LimitStates, Owner, Usage, carried};
use crate::policy::meter::Meter;
use crate::policy::now::Now;
use crate::policy::problem::{Problem, Row};
pub use crate::policy::product_set::{MAX_PRODUCTS, ProductSet};
use crate::policy::rate::{Rate, Tat};
use crate::policy::weight::Weight;

const SECONDS_PER_DAY: u64 = 86_400;

/// The SHA-256 digest of a token. Its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a token's bytes.
    pub fn of(token: &[u8]) -> Digest {
        Digest(Sha256::digest(token).into())
    }

    /// Parses `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// Says what to write instead, without repeating the text.
    pub fn parse(text: &str) -> Result<Digest, &'static str> {
        const WANTED: &str =
            "is not a digest; write sha256: and 64 hexadecimal digits, as `tollgate token hash` prints them";
        let digits = text.strip_prefix("sha256:").ok_or(WANTED)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(WANTED);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let mut value = 0;
            for digit in pair {
                let digit = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(WANTED)?;
                value = value * 16 + digit;
            }
            *byte = value;
        }
        Ok(Digest(bytes))
    }

    /// The digest that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its four words.
    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.0.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub fn text(&self) -> String {
        self.0.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A customer: what it may use is shared by all its tokens.
#[derive(Debug)]
pub struct Account {
    pub name: Arc<str>,
    /// Its rate, if that is its only limit.
    pub rate: Rate,
    /// What it has used, if it has other limits than one rate.
    pub meter: Option<Arc<Meter>>,
    /// What it has asked about itself, which is not counted as lookups.
    pub account_info_rate: Tat,
    pub credit_accounts: CreditAccounts,
    /// Its tokens. Most accounts have one, which stands in the account itself: a request that meets
    /// neither in the processor's caches waits for memory once.
    pub keys: SmallVec<[Key; 1]>,
}

impl Account {
    /// The name of the plan that its limits are from.
    pub fn plan(&self) -> Option<&str> {
        match (&self.meter, &self.rate) {
            (Some(meter), _) => meter.plan.as_deref(),
            (None, Rate::Limited(window, _)) => window.plan(),
            (None, Rate::Unlimited) => None,
        }
    }

    /// Its weight where accounts have to share.
    pub fn weight(&self) -> Weight {
        match (&self.meter, &self.rate) {
            (Some(meter), _) => meter.weight,
            (None, Rate::Limited(window, _)) => window.weight(),
            (None, Rate::Unlimited) => Weight::default(),
        }
    }

    /// The limits that a request depends on, as they are at this moment; none where nothing is limited.
    pub fn limits(&self, asker: Asker<'_>, now: Now) -> LimitStates {
        match &self.meter {
            Some(meter) => meter.states(asker, now),
            None => self.rate.state(now).iter().map(|state| LimitState::of_rate("account", state)).collect(),
        }
    }

    /// Whether another one is limited as this one is.
    pub fn has_same_limits(&self, other: &Account) -> bool {
        let are_same = match (&self.rate, &other.rate) {
            (Rate::Unlimited, Rate::Unlimited) => true,
            (Rate::Limited(window, _), Rate::Limited(other, _)) => window == other,
            (Rate::Unlimited, Rate::Limited(..)) | (Rate::Limited(..), Rate::Unlimited) => false,
        };
        are_same
            && match (&self.meter, &other.meter) {
                (None, None) => true,
                (Some(meter), Some(other)) => meter.has_same_limits(other),
                (Some(_), None) | (None, Some(_)) => false,
            }
    }

    /// Goes on with what the same account has used before, also when it may use something else now: what was used
    /// stays used. What was counted is never counted less.
    pub fn inherit(&self, before: &Account, now: Now) {
        match (&self.meter, &before.meter) {
            (Some(meter), Some(meter_before)) => meter.inherit(meter_before, now),
            (Some(meter), None) => {
                if let Rate::Limited(window, tat) = &before.rate {
                    meter.at_least(&[Usage::of_rate(window, tat, now)], now);
                }
            }
            (None, Some(meter_before)) => {
                if let Rate::Limited(window, tat) = &self.rate {
                    let left = carried(window, &Owner::Account, &meter_before.usage(now));
                    if !left.is_zero() {
                        tat.raise(now.monotonic.saturating_add(left));
                    }
                }
            }
            (None, None) => self.rate.inherit(&before.rate, now),
        }
    }

    /// The token with this digest, and its index among the tokens.
    #[inline]
    fn key(&self, digest: &Digest) -> Option<(usize, &Key)> {
        self.keys.iter().enumerate().find(|(_, key)| key.digest == *digest)
    }
}

/// What a token is known by, and what it may do.
#[derive(Clone, Debug)]
pub struct Key {
    pub digest: Digest,
    pub token: Token,
}

/// The credits of an account, by the indexes of the products in the policy. Most accounts that pay
/// have one product, and there may be millions of them.
#[derive(Debug, Default)]
pub enum CreditAccounts {
    #[default]
    None,
    One(u8, Arc<CreditAccount>),
    Several(Box<[(u8, Arc<CreditAccount>)]>),
}

impl From<Vec<(u8, Arc<CreditAccount>)>> for CreditAccounts {
    fn from(mut credit_accounts: Vec<(u8, Arc<CreditAccount>)>) -> CreditAccounts {
        match (credit_accounts.pop(), credit_accounts.is_empty()) {
            (None, _) => CreditAccounts::None,
            (Some((product, credit_account)), true) => CreditAccounts::One(product, credit_account),
            (Some(last), false) => {
                credit_accounts.push(last);
                CreditAccounts::Several(credit_accounts.into())
            }
        }
    }
}

impl CreditAccounts {
    /// The credits for a product; `None` if lookups of it cost the account nothing.
    pub fn of(&self, product: u8) -> Option<&Arc<CreditAccount>> {
        match self {
            CreditAccounts::None => None,
            CreditAccounts::One(known, credit_account) => (*known == product).then_some(credit_account),
            CreditAccounts::Several(credit_accounts) => {
                credit_accounts.iter().find(|(known, _)| *known == product).map(|(_, credit_account)| credit_account)
            }
        }
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CreditAccount>> + Clone {
        let (one, several) = match self {
            CreditAccounts::None => (None, [].as_slice()),
            CreditAccounts::One(_, credit_account) => (Some(credit_account), [].as_slice()),
            CreditAccounts::Several(credit_accounts) => (None, &**credit_accounts),
        };
        one.into_iter().chain(several.iter().map(|(_, credit_account)| credit_account))
    }
}

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    /// The last day it is good for, whole, in days since 1970-01-01 UTC.
    LastDay(u32),
    /// The second from which on it is refused, since 1970: a token that another one replaces.
    Until(u32),
}

/// What one token may do.
#[derive(Clone, Debug)]
pub struct Token {
    /// How the operator calls it; never the token itself.
    pub name: Box<str>,
    pub products: ProductSet,
    pub enabled: bool,
    pub expiry: Expiry,
    pub networks: Networks,
    pub domains: Domains,
}

/// A token and its account: who is asking.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'p> {
    pub token: &'p Token,
    /// The token's index among those of its account.
    pub token_index: usize,
    pub account: &'p Account,
    /// The account's slot, which stays the same while accounts change one by one.
    pub account_index: usize,
}

impl Principal<'_> {
    /// What its account has credits for.
    pub fn credit_accounts(&self) -> Vec<Arc<CreditAccount>> {
        self.account.credit_accounts.iter().map(Arc::clone).collect()
    }

    /// Lets the token be used today.
    ///
    /// # Errors
    /// `token-disabled` or `token-expired`, the first that applies.
    pub fn authorize(&self, now: Now) -> Result<(), Problem> {
        if !self.token.enabled {
            return Err(Problem::new(Row::TokenDisabled, "the token is switched off"));
        }
        match self.token.expiry {
            Expiry::LastDay(day) if now.unix_seconds / SECONDS_PER_DAY > u64::from(day) => {
                Err(Problem::new(Row::TokenExpired, "the token's last day has passed"))
            }
            Expiry::Until(end) if now.unix_seconds >= u64::from(end) => {
                Err(Problem::new(Row::TokenExpired, "the token was replaced, and its time is over"))
            }
            Expiry::LastDay(_) | Expiry::Until(_) | Expiry::Never => Ok(()),
        }
    }

    /// Lets the token be used for a product.
    ///
    /// # Errors
    /// `product-mismatch`.
    pub fn cover(&self, product: u8) -> Result<(), Problem> {
        if self.token.products.contains(product) {
            Ok(())
        } else {
            Err(Problem::new(Row::ProductMismatch, "the token covers other products"))
        }
    }
}
