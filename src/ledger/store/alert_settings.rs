//! What an account wants to be told: thresholds of its balances, days before a token ends, and an address. What is not
//! set is as the configuration has it.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts;
use super::error::StoreError;
use super::fields;
use super::records::AccountState;
use super::sql::{Connection, OptionalExtension, params};
use super::writing::{Writing, expect};
use crate::platform::mail;
use crate::policy::credits::balance::MAX_CREDITS;

/// The most days before a token ends.
pub const MAX_DAYS: u32 = 365;

/// The balance of a product below which an account is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalanceThreshold {
    /// A product with prices.
    #[schemars(length(min = 1))]
    pub product: String,
    /// Whole credits; 0: nothing is told of this balance.
    #[schemars(range(min = 0, max = MAX_CREDITS))]
    pub below: u64,
}

/// What an account wants to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Balances. Those that are not here are as the configuration has them.
    pub balances: Vec<BalanceThreshold>,
    /// Days before a token's last day; 0: nothing is told of tokens; null: as the configuration has it.
    #[schemars(range(min = 0, max = MAX_DAYS))]
    pub token_days: Option<u32>,
    /// The address that gets mail of this account, beside those of the configuration; null: none.
    #[schemars(length(max = mail::MAX_ADDRESS_BYTES))]
    pub mail: Option<String>,
}

/// What an account has set, and its version: 0 until something was set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredAlertSettings {
    #[serde(flatten)]
    pub settings: AlertSettings,
    /// Grows with each change.
    pub row_version: i64,
}

/// The same for the audit, which is kept for good: an address is no part of it.
#[derive(Serialize)]
struct Audited<'s> {
    balances: &'s [BalanceThreshold],
    token_days: Option<u32>,
    has_mail: bool,
}

impl AlertSettings {
    fn audited(&self) -> Audited<'_> {
        Audited { balances: &self.balances, token_days: self.token_days, has_mail: self.mail.is_some() }
    }

    /// Checks the values, and puts the balances into order.
    fn checked(&self) -> Result<AlertSettings, StoreError> {
        let mut settings = self.clone();
        for (number, BalanceThreshold { product, below }) in self.balances.iter().enumerate() {
            fields::name(&format!("balances[{number}].product"), product)?;
            if *below > MAX_CREDITS {
                let why = format!("is more than a balance can have; write at most {MAX_CREDITS}");
                return Err(StoreError::invalid(format!("balances[{number}].below"), why));
            }
            if self.balances.iter().take(number).any(|before| before.product == *product) {
                let why = "is there twice; write each product once";
                return Err(StoreError::invalid(format!("balances[{number}].product"), why));
            }
        }
        if self.balances.len() > fields::MAX_PRODUCTS {
            return Err(StoreError::Limit { what: "balances", most: fields::MAX_PRODUCTS });
        }
        settings.balances.sort_by(|one, other| one.product.cmp(&other.product));
        if self.token_days.is_some_and(|days| days > MAX_DAYS) {
            return Err(StoreError::invalid("token_days", format!("is out of range; write 0 to {MAX_DAYS}")));
        }
        if let Some(address) = &self.mail {
            mail::check_address(address).map_err(|why| StoreError::invalid("mail", why))?;
        }
        Ok(settings)
    }
}

/// What an account has set.
///
/// # Errors
/// That the account does not exist, or errors of the database.
pub fn get(connection: &Connection, account_id: &str) -> Result<StoredAlertSettings, StoreError> {
    accounts::get(connection, account_id)?;
    let query = "SELECT token_days, mail, row_version FROM alert_setting WHERE account_id = ?1";
    let found = connection.prepare_cached(query)?.query_row([account_id], |row| {
        let settings = AlertSettings { balances: Vec::new(), token_days: row.get(0)?, mail: row.get(1)? };
        Ok(StoredAlertSettings { settings, row_version: row.get(2)? })
    });
    let Some(mut found) = found.optional()? else { return Ok(StoredAlertSettings::default()) };
    let query = "SELECT product, below FROM alert_balance WHERE account_id = ?1 ORDER BY product";
    let mut statement = connection.prepare_cached(query)?;
    let balances = statement.query_map([account_id], |row| {
        let below: i64 = row.get(1)?;
        Ok(BalanceThreshold { product: row.get(0)?, below: below.unsigned_abs() })
    })?;
    found.settings.balances = balances.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Sets what an account wants to be told.
///
/// # Errors
/// An invalid value; an account that does not exist, is closed, or whose settings have changed.
pub fn set(
    writing: &mut Writing<'_>,
    account_id: &str,
    expected: Option<i64>,
    settings: &AlertSettings,
) -> Result<StoredAlertSettings, StoreError> {
    let account = accounts::get(writing.database(), account_id)?;
    if account.state == AccountState::Closed {
        return Err(StoreError::State { why: "the account is closed, which is for good" });
    }
    let before = get(writing.database(), account_id)?;
    expect("settings", expected, before.row_version, &before)?;
    let settings = settings.checked()?;
    if settings == before.settings {
        return Ok(before);
    }
    let after = StoredAlertSettings { settings, row_version: before.row_version.saturating_add(1) };
    put(writing.database(), account_id, &after)?;
    let (old, new) = (before.settings.audited(), after.settings.audited());
    writing.note("account.alerts", Some(account_id), &*account.name, Some(&old), Some(&new))?;
    Ok(after)
}

fn put(connection: &Connection, account_id: &str, stored: &StoredAlertSettings) -> Result<(), StoreError> {
    let StoredAlertSettings { settings, row_version } = stored;
    let put = "INSERT INTO alert_setting (account_id, token_days, mail, row_version) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (account_id) DO UPDATE SET token_days = ?2, mail = ?3, row_version = ?4";
    connection.prepare_cached(put)?.execute(params![account_id, settings.token_days, settings.mail, row_version])?;
    connection.prepare_cached("DELETE FROM alert_balance WHERE account_id = ?1")?.execute([account_id])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO alert_balance (account_id, product, below) VALUES (?1, ?2, ?3)")?;
    for BalanceThreshold { product, below } in &settings.balances {
        insert.execute(params![account_id, product, i64::try_from(*below).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

/// What all accounts have set, by their names.
#[derive(Clone, Debug, Default)]
pub struct OwnSettings(HashMap<String, AlertSettings>);

impl OwnSettings {
    /// Reads them.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn read(connection: &Connection) -> Result<OwnSettings, StoreError> {
        let mut all: HashMap<String, AlertSettings> = HashMap::new();
        let query = "SELECT account.name, token_days, mail FROM alert_setting \
                     JOIN account ON account.id = alert_setting.account_id";
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let settings = AlertSettings { balances: Vec::new(), token_days: row.get(1)?, mail: row.get(2)? };
            all.insert(row.get(0)?, settings);
        }
        let query = "SELECT account.name, product, below FROM alert_balance \
                     JOIN account ON account.id = alert_balance.account_id";
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let below: i64 = row.get(2)?;
            let threshold = BalanceThreshold { product: row.get(1)?, below: below.unsigned_abs() };
            all.entry(row.get(0)?).or_default().balances.push(threshold);
        }
        Ok(OwnSettings(all))
    }

    /// Whether no account has set anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an account has set.
    pub fn of(&self, account: &str) -> Option<&AlertSettings> {
        self.0.get(account)
    }
}
