//! Which balances and tokens have crossed their thresholds since they were looked at last, and which have recovered.
//! Nothing here has a clock or a file: a look compares what is with what was noted.

use std::collections::HashMap;

use crate::config::alerts::AlertsSettings;
use crate::ledger::store::alert_settings::OwnSettings;
use crate::ledger::store::alerts::{Alert, AlertKind, Channel, Crossing, Recipient};
use crate::policy::account::Digest;

/// One look at everything.
#[derive(Debug)]
pub struct Look<'l> {
    settings: &'l AlertsSettings,
    own: &'l OwnSettings,
    /// What was noted and is not over, by account; what was met is taken out.
    open: HashMap<String, Vec<Alert>>,
    /// The present day, in days since 1970.
    today: u32,
    /// How many messages may still wait.
    room: usize,
    found: Found,
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is new, each with those whom it is told.
    pub crossings: Vec<(Crossing, Vec<Recipient>)>,
    /// Ids of what has recovered.
    pub over: Vec<i64>,
    /// What is new and waits until there is room for its messages.
    pub postponed: usize,
}

impl<'l> Look<'l> {
    /// A look on a day, beside what is open and with room for some messages.
    pub fn new(
        settings: &'l AlertsSettings,
        own: &'l OwnSettings,
        open: Vec<Alert>,
        (today, room): (u32, usize),
    ) -> Look<'l> {
        let mut by_account: HashMap<String, Vec<Alert>> = HashMap::new();
        for alert in open {
            by_account.entry(alert.what.account.clone()).or_default().push(alert);
        }
        Look { settings, own, open: by_account, today, room, found: Found::default() }
    }

    /// Whether something of an account is noted and was not met yet.
    pub fn has_open(&self, account: &str) -> bool {
        self.open.contains_key(account)
    }

    /// Looks at a balance: what is left of what was granted, held credits included, since they may come back.
    pub fn balance(&mut self, account: &str, product: &str, left: u64, granted: u64) {
        let below = self.threshold(account, product);
        // Whoever was never granted anything has not used it up.
        let is_low = granted > 0 && left < below;
        let known = self.take_open(account, AlertKind::LowBalance, product);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.compare(known, is_low, || Crossing {
            kind: AlertKind::LowBalance,
            account: account.to_owned(),
            subject: product.to_owned(),
            product: product.to_owned(),
            token: String::new(),
            hint: String::new(),
            level: number(left),
            threshold: number(below),
        });
    }

    /// Looks at a token that works until the end of a day.
    pub fn token(&mut self, account: &str, token: &str, digest: &Digest, last_day: u32) {
        let is_near = self.is_near(account, i64::from(last_day));
        if !is_near && !self.open.contains_key(account) {
            return;
        }
        let digest = digest.text();
        let known = self.take_open(account, AlertKind::TokenEnds, &digest);
        let days = i64::from(self.days(account));
        self.compare(known, is_near, || Crossing {
            kind: AlertKind::TokenEnds,
            account: account.to_owned(),
            subject: digest.clone(),
            product: String::new(),
            token: token.to_owned(),
            hint: String::new(),
            level: i64::from(last_day),
            threshold: days,
        });
    }

    /// Whether a last day is not over, and no farther than the account wants to know.
    pub fn is_near(&self, account: &str, last_day: i64) -> bool {
        let left = last_day.saturating_sub(i64::from(self.today));
        let days = self.days(account);
        days > 0 && (0..=i64::from(days)).contains(&left)
    }

    /// Whether nobody wants to know of balances, and nothing is open.
    pub fn is_without_balances(&self) -> bool {
        self.settings.low_balance.is_empty() && self.own.is_empty() && self.open.is_empty()
    }

    /// Whether nobody wants to know of tokens, and nothing is open.
    pub fn is_without_tokens(&self) -> bool {
        self.settings.token_days.is_none() && self.own.is_empty() && self.open.is_empty()
    }

    /// What is open of things that were not met: their accounts or tokens are not in force.
    pub fn unmet(&mut self) -> Vec<Alert> {
        std::mem::take(&mut self.open).into_values().flatten().collect()
    }

    /// Notes that something is over.
    pub fn is_over(&mut self, alert: &Alert) {
        self.found.over.push(alert.id);
    }

    /// What was found.
    pub fn found(self) -> Found {
        self.found
    }

    fn compare(&mut self, known: Option<Alert>, is_crossed: bool, crossing: impl FnOnce() -> Crossing) {
        match (known, is_crossed) {
            (Some(known), false) => self.is_over(&known),
            (None, true) => self.cross(crossing()),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Notes a crossing if its messages have room; otherwise a later look finds it again.
    fn cross(&mut self, crossing: Crossing) {
        let recipients = self.recipients(&crossing.account);
        match self.room.checked_sub(recipients.len()) {
            Some(room) => {
                self.room = room;
                self.found.crossings.push((crossing, recipients));
            }
            None => self.found.postponed += 1,
        }
    }

    fn recipients(&self, account: &str) -> Vec<Recipient> {
        let mut recipients = Vec::new();
        if self.settings.webhook.is_some() {
            recipients.push((Channel::Webhook, String::new()));
        }
        if let Some(mail) = &self.settings.mail {
            let own = self.own.of(account).and_then(|own| own.mail.as_deref());
            for address in mail.to.iter().map(|to| &**to).chain(own) {
                let recipient = (Channel::Mail, address.to_owned());
                if !recipients.contains(&recipient) {
                    recipients.push(recipient);
                }
            }
        }
        recipients
    }

    /// The credits of a product below which an account is told; 0: never.
    fn threshold(&self, account: &str, product: &str) -> u64 {
        let own = self.own.of(account).and_then(|own| own.balances.iter().find(|one| one.product == product));
        own.map(|own| own.below).or_else(|| self.settings.low_balance.get(product).copied()).unwrap_or_default()
    }

    /// How many days before its last day an account is told of a token; 0: never.
    fn days(&self, account: &str) -> u32 {
        let own = self.own.of(account).and_then(|own| own.token_days);
        own.or(self.settings.token_days).unwrap_or_default()
    }

    fn take_open(&mut self, account: &str, kind: AlertKind, subject: &str) -> Option<Alert> {
        if self.open.is_empty() {
            return None;
        }
        let of_account = self.open.get_mut(account)?;
        let is_it = |alert: &Alert| alert.what.kind == kind && alert.what.subject == subject;
        let index = of_account.iter().position(is_it)?;
        let alert = of_account.swap_remove(index);
        if of_account.is_empty() {
            self.open.remove(account);
        }
        Some(alert)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(below: u64, token_days: Option<u32>) -> AlertsSettings {
        AlertsSettings {
            low_balance: [("plate".into(), below)].into(),
            token_days,
            webhook: None,
            mail: None,
            give_up_after: Duration::from_secs(60),
        }
    }

    fn open(id: i64, what: &Crossing) -> Alert {
        Alert { id, event_id: "0".repeat(32), what: what.clone(), crossed_at: 0, over_at: None }
    }

    /// What a look finds: levels of what is new, and ids of what is over.
    fn look(
        settings: &AlertsSettings,
        known: &[Alert],
        today: u32,
        at: impl Fn(&mut Look<'_>),
    ) -> (Vec<i64>, Vec<i64>) {
        let own = OwnSettings::default();
        let mut look = Look::new(settings, &own, known.to_vec(), (today, 10));
        at(&mut look);
        let found = look.found();
        (found.crossings.iter().map(|(what, _)| what.level).collect(), found.over)
    }

    #[test]
    fn a_balance_is_told_once_until_it_has_recovered() {
        let settings = settings(100, None);
        let balance = |known: &[Alert], left: u64, granted: u64| {
            look(&settings, known, 0, |look| look.balance("acme", "plate", left, granted))
        };
        for (left, granted, is_told) in [(100, 500, false), (99, 500, true), (0, 500, true), (0, 0, false)] {
            let (new, over) = balance(&[], left, granted);
            assert_eq!((!new.is_empty(), over.len()), (is_told, 0), "{left} of {granted}");
        }
        let what = Crossing {
            kind: AlertKind::LowBalance,
            account: "acme".into(),
            subject: "plate".into(),
            product: "plate".into(),
            token: String::new(),
            hint: String::new(),
            level: 99,
            threshold: 100,
        };
        let known = [open(7, &what)];
        assert_eq!(balance(&known, 40, 500), (vec![], vec![]), "it is known");
        assert_eq!(balance(&known, 100, 500), (vec![], vec![7]), "it has recovered");
        assert_eq!(look(&settings, &known, 0, |look| look.balance("acme", "vat", 1, 5)), (vec![], vec![]));
    }

    #[test]
    fn a_token_is_told_within_its_days_and_not_after_its_end() {
        let settings = settings(1, Some(14));
        for (last_day, is_told) in [(99, false), (100, true), (114, true), (115, false)] {
            let (new, _) = look(&settings, &[], 100, |look| look.token("acme", "web", &Digest::of(b"web"), last_day));
            assert_eq!(!new.is_empty(), is_told, "{last_day}");
        }
        let mut look = Look::new(&settings, &OwnSettings::default(), Vec::new(), (100, 10)).found();
        assert!(look.crossings.pop().is_none());
    }

    #[test]
    fn what_has_no_room_is_found_again_later() {
        let mut settings = settings(100, None);
        let url = "http://127.0.0.1:1/".into();
        let (secrets, timeout) = (Box::default(), Duration::from_secs(1));
        settings.webhook = Some(crate::config::alerts::WebhookSettings { url, secrets, authorities: None, timeout });
        let own = OwnSettings::default();
        let mut look = Look::new(&settings, &own, Vec::new(), (0, 2));
        ["a", "b", "c"].iter().for_each(|account| look.balance(account, "plate", 1, 500));
        let found = look.found();
        assert_eq!((found.crossings.len(), found.postponed), (2, 1));
    }

    #[test]
    fn what_is_not_met_is_asked_about() {
        let settings = settings(100, None);
        let what = Crossing {
            kind: AlertKind::TokenEnds,
            account: "acme".into(),
            subject: "sha256:0".into(),
            product: String::new(),
            token: "web".into(),
            hint: String::new(),
            level: 100,
            threshold: 14,
        };
        let own = OwnSettings::default();
        let mut look = Look::new(&settings, &own, vec![open(7, &what)], (100, 10));
        look.balance("acme", "plate", 500, 500);
        assert!(!look.is_near("acme", 100), "nobody wants to know of tokens");
        let unmet = look.unmet();
        assert_eq!(unmet.iter().map(|alert| alert.id).collect::<Vec<_>>(), [7]);
        look.is_over(&unmet[0]);
        assert_eq!(look.found().over, [7]);
    }
}
