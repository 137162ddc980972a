//! `status`, the status pages: the objective, rules for incidents, notes and maintenance.

use std::time::Duration;

use super::common::listed;
use super::products::Draft;
use super::units::{Parsed, Text};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::policy::seconds::Seconds;
use crate::site::status::StatusSettings;
use crate::site::status::burn::{Burn, Rule};
use crate::site::status::history::{HOUR, HOURS_KEPT};
use crate::site::status::notice::{MAX_NOTICES, Matter, Moment, Notice, check_text, check_times};

/// The most rules in the list; three are usual.
const MAX_RULES: usize = 8;

/// The longest window: as far back as hours are kept.
const LONGEST_WINDOW: Seconds = (HOURS_KEPT - 1) * HOUR;

/// The valid objectives, in thousandths of a percent.
const OBJECTIVES: std::ops::RangeInclusive<u32> = 50_000..=99_999;

/// The valid burn rates, in thousandths.
const RATES: std::ops::RangeInclusive<u32> = 100..=1_000_000;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Decimal, Text};
    use crate::config::yaml::{Listed, Written};
    use crate::site::status::notice::Moment;

    /// The status pages: objective, incidents and notices.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Status {
        /// The percentage of requests that must not fail because of the service, from 50 to 99.999. Default: 99.9.
        pub objective: Text<Decimal>,
        /// The fewest failures in a long window that make an incident. Default: 10.
        pub min_failures: Written<u64>,
        /// An incident begins when failures use up what the objective allows `rate` times too fast in both
        /// windows, and ends when they no longer do in the short one.
        pub burn_rates: Written<Listed<BurnRate>>,
        /// What clients should know. Default: none.
        pub notes: Written<Listed<StatusNote>>,
        /// Planned maintenance; failures during it count as well. Default: none.
        pub maintenance: Written<Listed<StatusMaintenance>>,
    }

    /// A burn rate and its windows.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["rate", "long", "short"]))]
    pub struct BurnRate {
        /// How many times too fast, from 0.1 to 1000.
        pub rate: Text<Decimal>,
        /// The window in which the rate must be exceeded, from 1s to 3d.
        pub long: Text<Duration>,
        /// The window that ends the incident, from 1s to 3d.
        pub short: Text<Duration>,
    }

    /// A note for clients.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["at", "text"]))]
    pub struct StatusNote {
        /// Since when (RFC 3339).
        pub at: Text<Moment>,
        /// Until when (RFC 3339). Default: until it is removed.
        pub until: Text<Moment>,
        /// The product it is about. Default: all.
        pub product: Written<String>,
        /// One line of text.
        pub text: Written<String>,
    }

    /// Planned maintenance.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["from", "to", "text"]))]
    pub struct StatusMaintenance {
        /// From when (RFC 3339).
        pub from: Text<Moment>,
        /// Until when (RFC 3339), at most 31 days later.
        pub to: Text<Moment>,
        /// The product it is about. Default: all.
        pub product: Written<String>,
        /// One line of text.
        pub text: Written<String>,
    }
}

/// Compiles `status`.
pub fn status(status: Written<written::Status>, products: &[Draft], mistakes: &mut Mistakes) -> StatusSettings {
    let place = status.place().cloned().unwrap_or_default();
    let Some(status) = status.take() else { return StatusSettings::default() };
    let default = Burn::default();
    let objective = status.objective.place().cloned();
    let thousandths = status.objective.take().map_or(99_900, |objective| objective.0.0);
    if let Some(place) = objective
        && !OBJECTIVES.contains(&thousandths)
    {
        mistakes.push(place, "is out of range; write percents from 50 to 99.999, as in 99.9");
    }
    let burn = Burn {
        budget_per_million: 100_000_u32.saturating_sub(thousandths).saturating_mul(10),
        min_failures: status.min_failures.take().unwrap_or(default.min_failures),
        rules: match status.burn_rates {
            Written::Missing => default.rules,
            written @ (Written::Here(..) | Written::Bad) => rules(written, &place, mistakes),
        },
    };
    let mut notices = Vec::new();
    for (note, place) in all(status.notes, mistakes) {
        notices.extend(self::note(note, &place, products, mistakes));
    }
    for (maintenance, place) in all(status.maintenance, mistakes) {
        notices.extend(self::maintenance(maintenance, &place, products, mistakes));
    }
    StatusSettings { burn, notices: notices.into() }
}

fn rules(list: Written<Listed<written::BurnRate>>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Rule]> {
    let instead = "write at least one, as in { rate: 14.4, long: 1h, short: 5m }";
    let list = listed(list, parent, "burn_rates", instead, mistakes);
    if let Some((_, place)) = list.get(MAX_RULES) {
        mistakes.push(place.clone(), format!("is one too many; write at most {MAX_RULES}"));
    }
    let mut rules: Vec<Rule> =
        list.into_iter().filter_map(|(rule, place)| self::rule(rule, &place, mistakes)).collect();
    // The fastest first, in whatever order they are written.
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.rate_thousandths));
    rules.into()
}

fn rule(rule: written::BurnRate, parent: &Place, mistakes: &mut Mistakes) -> Option<Rule> {
    let rate_place = rule.rate.place().cloned();
    let rate = rule.rate.require(parent, "rate", "write how many times too fast, as in 14.4", mistakes);
    let rate_thousandths = rate.map(|rate| rate.0.0);
    if let (Some(place), Some(rate)) = (rate_place, rate_thousandths)
        && !RATES.contains(&rate)
    {
        mistakes.push(place, "is out of range; write a number from 0.1 to 1000");
    }
    let short_place = rule.short.place().cloned();
    let mut window = |written: Text<Duration>, key: &str, instead: &str| {
        let place = written.place().cloned();
        let Parsed(length) = written.require(parent, key, instead, mistakes)?;
        if length.subsec_nanos() > 0 || !(1..=LONGEST_WINDOW).contains(&length.as_secs()) {
            mistakes.push(place.unwrap_or_default(), "is out of range; write whole seconds, from 1s to 3d");
        }
        Some(length.as_secs())
    };
    let long = window(rule.long, "long", "write the window in which the rate must be exceeded, as in 1h");
    let short = window(rule.short, "short", "write the window that ends the incident, as in 5m");
    let (long, short) = (long?, short?);
    if short > long {
        mistakes.push(short_place.unwrap_or_default(), "is longer than the long window; write a shorter one");
    }
    Some(Rule { long, short, rate_thousandths: rate_thousandths? })
}

/// The elements of an optional list with a size limit.
fn all<T>(list: Written<Listed<T>>, mistakes: &mut Mistakes) -> Vec<(T, Place)> {
    let list = list.take().unwrap_or_default().0;
    if let Some((_, place)) = list.get(MAX_NOTICES) {
        mistakes.push(place.clone(), format!("is one too many; write at most {MAX_NOTICES}"));
    }
    list
}

fn note(note: written::StatusNote, parent: &Place, products: &[Draft], mistakes: &mut Mistakes) -> Option<Notice> {
    let until_place = note.until.place().cloned();
    let at = note.at.require(parent, "at", "write its time, as in 2026-11-25T22:00:00Z", mistakes);
    let until = note.until.take().map(|until| until.0.0);
    let text = text(note.text, parent, mistakes);
    let product = about(note.product, products, mistakes);
    let Parsed(Moment(at)) = at?;
    if until.is_some_and(|until| until <= at) {
        mistakes.push(until_place.unwrap_or_default(), "is not after its time; write a later one");
    }
    Some(Notice { closed: until, ..written(Matter::Note { at }, product, &text?, at) })
}

fn maintenance(
    maintenance: written::StatusMaintenance,
    parent: &Place,
    products: &[Draft],
    mistakes: &mut Mistakes,
) -> Option<Notice> {
    let to_place = maintenance.to.place().cloned();
    let from = maintenance.from.require(parent, "from", "write when it begins, as in 2026-11-25T22:00:00Z", mistakes);
    let to = maintenance.to.require(parent, "to", "write when it ends, as in 2026-11-25T23:00:00Z", mistakes);
    let text = text(maintenance.text, parent, mistakes);
    let product = about(maintenance.product, products, mistakes);
    let (Parsed(Moment(from)), Parsed(Moment(to))) = (from?, to?);
    if let Err(what) = check_times(from, to) {
        mistakes.push(to_place.unwrap_or_default(), what);
    }
    Some(written(Matter::Maintenance { from, to }, product, &text?, from))
}

fn written(matter: Matter, product: Option<std::sync::Arc<str>>, text: &str, at: Seconds) -> Notice {
    let text = text.trim().into();
    Notice { id: None, matter, product, text, written: at, by: "configuration".into(), closed: None }
}

fn text(text: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<String> {
    let place = text.place().cloned();
    let text = text.require(parent, "text", "write what clients should know", mistakes)?;
    if let Err(what) = check_text(&text) {
        mistakes.push(place.unwrap_or_default(), what);
    }
    Some(text)
}

fn about(product: Written<String>, products: &[Draft], mistakes: &mut Mistakes) -> Option<std::sync::Arc<str>> {
    let place = product.place().cloned();
    let product = product.take()?;
    if !products.iter().any(|known| *known.name == *product) {
        mistakes.push(place.unwrap_or_default(), "is not a product; write one of `products`, or leave it out for all");
    }
    Some(product.into())
}
