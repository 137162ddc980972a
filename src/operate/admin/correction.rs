//! A grant or an adjustment as an operator sends it, and its checks before the ledger gets it.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::Correction;
use crate::ledger::entry::{FIRST_GRANT, Kind};
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::MAX_CREDITS;

/// The longest key, author or reason, in bytes.
pub const MAX_WORDS: usize = 500;

/// A grant or an adjustment, as it is sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Correction")]
pub struct CorrectionBody {
    /// Credits; an adjustment may be negative.
    pub amount: i64,
    /// Who makes the change. Default: `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason.
    #[serde(default)]
    pub why: String,
}

/// Checks an operator's correction.
///
/// # Errors
/// What to write instead.
pub fn correction(
    credit_account: Arc<CreditAccount>,
    kind: Kind,
    key: Option<&str>,
    body: CorrectionBody,
) -> Result<Correction, Cow<'static, str>> {
    let CorrectionBody { amount, by, why } = body;
    let by = by.unwrap_or_else(|| "admin".to_owned());
    let Some(key) = key.filter(|key| !key.trim().is_empty()) else {
        return Err(
            "There is no key. Send a unique Idempotency-Key, so that a repeated request changes nothing.".into()
        );
    };
    if key == FIRST_GRANT {
        return Err("The key is reserved for grants in the configuration. Choose another.".into());
    }
    let too_long = |text: &str| text.len() > MAX_WORDS || text.chars().any(char::is_control);
    if [key, by.as_str(), why.as_str()].into_iter().any(too_long) {
        return Err(format!(
            "The key, the name or the reason is not a single line of at most {MAX_WORDS} bytes. Shorten it."
        )
        .into());
    }
    let fits = match kind {
        Kind::Grant => amount > 0,
        Kind::Adjustment | Kind::Charge | Kind::Refund => amount != 0,
    };
    if !fits || amount.unsigned_abs() > MAX_CREDITS {
        return Err(format!(
            "The amount is out of range. Write a whole number from 1 to {MAX_CREDITS}; an adjustment may be negative."
        )
        .into());
    }
    Ok(Correction { credit_account, kind, amount, key: key.to_owned(), by, why })
}
