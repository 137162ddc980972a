//! What a gateway needs of one key: its demand, and the requests that found too little.

use super::super::demand::{Demand, RECALL_PATIENCE, Shortage, shortage};
use super::super::message::{Acquired, Ask, Key};
use super::super::terms::{Terms, Time};

/// How soon it is asked again for requests that wait for other holders, in milliseconds.
const AGAIN: Time = 100;
/// How soon it is asked again ahead of demand where there was too little, in milliseconds.
const AHEAD_AGAIN: Time = 2_000;
/// How soon it is looked again whether requests that wait can be asked for, in milliseconds.
const SOON: Time = 50;
/// For how long what was acquired for requests that wait is kept for them in direct mode, in milliseconds.
const KEPT: Time = 500;

/// What a request is told that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are credits.
    Try,
    /// There are too few credits (`credits-insufficient`).
    Insufficient,
    /// Whether there are enough cannot be found out in time (`credits-unavailable`).
    Unavailable,
}

/// Requests that wait: all of them are told the same.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The most that one of them needs.
    credits: u64,
    since: Time,
    /// Other holders were recalled for them.
    asked: bool,
}

/// What is needed of a key.
#[derive(Debug)]
pub struct Wants {
    demand: Demand,
    highest_price: u64,
    /// What the centre had left when it was asked last.
    left: u64,
    /// Below so much, what the centre has counts as little: nothing is asked for ahead of demand that would lead there.
    low: u64,
    /// Credits that were held or spent, when the demand was counted last.
    counted: u64,
    waiting: Option<Waiting>,
    ask_at: Time,
    kept_until: Time,
}

impl Wants {
    pub fn new(now: Time) -> Wants {
        Wants {
            demand: Demand::new(now),
            highest_price: 1,
            left: 0,
            low: 0,
            counted: 0,
            waiting: None,
            ask_at: now,
            kept_until: now,
        }
    }

    /// A request needs so many credits, which are not there.
    pub fn short(&mut self, credits: u64, now: Time) {
        self.highest_price = self.highest_price.max(credits);
        match &mut self.waiting {
            Some(waiting) => waiting.credits = waiting.credits.max(credits),
            None => {
                self.waiting = Some(Waiting { credits, since: now, asked: false });
                self.ask_at = now;
                self.demand.count(credits, now);
            }
        }
    }

    /// Credits that were held or spent since the beginning of the identity.
    pub fn count(&mut self, used: u64, now: Time) {
        if used > self.counted {
            self.demand.count(used - self.counted, now);
        }
        self.counted = used;
        self.demand.step(now);
    }

    /// What is used begins at zero, in a new identity.
    pub fn begin(&mut self, now: Time) {
        (self.counted, self.ask_at) = (0, now);
    }

    /// What to ask for, with so much on hand. Only requests that wait have other holders recalled.
    pub fn ask(&self, key: Key, on_hand: u64, direct: bool, now: Time) -> Option<Ask> {
        if now < self.ask_at {
            return None;
        }
        if let Some(Waiting { credits, asked, .. }) = self.waiting {
            let floor = credits.saturating_sub(on_hand).max(1);
            let target = if direct { credits } else { self.demand.target(self.left, self.highest_price) };
            return Some(Ask { key, want: target.saturating_sub(on_hand).max(floor), floor, again: asked });
        }
        if direct || self.demand.is_idle(now) {
            return None;
        }
        let want = self.demand.want(on_hand, self.left, self.highest_price)?;
        let (want, floor) = (want.min(self.left.saturating_sub(self.low) / 2), self.highest_price);
        (want >= floor).then_some(Ask { key, want, floor, again: true })
    }

    /// Takes an answer; what requests that wait are told.
    pub fn acquired(&mut self, acquired: &Acquired, terms: &Terms, now: Time) -> Option<Verdict> {
        self.left = acquired.available;
        self.low = terms.low_factor.saturating_mul(acquired.nodes).saturating_mul(self.highest_price);
        let Some(waiting) = &mut self.waiting else {
            self.ask_at = if acquired.got > 0 { now } else { now + AHEAD_AGAIN };
            return None;
        };
        waiting.asked = true;
        let verdict = if acquired.got > 0 {
            self.kept_until = now + KEPT;
            Verdict::Try
        } else {
            match shortage(acquired.recalled, now.saturating_sub(waiting.since)) {
                Shortage::Wait => {
                    self.ask_at = now + AGAIN;
                    return None;
                }
                Shortage::Insufficient => Verdict::Insufficient,
                Shortage::Unavailable => Verdict::Unavailable,
            }
        };
        self.waiting = None;
        self.ask_at = now + if verdict == Verdict::Try { 0 } else { AHEAD_AGAIN };
        Some(verdict)
    }

    /// Ends the patience of requests that wait without an answer.
    pub fn expire(&mut self, now: Time) -> Option<Verdict> {
        let over = |waiting: &Waiting| now.saturating_sub(waiting.since) > RECALL_PATIENCE;
        self.waiting.take_if(|waiting| over(waiting)).map(|_| Verdict::Unavailable)
    }

    /// Whether what is available is to be returned.
    pub fn returns(&self, direct: bool, now: Time) -> bool {
        let leftover = direct && self.waiting.is_none() && now >= self.kept_until;
        leftover || self.demand.is_idle(now)
    }

    /// Until when nothing is to be done.
    pub fn next(&self, now: Time) -> Option<Time> {
        self.waiting.map(|_| self.ask_at.max(now + SOON))
    }
}
