//! Alerts of low balances and of tokens that are about to end, told once a crossing.
//!
//! One thread looks at all balances and tokens every few seconds and notes in the store what has crossed its threshold,
//! with the messages that tell of it, in one transaction; what is open is not noted again, so that a restart, a crash
//! and an upgrade repeat nothing. Other threads send the messages (`alerts/delivery.rs`). Requests never wait for any
//! of it. Of two processes in an upgrade, the one that has the balances looks and sends.

mod crossings;
mod delivery;
mod figures;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Thread, park_timeout};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use crate::config::alerts::AlertsSettings;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::ledger::store::alert_settings::OwnSettings;
use crate::ledger::store::alerts::{self as noted, AlertKind, Channel};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::{Store, StoreError, open};
use crate::platform::clock::unix_milliseconds;
use crate::platform::count::counted;
use crate::platform::pace;
use crate::policy::account::{Digest, Expiry};
use crate::policy::credits::CreditAccount;
use crossings::{Found, Look};
use delivery::{Sender, TARGET};
use figures::AlertMetrics;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// How long it is rested after a look, as a multiple of what that took: a million accounts take a second.
const REST: u32 = 50;

/// How often it is looked for messages that are due.
const DUE: Duration = Duration::from_secs(1);

/// Messages that may wait: beyond that, what is new is found again later.
const MOST_WAITING: usize = 10_000;

/// Crossings of one transaction.
const ROWS_AT_ONCE: usize = 500;

/// How many balances that gateways share are asked for together.
const BALANCES_AT_ONCE: usize = 500;

/// How long the end of the process waits for a message that is on its way.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

const MS_A_DAY: i64 = 86_400_000;

/// The threads that look and send.
#[derive(Debug)]
pub struct Alerter {
    shown: AlertMetrics,
    stop: Arc<AtomicBool>,
    threads: Vec<Thread>,
    /// Disconnected when all of them have ended.
    ended: std::sync::Mutex<Receiver<()>>,
}

/// What looks.
struct Watch {
    settings: AlertsSettings,
    store: Arc<Store>,
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    shown: AlertMetrics,
    is_failing: bool,
}

impl Alerter {
    /// Starts looking and sending.
    pub fn start(settings: AlertsSettings, store: Arc<Store>, gateway: Arc<Gateway>, ledger: Arc<Ledger>) -> Alerter {
        let channels =
            [settings.webhook.as_ref().map(|_| Channel::Webhook), settings.mail.as_ref().map(|_| Channel::Mail)];
        let shown = AlertMetrics::of(&channels.into_iter().flatten().collect::<Vec<_>>());
        let stop = Arc::new(AtomicBool::new(false));
        let (alive, ended) = sync_channel(1);
        let senders = Sender::all(&settings, &store, &ledger, &shown);
        let mut threads: Vec<Thread> =
            senders.into_iter().map(|sender| send(sender, Arc::clone(&stop), alive.clone())).collect();
        let watch = Watch { settings, store, gateway, ledger, shown: shown.clone(), is_failing: false };
        // Whoever stops need not wait for it: what it notes is one transaction.
        drop(alive);
        threads.push(watch.run(threads.clone(), Arc::clone(&stop)));
        Alerter { shown, stop, threads, ended: std::sync::Mutex::new(ended) }
    }

    /// Ends the threads, and waits a little for a message that is on its way.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.iter().for_each(Thread::unpark);
        let ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ended.recv_timeout(CLOSING_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            log::warn!(target: TARGET, "a message of an alert is still on its way; it is sent again, with the same id");
        }
    }

    /// Shows the metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.shown.register(registry);
    }
}

/// The thread of a channel, which is alive as long as it has its end of a channel.
fn send(mut sender: Sender, stop: Arc<AtomicBool>, alive: SyncSender<()>) -> Thread {
    let running = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            sender.turn(&stop);
            park_timeout(DUE.max(sender.due.saturating_duration_since(Instant::now())));
        }
        drop(alive);
    });
    running.thread().clone()
}

impl Watch {
    fn run(mut self, senders: Vec<Thread>, stop: Arc<AtomicBool>) -> Thread {
        let running = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if self.ledger.has_balances() {
                    pace::keep();
                    let outcome = self.look(unix_milliseconds());
                    self.tell(&outcome);
                    if outcome.is_ok_and(|noted| noted > 0) {
                        senders.iter().for_each(Thread::unpark);
                    }
                    park_timeout(LOOK.max(begun.elapsed() * REST));
                } else {
                    // The file is opened, or another process has it.
                    park_timeout(DUE);
                }
            }
        });
        running.thread().clone()
    }

    /// Gives up what waits for a channel that the configuration does not have any more.
    fn give_up(&self, now_ms: i64) -> Result<(), StoreError> {
        const FAULT: &str = "the configuration has nothing for it any more";
        let is_there =
            [(Channel::Webhook, self.settings.webhook.is_some()), (Channel::Mail, self.settings.mail.is_some())];
        for (channel, _) in is_there.into_iter().filter(|(_, is_there)| !is_there) {
            let given_up =
                self.store.maintain_here(move |connection| noted::give_up(connection, channel, FAULT, now_ms))?;
            if given_up > 0 {
                let (messages, word) = (counted(given_up, "message"), channel.word());
                log::warn!(target: TARGET, "{messages} of alerts by {word} given up: {FAULT}");
            }
        }
        Ok(())
    }

    /// Looks at everything once, and notes what has changed; how many crossings are new.
    fn look(&self, now_ms: i64) -> Result<usize, StoreError> {
        // Opened anew each time: the file may have been replaced, and a look is rare.
        let mut connection = open(self.store.location())?;
        let transaction = connection.transaction()?;
        let own = OwnSettings::read(&transaction)?;
        let figures = noted::figures(&transaction)?;
        if figures.waiting > 0 {
            self.give_up(now_ms)?;
        }
        let room = MOST_WAITING.saturating_sub(usize::try_from(figures.waiting).unwrap_or(usize::MAX));
        let today = u32::try_from(now_ms.div_euclid(MS_A_DAY)).unwrap_or_default();
        let mut look = Look::new(&self.settings, &own, noted::open_ones(&transaction)?, (today, room));
        if !self.compare(&mut look) {
            // Nothing is known, so nothing is over either.
            return Ok(0);
        }
        for alert in look.unmet() {
            let what = &alert.what;
            let is_paused = match what.kind {
                AlertKind::LowBalance => noted::is_suspended(&transaction, &what.account)?,
                AlertKind::TokenEnds => match Digest::parse(&what.subject) {
                    Ok(digest) if look.is_near(&what.account, what.level) => {
                        noted::is_paused_token(&transaction, &digest, what.level)?
                    }
                    Ok(_) | Err(_) => false,
                },
            };
            if !is_paused {
                look.is_over(&alert);
            }
        }
        let mut found = look.found();
        for (what, _) in found.crossings.iter_mut().filter(|(what, _)| what.kind == AlertKind::TokenEnds) {
            what.hint =
                Digest::parse(&what.subject).map_or(Ok(String::new()), |one| noted::hint(&transaction, &one))?;
        }
        drop(transaction);
        // Balances that another process has by now are not ours to judge.
        let noted = if self.ledger.has_balances() { self.note(&found, now_ms)? } else { 0 };
        self.shown.set(noted::figures(&connection)?, found.postponed);
        Ok(noted)
    }

    /// Looks at all balances and tokens in force. Returns whether the balances are known.
    fn compare(&self, look: &mut Look<'_>) -> bool {
        let is_without_balances = look.is_without_balances();
        let register = self.ledger.register_of_licences();
        // Where gateways share credits, each looks at what it has sold, and at what is noted.
        let is_shared = self.ledger.shares_credits();
        let is_ours = |one: &&Arc<CreditAccount>| !is_shared || one.is_shown() || look.has_open(&one.account);
        let balances = register.all().take_while(|_| !is_without_balances).filter(is_ours);
        let balances: Vec<Arc<CreditAccount>> = balances.map(Arc::clone).collect();
        if balances.chunks(BALANCES_AT_ONCE).any(|page| self.ledger.known_here(page.to_vec()).is_err()) {
            return false;
        }
        for credit_account in &balances {
            pace::step();
            let balance = credit_account.shown();
            let left = balance.available.saturating_add(balance.held);
            look.balance(&credit_account.account, &credit_account.product, left, balance.granted);
        }
        if look.is_without_tokens() {
            return true;
        }
        for account in self.gateway.snapshot().policy.accounts.iter() {
            pace::step();
            for key in account.keys.iter().filter(|key| key.token.enabled) {
                // Whoever has replaced a token knows that it ends.
                if let Expiry::LastDay(day) = key.token.expiry {
                    look.token(&account.name, &key.token.name, &key.digest, day);
                }
            }
        }
        true
    }

    fn note(&self, found: &Found, now_ms: i64) -> Result<usize, StoreError> {
        let (mut noted, mut over) = (0, found.over.clone());
        let mut crossings = found.crossings.chunks(ROWS_AT_ONCE);
        loop {
            let rows = crossings.next().unwrap_or_default().to_vec();
            if rows.is_empty() && over.is_empty() {
                return Ok(noted);
            }
            let over = std::mem::take(&mut over);
            noted += self.store.maintain_here(move |connection| {
                noted::note(connection, &mut SystemRandomness, &rows, &over, now_ms)
            })?;
        }
    }

    fn tell(&mut self, outcome: &Result<usize, StoreError>) {
        let is_failing = outcome.is_err();
        if let (Err(error), false) = (outcome, self.is_failing) {
            log::error!(target: TARGET, "cannot read balances and tokens for alerts: {error}");
        }
        self.is_failing = is_failing;
    }
}
