//! A made-up history of 90 days, the same at every call.
//!
//! It is for trying out and testing the pages; its texts say that it is generated. It fills the
//! book through the same calls as the recorder.

use std::sync::Arc;
use std::time::Duration;

use super::book::{Book, Health, ProductState};
use super::history::{DAY, DAYS_KEPT, HOUR};
use super::notice::{Matter, Notice};
use crate::policy::seconds::Seconds;
use crate::telemetry::latency::bucket;
use crate::telemetry::traffic::Counted;

const MINUTE: Seconds = 60;

/// The time between two updates of the book while nothing is wrong.
const QUIET_LOOK: Seconds = 10 * MINUTE;

/// An outage: how many days ago, its first minute of the day, its length in minutes, the percentage
/// of requests that failed, and whether the backend was down.
struct Trouble {
    days_ago: u64,
    minute: u64,
    minutes: u64,
    percent: u64,
    down: bool,
}

const fn trouble(days_ago: u64, minute: u64, minutes: u64, percent: u64, down: bool) -> Trouble {
    Trouble { days_ago, minute, minutes, percent, down }
}

/// One kind of product: its age, requests per minute at noon, how long they take, and its outages.
struct Story {
    since_days: u64,
    per_minute: u64,
    millis: u64,
    only_workdays: bool,
    troubles: &'static [Trouble],
}

const STORIES: [Story; 3] = [
    Story {
        since_days: DAYS_KEPT,
        per_minute: 120,
        millis: 38,
        only_workdays: false,
        troubles: &[trouble(71, 612, 26, 100, true), trouble(12, 845, 140, 4, false), trouble(44, 130, 9, 35, false)],
    },
    Story {
        since_days: 61,
        per_minute: 14,
        millis: 210,
        only_workdays: true,
        troubles: &[trouble(25, 500, 55, 100, true), trouble(6, 900, 30, 20, false)],
    },
    Story {
        since_days: DAYS_KEPT,
        per_minute: 45,
        millis: 95,
        only_workdays: false,
        troubles: &[trouble(33, 700, 12, 60, false), trouble(0, 0, DAY / MINUTE, 7, false)],
    },
];

/// The note in each generated text.
const MADE_UP: &str = "This history is generated to try out the page; none of it has happened.";

/// Fills an empty book up to a moment.
pub fn fill(book: &mut Book, products: &[Arc<str>], until: Seconds) {
    let today = until - until % DAY;
    let mut now = today.saturating_sub((DAYS_KEPT - 1) * DAY);
    let mut looked = 0;
    while now <= until {
        let mut seen = Vec::new();
        let mut troubled = false;
        for (product, story) in products.iter().zip(STORIES.iter().cycle()) {
            let trouble = story.trouble(now, today, until);
            let health = if trouble.is_some_and(|trouble| trouble.down) { Health::Down } else { Health::Up };
            troubled |= trouble.is_some();
            book.count(product, now, &story.counted(now, today, trouble));
            seen.push(ProductState { product: Arc::clone(product), health });
        }
        let is_watched = book.incidents().next().is_some_and(|newest| newest.ended.is_none());
        if troubled || is_watched || now >= looked + QUIET_LOOK {
            book.look(now, &seen);
            looked = now;
        }
        now += MINUTE;
    }
    book.look(
        until,
        &products
            .iter()
            .map(|product| ProductState { product: Arc::clone(product), health: Health::Up })
            .collect::<Vec<_>>(),
    );
}

/// Notices for the example.
pub fn notices(products: &[Arc<str>], until: Seconds) -> Vec<Notice> {
    let notice = |matter, product: Option<&Arc<str>>, text: &str| Notice {
        id: None,
        matter,
        product: product.cloned(),
        text: text.into(),
        written: until - 2 * HOUR,
        by: "example".into(),
        closed: None,
    };
    let day_after = until - until % DAY + 3 * DAY + 2 * HOUR;
    let past = until - until % DAY - 20 * DAY + 3 * HOUR;
    vec![
        notice(Matter::Note { at: until - 2 * HOUR }, None, MADE_UP),
        notice(
            Matter::Maintenance { from: day_after, to: day_after + HOUR + 1800 },
            products.first(),
            "A database is moved to new machines. Some requests may take longer, and a few may fail.",
        ),
        notice(
            Matter::Maintenance { from: past, to: past + 2 * HOUR },
            None,
            "Certificates were renewed on all listeners.",
        ),
    ]
}

impl Story {
    fn trouble(&self, now: Seconds, today: Seconds, until: Seconds) -> Option<&Trouble> {
        self.troubles.iter().find(|trouble| {
            // Today's outage began an hour ago.
            let begun = match trouble.days_ago {
                0 => until - 50 * MINUTE,
                days => today - days * DAY + trouble.minute * MINUTE,
            };
            (begun..begun + trouble.minutes * MINUTE).contains(&now)
        })
    }

    /// The counts of one minute.
    fn counted(&self, now: Seconds, today: Seconds, trouble: Option<&Trouble>) -> Counted {
        let mut counted = Counted::default();
        let days_ago = today.saturating_sub(now) / DAY;
        // The first day of 1970 was a Thursday.
        let is_weekend = (now / DAY + 3) % 7 >= 5;
        if days_ago >= self.since_days || self.only_workdays && is_weekend {
            return counted;
        }
        let noise = scattered(now);
        let hour = now % DAY / HOUR;
        // Fewest at four in the morning, most at four in the afternoon.
        let share = 20 + 80 * hour.abs_diff(4).min(24 - hour.abs_diff(4)) / 12;
        let requests = (self.per_minute * share / 100 + noise % 5).max(1);
        counted.failed = match trouble {
            Some(trouble) => (requests * trouble.percent).div_ceil(100),
            None => u64::from(noise.is_multiple_of(4000)),
        };
        for number in counted.failed..requests {
            let scatter = scattered(now ^ (number << 40));
            // Most take about the same time, and one in sixteen takes three times as long.
            let slow = if scatter.is_multiple_of(16) { 3 } else { 1 };
            let micros = self.millis * 1000 * slow * (70 + scatter / 16 % 60) / 100;
            counted.latency.add(bucket(Duration::from_micros(micros)), 1);
        }
        counted
    }
}

/// A pseudo-random number from a seed (splitmix64).
fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 1
}
