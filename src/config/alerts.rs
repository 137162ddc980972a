//! Alerts of low balances and of tokens that are about to end: `alerts`, as it is written, compiled and shown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::billing::{service_authorities, service_url};
use super::common::{known, listed, number, out_of_range, time};
use super::fill::{duration, fill, hide};
use super::source::Source;
use super::tls::in_directory;
use super::units::Text;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::ledger::store::alert_settings::MAX_DAYS;
use crate::platform::mail::{MailServer, Security, check_address};
use crate::platform::tls::client::authorities;
use crate::platform::webhook::WebhookSecret;
use crate::policy::credits::balance::MAX_CREDITS;

/// How long a receiver may take, in seconds, unless it is said otherwise.
const TIMEOUT_SECONDS: u64 = 10;

/// For how long a message is tried, in seconds, unless it is said otherwise.
const GIVE_UP_SECONDS: u64 = 3 * 86_400;

/// The longest that it can be.
const MOST_GIVE_UP: Duration = Duration::from_secs(30 * 86_400);

/// Secrets of a webhook: the new one and the old one, and one more.
const MOST_SECRETS: usize = 3;

/// Addresses that get mail of every alert.
const MOST_ADDRESSES: usize = 10;

/// Characters of a user and of a password.
const MOST_OF_LOGIN: usize = 1024;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Entries, Listed, Written};

    /// Alerts of low balances and of tokens that are about to end, by webhook and by mail, once a crossing; they need
    /// `store`.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Alerts {
        /// Products with prices, each with the credits below which an account's balance is low; an account of the
        /// store can have another threshold. Default: none.
        pub low_balance: Entries<u64>,
        /// How many days before its last day it is told that a token ends, from 1 to 365; an account of the store can
        /// have another number. Default: it is not told.
        #[schemars(range(min = 1, max = crate::ledger::store::alert_settings::MAX_DAYS))]
        pub token_days: Written<u32>,
        /// A URL that gets each alert. Default: none.
        pub webhook: Written<Webhook>,
        /// Mail of each alert. Default: none.
        pub mail: Written<Mail>,
        /// For how long a message is tried again before it is given up, from 1s to 30d. Default: 3d.
        pub give_up_after: Text<Duration>,
    }

    /// A receiver of webhooks, which are signed by the Standard Webhooks scheme.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["url", "secrets"]))]
    pub struct Webhook {
        /// The URL of the receiver, https, or http on this machine.
        pub url: Written<String>,
        /// What messages are signed with: whsec_ and 24 to 64 bytes in base64. With several, to renew one, each signs;
        /// ${env:NAME} and ${file:PATH} work as in add_headers.
        #[schemars(length(min = 1, max = 3))]
        pub secrets: Written<Listed<String>>,
        /// A PEM file of the authorities that verify the receiver. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// The time limit for a message. Default: 10s.
        pub timeout: Text<Duration>,
    }

    /// A server that takes mail.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["server", "from"]))]
    pub struct Mail {
        /// The server: smtps:// for TLS from the beginning (port 465), smtp:// for STARTTLS (port 587), which is left
        /// out on this machine alone (port 25).
        pub server: Written<String>,
        /// A user, with `password`. Default: nobody signs in.
        pub user: Written<String>,
        /// The user's password; ${env:NAME} and ${file:PATH} work as in add_headers.
        pub password: Written<String>,
        /// The address that messages are from.
        pub from: Written<String>,
        /// Addresses that get every alert, at most 10. Default: none; accounts of the store can have one for their
        /// own.
        #[schemars(length(min = 1, max = 10))]
        pub to: Written<Listed<String>>,
        /// A PEM file of the authorities that verify the server. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// The time limit for connecting, and for each answer of the server. Default: 10s.
        pub timeout: Text<Duration>,
    }
}

/// What is told, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsSettings {
    /// Credits by product.
    pub low_balance: BTreeMap<Box<str>, u64>,
    pub token_days: Option<u32>,
    pub webhook: Option<WebhookSettings>,
    pub mail: Option<MailSettings>,
    pub give_up_after: Duration,
}

/// A receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: Box<str>,
    pub secrets: Box<[WebhookSecret]>,
    pub authorities: Option<PathBuf>,
    pub timeout: Duration,
}

/// A server of mail, and who gets every alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    pub server: MailServer,
    pub to: Box<[Box<str>]>,
}

/// Compiles `alerts` beside the names of products with prices, and whether there is a store; there is none unless it
/// is written.
pub fn alerts(
    alerts: Written<written::Alerts>,
    (priced, has_store): (&[&str], bool),
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<AlertsSettings> {
    let place = alerts.place()?.clone();
    if !has_store {
        let what = "are kept in the store, and there is none; add one, as in store: { sqlite: tollgate.db }";
        mistakes.push(place.clone(), what);
    }
    let written::Alerts { low_balance, token_days, webhook, mail, give_up_after } = alerts.take()?;
    if webhook.is_missing() && mail.is_missing() {
        mistakes.push(place.clone(), "are sent nowhere; add `webhook` or `mail`");
    }
    let low_balance = thresholds(low_balance, priced, mistakes);
    let token_days = (!token_days.is_missing()).then(|| number(token_days, 1, 1..=MAX_DAYS, mistakes));
    let give_up_after = give_up(give_up_after, mistakes);
    let webhook = self::webhook(webhook, source, mistakes);
    let mail = self::mail(mail, source, mistakes);
    Some(AlertsSettings { low_balance, token_days, webhook, mail, give_up_after })
}

fn thresholds(written: Entries<u64>, priced: &[&str], mistakes: &mut Mistakes) -> BTreeMap<Box<str>, u64> {
    let mut thresholds = BTreeMap::new();
    for (product, place, below) in written.0 {
        if !priced.contains(&&*product) {
            let instead = match priced {
                [] => "remove it, since no product has `credits`".to_owned(),
                priced => known(priced.iter().copied()),
            };
            mistakes.push(place, format!("is not a product with prices; {instead}"));
            continue;
        }
        out_of_range(
            Some(place),
            (1..=MAX_CREDITS).contains(&below),
            || format!("a number from 1 to {MAX_CREDITS}"),
            mistakes,
        );
        thresholds.insert(product.into(), below);
    }
    thresholds
}

fn give_up(written: Text<Duration>, mistakes: &mut Mistakes) -> Duration {
    let place = written.place().cloned();
    let after = written.take().map_or(Duration::from_secs(GIVE_UP_SECONDS), |after| after.0);
    let fits = (Duration::from_secs(1)..=MOST_GIVE_UP).contains(&after);
    out_of_range(place, fits, || "a duration from 1s to 30d".to_owned(), mistakes);
    after
}

fn webhook(webhook: Written<written::Webhook>, source: &Source, mistakes: &mut Mistakes) -> Option<WebhookSettings> {
    const WANTED: &str = "write the secrets that the receiver verifies with, as in [\"${env:ALERTS_SECRET}\"]";
    let place = webhook.place()?.clone();
    let written::Webhook { url, secrets, ca, timeout } = webhook.take()?;
    let url = service_url(url, &place, mistakes);
    let authorities = service_authorities(ca, url.as_deref(), &place, source, mistakes);
    let at = secrets.place().cloned();
    let written = listed(secrets, &place, "secrets", WANTED, mistakes);
    out_of_range(at, written.len() <= MOST_SECRETS, || format!("at most {MOST_SECRETS} secrets"), mistakes);
    let mut secrets = Vec::new();
    for (secret, place) in written {
        match WebhookSecret::parse(&secret) {
            Ok(secret) => secrets.push(secret),
            Err(what) => mistakes.push(place, what),
        }
    }
    let timeout = time(timeout, TIMEOUT_SECONDS, mistakes);
    Some(WebhookSettings { url: url?, secrets: secrets.into(), authorities, timeout })
}

fn mail(mail: Written<written::Mail>, source: &Source, mistakes: &mut Mistakes) -> Option<MailSettings> {
    const FROM_WANTED: &str = "write the address that messages are from, as in tollgate@example.com";
    let place = mail.place()?.clone();
    let written::Mail { server, user, password, from, to, ca, timeout } = mail.take()?;
    let server = self::server(server, &place, mistakes);
    let login = login(user, password, &place, mistakes);
    let at = from.place().cloned().unwrap_or_default();
    let from = from.require(&place, "from", FROM_WANTED, mistakes);
    let from = from.and_then(|from| address(from, at, mistakes));
    let to = addresses(to, mistakes);
    let timeout = time(timeout, TIMEOUT_SECONDS, mistakes);
    let (host, port, security) = server?;
    let authorities = server_authorities(ca, security, &place, source, mistakes);
    let server = MailServer { host, port, security, login, authorities, timeout, from: from? };
    Some(MailSettings { server, to })
}

fn address(text: String, place: Place, mistakes: &mut Mistakes) -> Option<Box<str>> {
    match check_address(&text) {
        Ok(()) => Some(text.into()),
        Err(what) => {
            mistakes.push(place, what);
            None
        }
    }
}

fn addresses(to: Written<Listed<String>>, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    let at = to.place().cloned();
    let written = to.take().map(|listed| listed.0).unwrap_or_default();
    let fits = (1..=MOST_ADDRESSES).contains(&written.len());
    out_of_range(at, fits, || format!("1 to {MOST_ADDRESSES} addresses"), mistakes);
    written.into_iter().filter_map(|(text, place)| address(text, place, mistakes)).collect()
}

/// The host, the port, and whether there is TLS.
fn server(server: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<(Box<str>, u16, Security)> {
    const WANTED: &str = "write the server that takes mail, as in smtps://mail.example.com";
    let at = server.place().cloned().unwrap_or_default();
    let text = server.require(parent, "server", WANTED, mistakes)?;
    let Some((url, host)) = mail_url(&text) else {
        let what = format!("is not a URL of smtps or smtp with a host and a port alone; {WANTED}");
        mistakes.push(at, what);
        return None;
    };
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let (security, port) = match (url.scheme(), is_here) {
        ("smtps", _) => (Security::Wrapped, 465),
        (_, true) => (Security::None, 25),
        (_, false) => (Security::Upgraded, 587),
    };
    Some((host.into(), url.port().unwrap_or(port), security))
}

/// A URL of a mail server, and its host without brackets.
fn mail_url(text: &str) -> Option<(Url, String)> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "smtp" | "smtps"))?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_bare = is_plain && url.fragment().is_none() && matches!(url.path(), "" | "/") && url.port() != Some(0);
    let host = url.host_str().filter(|host| !host.is_empty() && is_bare)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((url, host))
}

type Login = Option<(Box<str>, Box<str>)>;

fn login(user: Written<String>, password: Written<String>, place: &Place, mistakes: &mut Mistakes) -> Login {
    let places = [user.place().cloned(), password.place().cloned()];
    let pair = (user.take(), password.take());
    for (at, text) in places.iter().zip([&pair.0, &pair.1]) {
        let is_good =
            |text: &String| (1..=MOST_OF_LOGIN).contains(&text.chars().count()) && !text.contains(char::is_control);
        if let (Some(at), Some(text)) = (at, text)
            && !is_good(text)
        {
            mistakes.push(
                at.clone(),
                format!("is empty, too long, or not in one line; write 1 to {MOST_OF_LOGIN} characters in one line"),
            );
        }
    }
    match (places, pair) {
        (_, (Some(user), Some(password))) => Some((user.into(), password.into())),
        ([Some(_), None], _) => {
            mistakes.push(place.key("user"), "is there without `password`; write both, or neither");
            None
        }
        ([None, Some(_)], _) => {
            mistakes.push(place.key("password"), "is there without `user`; write both, or neither");
            None
        }
        _ => None,
    }
}

fn server_authorities(
    ca: Written<String>,
    security: Security,
    parent: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<PathBuf> {
    let place = ca.place().cloned();
    if security == Security::None {
        if let Some(place) = place {
            mistakes.push(place, "is for a server with TLS; write smtps in `server`, or remove it");
        }
        return None;
    }
    let file = ca.take().map(|name| in_directory(source, name));
    if let Err(fault) = authorities(file.as_deref()) {
        mistakes.push(place.unwrap_or_else(|| parent.clone()), fault.what);
    }
    file
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(alerts: &mut Value, settings: &AlertsSettings) {
    fill(alerts, "give_up_after", duration(settings.give_up_after));
    if let (Some(webhook), Some(written)) = (&settings.webhook, alerts.get_mut("webhook")) {
        fill(written, "timeout", duration(webhook.timeout));
        let secrets = written.get_mut("secrets").and_then(Value::as_array_mut);
        for (number, secret) in secrets.into_iter().flatten().enumerate() {
            hide(secret, &["alerts", "webhook", "secrets", &number.to_string()]);
        }
    }
    if let (Some(mail), Some(written)) = (&settings.mail, alerts.get_mut("mail")) {
        fill(written, "timeout", duration(mail.server.timeout));
        if let Some(password) = written.get_mut("password") {
            hide(password, &["alerts", "mail", "password"]);
        }
    }
}
