//! The threads that send what was noted: one for the webhook and one for mail, so that neither waits for the other.
//!
//! A message is taken for a time, so that nobody else sends it meanwhile, tried, and settled: delivered, to be tried
//! again later, or given up. It is tried at least once, and then until it is too old. A receiver that cannot be reached
//! is left alone for a while, twice as long each time; a message that alone is refused does not stop the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::figures::AlertMetrics;
use super::words;
use crate::config::alerts::{AlertsSettings, MailSettings, WebhookSettings};
use crate::ledger::Ledger;
use crate::ledger::store::alerts::{self, Alert, Attempt, Channel, Message};
use crate::ledger::store::{Store, StoreError};
use crate::platform::clock::unix_milliseconds;
use crate::platform::mail::Mailer;
use crate::platform::post::{Post, pause};
use crate::platform::webhook::{self, WebhookSecret};

pub const TARGET: &str = "tollgate::alerts";

/// How long a message is taken beyond the longest that an attempt can take.
const SPARE: Duration = Duration::from_secs(5);

/// Answers of a mail server that an attempt waits for: greeting, EHLO twice, STARTTLS, signing in, sender, recipient,
/// DATA, its end.
const MAIL_STEPS: u32 = 10;

/// The longest pause between two attempts of one message.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Where messages go.
#[derive(Debug)]
enum Outlet {
    Webhook { post: Post, secrets: Box<[WebhookSecret]> },
    Mail(Mailer),
}

/// Why an attempt has failed.
struct Failed {
    /// It is not tried again.
    is_final: bool,
    /// Others would fail as well.
    is_of_receiver: bool,
    retry_after: Option<Duration>,
    why: String,
}

/// What sends the messages of one channel.
#[derive(Debug)]
pub struct Sender {
    channel: Channel,
    outlet: Outlet,
    store: Arc<Store>,
    ledger: Arc<Ledger>,
    shown: AlertMetrics,
    give_up_after: Duration,
    /// For how long a message is taken.
    lease: Duration,
    /// Attempts in a row that have failed because of the receiver.
    failures: u32,
    /// When the next one is due.
    pub due: Instant,
}

impl Sender {
    /// Those that a configuration wants.
    pub fn all(
        settings: &AlertsSettings,
        store: &Arc<Store>,
        ledger: &Arc<Ledger>,
        shown: &AlertMetrics,
    ) -> Vec<Sender> {
        let sender = |channel, outlet, lease| Sender {
            channel,
            outlet,
            store: Arc::clone(store),
            ledger: Arc::clone(ledger),
            shown: shown.clone(),
            give_up_after: settings.give_up_after,
            lease,
            failures: 0,
            due: Instant::now(),
        };
        let by_webhook = settings.webhook.as_ref().map(|webhook| {
            let WebhookSettings { url, secrets, authorities, timeout } = webhook;
            let post = Post::to(url, authorities.clone(), *timeout, TARGET);
            sender(Channel::Webhook, Outlet::Webhook { post, secrets: secrets.clone() }, *timeout + SPARE)
        });
        let by_mail = settings.mail.as_ref().and_then(|MailSettings { server, .. }| match Mailer::to(server) {
            Ok(mailer) => Some(sender(Channel::Mail, Outlet::Mail(mailer), server.timeout * MAIL_STEPS + SPARE)),
            Err(why) => {
                log::error!(target: TARGET, "no mail can be sent: {why}");
                None
            }
        });
        by_webhook.into_iter().chain(by_mail).collect()
    }

    /// Sends what is due, until nothing is or the receiver fails.
    pub fn turn(&mut self, stop: &AtomicBool) {
        // Who has the balances has the messages as well, so that of two processes one sends.
        while !stop.load(Ordering::Relaxed) && self.ledger.has_balances() && Instant::now() >= self.due {
            match self.next() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.shown.failed(self.channel);
                    self.pause(None, &error.to_string());
                }
            }
        }
    }

    /// Sends one message; false if none is due.
    fn next(&mut self) -> Result<bool, StoreError> {
        let (channel, lease, now_ms) = (self.channel, milliseconds(self.lease), unix_milliseconds());
        let until = now_ms.saturating_add(lease);
        let taken = self.store.maintain_here(move |connection| alerts::take(connection, channel, now_ms, until))?;
        let Some((message, alert)) = taken else { return Ok(false) };
        let outcome = self.send(&message, &alert);
        let now_ms = unix_milliseconds();
        let attempt = match outcome {
            Ok(()) => {
                self.shown.sent(channel);
                if std::mem::replace(&mut self.failures, 0) > 0 {
                    log::info!(target: TARGET, "alerts by {} are accepted again", channel.word());
                }
                Attempt::Delivered
            }
            Err(failed) => self.after(&message, failed, now_ms),
        };
        let id = message.id;
        self.store.maintain_here(move |connection| alerts::settle(connection, id, &attempt, now_ms))?;
        Ok(true)
    }

    fn send(&self, message: &Message, alert: &Alert) -> Result<(), Failed> {
        match &self.outlet {
            Outlet::Webhook { post, secrets } => {
                let body = words::body(alert);
                let headers = webhook::headers(secrets, &alert.event_id, unix_milliseconds() / 1000, &body);
                post.send("application/json", &headers, body.as_bytes()).map_err(|refused| Failed {
                    // "410 Gone" is how a receiver says that it wants no more of it (Standard Webhooks).
                    is_final: refused.status == Some(410),
                    is_of_receiver: !refused.status.is_some_and(is_of_message),
                    retry_after: refused.retry_after,
                    why: refused.why,
                })
            }
            Outlet::Mail(mailer) => {
                let mail = words::mail(alert, message.id, &message.recipient);
                mailer.send(&mail).map_err(|refused| Failed {
                    is_final: refused.is_final,
                    is_of_receiver: refused.is_of_server,
                    retry_after: None,
                    why: refused.why,
                })
            }
        }
    }

    /// What becomes of a message whose attempt has failed.
    fn after(&mut self, message: &Message, failed: Failed, now_ms: i64) -> Attempt {
        let Failed { is_final, is_of_receiver, retry_after, why } = failed;
        self.shown.failed(self.channel);
        let wait = match is_of_receiver {
            true => self.pause(retry_after, &why),
            false => {
                let tries = u32::try_from(message.tries).unwrap_or(u32::MAX);
                // Beyond the pause of a receiver, since only this message is refused.
                pause(tries).saturating_mul(1 << tries.min(4)).min(LONGEST_PAUSE).max(retry_after.unwrap_or_default())
            }
        };
        let due_at = now_ms.saturating_add(milliseconds(wait));
        let is_too_old = due_at > message.made_at.saturating_add(milliseconds(self.give_up_after));
        if !is_final && !is_too_old {
            return Attempt::Later { due_at, fault: why };
        }
        self.shown.gave_up(self.channel);
        let (alert, word) = (message.alert_id, self.channel.word());
        log::error!(
            target: TARGET,
            "a message of alert {alert} by {word} is given up: {why}; `tollgate alerts` shows what it says"
        );
        Attempt::GivenUp { fault: why }
    }

    /// Leaves the receiver alone for a while, and returns for how long.
    fn pause(&mut self, retry_after: Option<Duration>, why: &str) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_after.unwrap_or_default().max(pause(self.failures));
        self.due = Instant::now() + wait;
        if self.failures == 1 {
            let word = self.channel.word();
            log::error!(target: TARGET, "alerts by {word} wait in the store, since they were not accepted: {why}");
        }
        wait
    }
}

/// Whether a status is about the one message, and others may be accepted.
const fn is_of_message(status: u16) -> bool {
    matches!(status, 400 | 409 | 410 | 413 | 415 | 422)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
