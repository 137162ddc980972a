//! `tollgate accounts alerts`: what an account wants to be told, shown or changed.

use std::fmt::Write as _;
use std::io::Write;

use axum::http::Method;
use clap::Args;
use serde_json::json;

use super::manage::{Access, account, show};
use crate::ledger::store::alert_settings::{AlertSettings, BalanceThreshold};
use crate::operate::api::alerts::Settings;
use crate::operate::api::client::Asked;
use crate::operate::failure::Failure;
use crate::platform::count::counted;

/// What takes back what was set.
const DEFAULT: &str = "default";

/// An account, and what it wants to be told from now on.
#[derive(Args)]
pub struct Alerts {
    #[command(flatten)]
    access: Access,
    /// The account's name or id.
    account: String,
    /// The balance of a product below which it is told, as in plate=500; 0 tells nothing, and plate=default is what the
    /// configuration says.
    #[arg(long = "below", value_name = "PRODUCT=CREDITS")]
    below: Vec<String>,
    /// Days before a token's last day; 0 tells nothing, and default is what the configuration says.
    #[arg(long, value_name = "DAYS")]
    token_days: Option<String>,
    /// The address that gets mail of the account; none takes it away.
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<String>,
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(alerts: &Alerts, out: &mut impl Write) -> Result<(), Failure> {
    let Alerts { access, account: named, below, token_days, mail } = alerts;
    let client = access.open()?;
    let path = format!("/accounts/{}/alerts/settings", account(&client, named)?.id);
    let mut settings: Settings = client.ask(&Asked::get(&*path))?;
    let before = settings.settings.clone();
    below.iter().try_for_each(|text| set_below(&mut settings.settings, text))?;
    if let Some(days) = token_days {
        settings.settings.token_days = match &**days {
            DEFAULT => None,
            days => Some(days.parse().map_err(|_| "write a number of days, or default, behind --token-days")?),
        };
    }
    if let Some(mail) = mail {
        settings.settings.mail = Some(mail.clone()).filter(|mail| mail != "none");
    }
    if settings.settings != before {
        let version = format!("\"{}\"", settings.version);
        settings = client.ask(&Asked::change(Method::PUT, path, version, Some(json!(settings.settings))))?;
    }
    show(&settings, access.json, in_words, out)
}

/// Sets, or takes back, the threshold of a product.
fn set_below(settings: &mut AlertSettings, text: &str) -> Result<(), String> {
    const WANTED: &str = "write a product and credits, as in --below plate=500, or plate=default";
    let (product, credits) = text.split_once('=').ok_or(WANTED)?;
    settings.balances.retain(|known| known.product != product);
    if credits != DEFAULT {
        let below = credits.parse().map_err(|_| WANTED)?;
        settings.balances.push(BalanceThreshold { product: product.to_owned(), below });
    }
    Ok(())
}

fn in_words(settings: &Settings) -> String {
    let AlertSettings { balances, token_days, mail } = &settings.settings;
    let mut text = String::new();
    for BalanceThreshold { product, below } in balances {
        // Writing into a string cannot fail.
        let _ = match below {
            0 => writeln!(text, "{product}: nothing is told of its balance"),
            below => writeln!(text, "{product}: told below {below}"),
        };
    }
    let _ = match token_days {
        None => writeln!(text, "tokens: as the configuration says"),
        Some(0) => writeln!(text, "tokens: nothing is told"),
        Some(days) => writeln!(text, "tokens: told {} before the last one", counted(*days, "day")),
    };
    let _ = writeln!(text, "mail: {}", mail.as_deref().unwrap_or("none of its own"));
    text
}
