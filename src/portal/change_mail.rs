//! Mail to the owners of accounts about what was changed in them: tokens, lists, members and keys, by whomever and through
//! whichever interface, so that nobody makes such a change unnoticed.
//!
//! A thread reads the audit. What is told is noted once all owners have it: after a crash a message may come twice, with
//! the same `Message-ID`, and none is left out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::state::Portal;
use super::words;
use crate::ledger::Ledger;
use crate::ledger::store::StoreError;
use crate::ledger::store::audit::AuditRow;
use crate::ledger::store::change_mail::{self, AccountChanges, Untold};
use crate::ledger::store::randomness::hexadecimal;
use crate::platform::clock::unix_milliseconds;
use crate::platform::mail::{Mail, Mailer};
use crate::platform::post::pause;
use crate::platform::priority;
use crate::policy::account::Digest;

const TARGET: &str = "tollgate::portal";

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// How long is waited for what belongs to the same message.
const TOGETHER_MS: i64 = 60_000;

/// How long a message is tried.
const TRIED_MS: i64 = 24 * 3_600_000;

/// Changes that one message tells one by one.
const MOST_TOLD: usize = 50;

/// Starts telling, if the configuration wants it; ends with the portal.
pub fn start(portal: &Arc<Portal>, ledger: Option<Arc<Ledger>>) {
    let Some(mailer) = portal.sign_in.mailer.clone().filter(|_| portal.settings.tell_owners) else { return };
    let teller = Teller { portal: Arc::downgrade(portal), ledger, mailer, sent: BTreeSet::new(), failures: 0 };
    let started = std::thread::Builder::new().name("change mail".to_owned()).spawn(move || teller.run());
    if let Err(error) = started {
        log::error!(target: TARGET, "owners are not told of changes, since no thread can be started: {error}");
    }
}

struct Teller {
    portal: Weak<Portal>,
    ledger: Option<Arc<Ledger>>,
    mailer: Arc<Mailer>,
    /// The messages of what is told at the moment that were accepted.
    sent: BTreeSet<String>,
    /// Looks in a row that have failed.
    failures: u32,
}

impl Teller {
    fn run(mut self) {
        priority::run_when_idle();
        loop {
            let Some(portal) = self.portal.upgrade() else { return };
            // Of two processes in an upgrade, the one that has the balances tells.
            let outcome = match &self.ledger {
                Some(ledger) if !ledger.has_balances() => Ok(()),
                _ => self.look(&portal, unix_milliseconds()),
            };
            drop(portal);
            if let (Err(why), 0) = (&outcome, self.failures) {
                log::error!(target: TARGET, "owners are not told of changes at the moment; it is tried again: {why}");
            }
            self.failures = if outcome.is_err() { self.failures.saturating_add(1) } else { 0 };
            std::thread::sleep(if self.failures == 0 { LOOK } else { LOOK.max(pause(self.failures)) });
        }
    }

    /// Tells what was changed since the last time.
    fn look(&mut self, portal: &Portal, now_ms: i64) -> Result<(), String> {
        let told = |error: StoreError| error.to_string();
        portal.store.maintain_here(|connection| change_mail::begin(connection)).map_err(told)?;
        let until_ms = now_ms.saturating_sub(TOGETHER_MS);
        while let Some(untold) =
            portal.store.maintain_here(move |connection| change_mail::next(connection, until_ms)).map_err(told)?
        {
            self.tell(portal, &untold, now_ms)?;
            let until = untold.until;
            portal.store.maintain_here(move |connection| change_mail::told(connection, until)).map_err(told)?;
            self.sent.clear();
        }
        Ok(())
    }

    fn tell(&mut self, portal: &Portal, untold: &Untold, now_ms: i64) -> Result<(), String> {
        let name = portal.look().site.name.to_string();
        for account in &untold.accounts {
            let is_too_old = account.changes.iter().all(|change| now_ms.saturating_sub(change.at) > TRIED_MS);
            for owner in &account.owners {
                let mail = letter(account, owner, (&portal.settings.public_url, &name));
                if self.sent.contains(&mail.id) {
                    continue;
                }
                match self.mailer.send(&mail) {
                    Ok(()) => {}
                    Err(fault) if fault.is_final || is_too_old => {
                        log::error!(target: TARGET, "an owner is not told of a change: {}", fault.why);
                    }
                    Err(fault) => return Err(fault.why),
                }
                self.sent.insert(mail.id);
            }
        }
        Ok(())
    }
}

/// What an owner is told of the changes of an account.
fn letter(account: &AccountChanges, owner: &str, (url, name): (&str, &str)) -> Mail {
    let AccountChanges { account_id, account, changes, .. } = account;
    let mut text = format!("In the account {account} of {name} this was changed:\n\n");
    for change in changes.iter().take(MOST_TOLD) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", line(change));
    }
    if let Some(more) = changes.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {}", words::counted(more, "further change"));
    }
    let _ = write!(
        text,
        "\nIf nobody of yours has done this, disable the tokens it is about, and remove the member or the key that did it. \
         The history of the account is here:\n\n{url}/accounts/{account_id}/audit\n"
    );
    let newest = changes.last().map_or(0, |change| change.at);
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(newest).unwrap_or_default()));
    let first = changes.first().map_or(0, |change| change.id);
    // Every owner gets a message of their own, whose id says nothing of the address.
    let of_owner = hexadecimal(&Digest::of(owner.as_bytes()).bytes()[..8]);
    Mail {
        to: owner.to_owned(),
        id: format!("change.{first}.{account_id}.{of_owner}"),
        subject: format!("Changes in the account {account}"),
        text,
        at: at.unwrap_or_else(SystemTime::now),
    }
}

/// One change in a line.
fn line(change: &AuditRow) -> String {
    let AuditRow { at, subject, actor, via, address, .. } = change;
    let from = if address.is_empty() { String::new() } else { format!(" from {address}") };
    format!("{}  {actor} {} {subject} ({via}{from})", words::time(*at), deed(change))
}

/// What was done, in words before its object.
fn deed(change: &AuditRow) -> &'static str {
    let state = |json: &Option<String>| {
        let state: Value = serde_json::from_str(json.as_deref()?).ok()?;
        Some(state.get("state")?.as_str()?.to_owned())
    };
    match &*change.action {
        "token.create" => "made the token",
        "token.rotate" => "replaced the token",
        "token.revoke" => "revoked the token",
        "token.update" => match (state(&change.before), state(&change.after)) {
            (Some(before), Some(after)) if before != after && after == "disabled" => "disabled the token",
            (Some(before), Some(after)) if before != after && after == "enabled" => "enabled the token",
            _ => "changed the token",
        },
        action if action.starts_with("token.networks") => "changed the networks of the token",
        action if action.starts_with("token.domains") => "changed the domains of the token",
        "member.add" => "added the member",
        "member.update" => "gave another role to the member",
        "member.remove" => "removed the member",
        "key.create" => "made the management key",
        "key.revoke" => "revoked the management key",
        _ => "changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: &str, subject: &str, address: &str) -> AuditRow {
        AuditRow {
            id: 7,
            at: 1_796_000_000_000,
            version: 1,
            account_id: Some("a1".to_owned()),
            actor: "bob@example.com".to_owned(),
            via: "portal".to_owned(),
            address: address.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            before: None,
            after: None,
        }
    }

    #[test]
    fn owners_are_told_what_who_when_and_from_where() {
        let account = AccountChanges {
            account_id: "a1".to_owned(),
            account: "acme".to_owned(),
            owners: vec!["ann@example.com".to_owned()],
            changes: vec![change("token.create", "web", "203.0.113.9"), change("member.remove", "Carl", "")],
        };
        let mail = letter(&account, "ann@example.com", ("https://portal.example.com", "Plates"));
        assert_eq!((&*mail.to, &*mail.subject), ("ann@example.com", "Changes in the account acme"));
        for part in [
            "In the account acme of Plates this was changed:\n\n",
            "  bob@example.com made the token web (portal from 203.0.113.9)\n",
            "  bob@example.com removed the member Carl (portal)\n",
            "\n\nhttps://portal.example.com/accounts/a1/audit\n",
        ] {
            assert!(mail.text.contains(part), "{part:?} in {}", mail.text);
        }
        let other = letter(&account, "eve@example.com", ("https://portal.example.com", "Plates"));
        assert_ne!(mail.id, other.id);
        assert!(!other.id.contains("eve"));
    }

    #[test]
    fn deeds_have_words() {
        let of = |action, before: Option<&str>, after: Option<&str>| {
            let state = |state: Option<&str>| state.map(|state| format!(r#"{{"state":"{state}"}}"#));
            deed(&AuditRow { before: state(before), after: state(after), ..change(action, "", "") })
        };
        for (action, before, after, words) in [
            ("token.update", Some("enabled"), Some("disabled"), "disabled the token"),
            ("token.update", Some("disabled"), Some("enabled"), "enabled the token"),
            ("token.update", Some("enabled"), Some("enabled"), "changed the token"),
            ("token.networks.undo", None, None, "changed the networks of the token"),
            ("key.create", None, None, "made the management key"),
        ] {
            assert_eq!(of(action, before, after), words, "{action}");
        }
    }

    #[test]
    fn many_changes_are_counted() {
        let account = AccountChanges {
            account_id: "a1".to_owned(),
            account: "acme".to_owned(),
            owners: Vec::new(),
            changes: vec![change("token.update", "web", ""); MOST_TOLD + 2],
        };
        let mail = letter(&account, "ann@example.com", ("https://portal.example.com", "Plates"));
        assert!(mail.text.contains("\nand 2 further changes\n"), "{}", mail.text);
        assert_eq!(mail.text.matches("changed the token web").count(), MOST_TOLD);
    }
}
