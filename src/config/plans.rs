//! What accounts, tokens and products may use: plans by name, several rates, quotas and requests in flight, as they
//! are written, compiled and shown.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::common::{check_name, known, listed, number, out_of_range};
use super::fill::{fill, section};
use super::rates::{self, rate_of};
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::plan::{Allowances, MAX_QUOTA, Plan, Quota, Terms};
use crate::policy::product_set::ProductSet;
use crate::policy::rate::Allowance;
use crate::policy::weight::Weight;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::num::NonZeroU32;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::rates::written::Rate;
    use crate::config::units::{FromText, Parsed, PerPeriod};
    use crate::config::yaml::{Listed, Place, TEXT_OR_KEYS, Written};

    /// What an account may use, by a name that accounts say in `plan`.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["rate"]}, {"required": ["rates"]}]))]
    pub struct Plan {
        /// Requests of all tokens of an account together.
        pub rate: Written<Rate>,
        /// Several rates at once, in place of `rate`: one for each of the periods s, min, h and d.
        #[schemars(length(min = 1, max = 4))]
        pub rates: Written<Listed<AnyRate>>,
        /// Requests of an account in a day or month. Default: any number.
        pub quota: Written<Quota>,
        /// Requests of an account in flight at a time, on each node. Default: any number.
        pub concurrency: Written<NonZeroU32>,
        /// How much an account gets beside others when an upstream with `concurrency_limit` has no room for all, relative
        /// to their weights. Default: 1.
        #[schemars(range(min = 1, max = crate::policy::weight::Weight::MAX))]
        pub weight: Written<u32>,
        /// Products that a token covers which names none. Default: none.
        #[schemars(length(min = 1))]
        pub products: Written<Listed<String>>,
    }

    /// Requests of a day and of a month of the calendar, in UTC.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["day"]}, {"required": ["month"]}]))]
    pub struct Quota {
        /// Requests from midnight to midnight. Default: any number.
        #[schemars(range(min = 1, max = crate::policy::plan::MAX_QUOTA))]
        pub day: Written<u64>,
        /// Requests from the first day of a month to its last. Default: any number.
        #[schemars(range(min = 1, max = crate::policy::plan::MAX_QUOTA))]
        pub month: Written<u64>,
    }

    /// One of several rates: its limit alone, or a mapping.
    #[derive(Debug, Default)]
    pub struct AnyRate(pub Rate);

    impl<'de> Deserialize<'de> for AnyRate {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct RateVisitor;
            impl<'de> serde::de::Visitor<'de> for RateVisitor {
                type Value = AnyRate;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a rate as in 150/min, or a mapping")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AnyRate, E> {
                    let limit = PerPeriod::from_text(text).map_err(E::custom)?;
                    let limit = Written::Here(Parsed(limit), Place::default());
                    Ok(AnyRate(Rate { limit, ..Rate::default() }))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyRate, A::Error> {
                    Rate::deserialize(serde::de::value::MapAccessDeserializer::new(access)).map(AnyRate)
                }
            }
            deserializer.deserialize_struct(TEXT_OR_KEYS, &["limit", "burst", "unlimited"], RateVisitor)
        }
    }
}

/// The keys of what an account may use.
pub struct WrittenTerms {
    pub rate: Written<rates::written::Rate>,
    pub rates: Written<Listed<written::AnyRate>>,
    pub quota: Written<written::Quota>,
    pub concurrency: Written<NonZeroU32>,
    pub weight: Written<u32>,
}

const TERMS_WANTED: &str =
    "write { limit: 150/min, burst: 150 }, or { unlimited: true }, or several as in rates: [10/s, 5000/d]";

/// Compiles all plans, whose products are known by their names and places.
pub fn compile(
    plans: Entries<written::Plan>,
    products: &[(&str, u8)],
    products_place: &Place,
    mistakes: &mut Mistakes,
) -> Box<[Arc<Plan>]> {
    let compile = |(name, place, plan): (String, Place, written::Plan)| {
        check_name(&name, &place, mistakes);
        let written::Plan { rate, rates, quota, concurrency, weight, products: covered } = plan;
        let written = WrittenTerms { rate, rates, quota, concurrency, weight };
        let terms = terms(written, &place, TERMS_WANTED, mistakes);
        let mut set = ProductSet::default();
        if !covered.is_missing() {
            let covered = listed(covered, &place, "products", "name products, or remove the key", mistakes);
            for (name, place) in covered {
                match products.iter().find(|(known, _)| **known == *name) {
                    Some((_, place)) => set.insert(*place),
                    // One that is there but could not be read is not unknown.
                    None if products.is_empty() || mistakes.touch(&products_place.key(&name)) => {}
                    None => {
                        let known = known(products.iter().map(|(name, _)| *name));
                        mistakes.push(place, format!("names no product; {known}"));
                    }
                }
            }
        }
        Arc::new(Plan { name: name.into(), terms, products: set })
    };
    plans.0.into_iter().map(compile).collect()
}

/// Compiles what an account or a plan may use; `wanted` says what to write where nothing is said of a rate.
pub fn terms(written: WrittenTerms, parent: &Place, wanted: &str, mistakes: &mut Mistakes) -> Terms {
    let WrittenTerms { rate, rates, quota, concurrency, weight } = written;
    let rates = match (rate, rates) {
        (Written::Missing, Written::Missing) => {
            mistakes.push(parent.key("rate"), format!("is missing; {wanted}"));
            Box::default()
        }
        (Written::Missing, rates) => several(rates, parent, mistakes),
        (rate, Written::Missing) => {
            let place = rate.place().cloned().unwrap_or_default();
            rate.take().and_then(|rate| rate_of(rate, place, mistakes)).into_iter().collect()
        }
        (_, rates) => {
            let place = rates.place().cloned().unwrap_or_else(|| parent.key("rates"));
            mistakes.push(place, "stands beside `rate`; write all rates here, and remove `rate`");
            Box::default()
        }
    };
    let weight = number(weight, 1, 1..=u32::from(Weight::MAX), mistakes);
    Terms {
        allowances: Allowances { rates, quota: self::quota(quota, mistakes) },
        concurrency: concurrency.take(),
        weight: Weight::new(weight).unwrap_or_default(),
    }
}

/// Compiles the rates and quotas that a token or a product has beside those of the account.
pub fn allowances(
    rates: Written<Listed<written::AnyRate>>,
    quota: Written<written::Quota>,
    parent: &Place,
    mistakes: &mut Mistakes,
) -> Allowances {
    let rates = if rates.is_missing() { Box::default() } else { several(rates, parent, mistakes) };
    Allowances { rates, quota: self::quota(quota, mistakes) }
}

/// Compiles rates of which each has another period; the shortest comes first.
fn several(rates: Written<Listed<written::AnyRate>>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Allowance]> {
    const WANTED: &str = "write at least one rate, as in [10/s, 5000/d]";
    let mut compiled: Vec<Allowance> = Vec::new();
    for (written::AnyRate(rate), place) in listed(rates, parent, "rates", WANTED, mistakes) {
        let is_unlimited = matches!(rate.unlimited, Written::Here(true, _));
        match rate_of(rate, place.clone(), mistakes) {
            Some(rate) if compiled.iter().any(|known| known.period == rate.period) => {
                let what = "has the period of another rate of the list; write one rate for each of s, min, h and d";
                mistakes.push(place, what);
            }
            Some(rate) => compiled.push(rate),
            None if is_unlimited && !mistakes.touch(&place) => {
                mistakes.push(place, "has no effect in a list of rates; remove it, or write rate: { unlimited: true }");
            }
            None => {}
        }
    }
    compiled.sort_unstable_by_key(|rate| rate.period);
    compiled.into()
}

fn quota(quota: Written<written::Quota>, mistakes: &mut Mistakes) -> Quota {
    let Written::Here(written::Quota { day, month }, place) = quota else { return Quota::default() };
    if day.is_missing() && month.is_missing() {
        // Another key may have been meant.
        if mistakes.touch(&place) {
            return Quota::default();
        }
        mistakes.push(place, "says neither `day` nor `month`; write one, as in { month: 200000 }");
        return Quota::default();
    }
    let month_place = month.place().cloned();
    let mut most = |quota: Written<u64>| {
        let place = quota.place().cloned();
        let number = quota.take()?;
        let most = NonZeroU64::new(number);
        match (most, place) {
            (None, Some(place)) => {
                mistakes.push(place, "is 0, which refuses every request; write at least 1, or disable the tokens");
            }
            (_, place) => {
                out_of_range(place, number <= MAX_QUOTA, || format!("a number from 1 to {MAX_QUOTA}"), mistakes)
            }
        }
        most
    };
    let quota = Quota { day: most(day), month: most(month) };
    if let (Some(day), Some(month), Some(place)) = (quota.day, quota.month, month_place)
        && month < day
    {
        mistakes.warn(
            place,
            "is less than the quota of a day, which then has no effect; write a larger number, or remove `day`",
        );
    }
    quota
}

/// Rates and quotas as they are shown beside each other: none that there are not.
pub fn show(shown: &mut Value, allowances: &Allowances) {
    match &*allowances.rates {
        [] => {}
        rates => fill(shown, "rates", rates.iter().map(|rate| rates::shown(*rate)).collect::<Vec<_>>()),
    }
    let quota: Map<String, Value> =
        allowances.quota.iter().map(|(calendar, most)| (calendar.word().to_owned(), most.get().into())).collect();
    if !quota.is_empty() {
        fill(shown, "quota", quota);
    }
}

/// What an account may use by itself, as it is shown.
pub fn shown_terms(terms: &Terms) -> Value {
    let mut shown = match &*terms.allowances.rates {
        [] => json!({ "rate": { "unlimited": true } }),
        [rate] => json!({ "rate": rates::shown(*rate) }),
        _ => json!({}),
    };
    let of_several = terms.allowances.rates.len() > 1;
    let rates = if of_several { terms.allowances.rates.clone() } else { Box::default() };
    show(&mut shown, &Allowances { rates, quota: terms.allowances.quota });
    if let Some(concurrency) = terms.concurrency {
        fill(&mut shown, "concurrency", concurrency.get());
    }
    if terms.weight != Weight::default() {
        fill(&mut shown, "weight", terms.weight.get());
    }
    shown
}

/// Shows of plans what is not written.
pub fn fill_in(root: &mut Value, plans: &[Arc<Plan>]) {
    for plan in plans {
        let shown = section(section(root, "plans"), &plan.name);
        whole_rates(shown, &plan.terms.allowances);
        fill(shown, "weight", plan.terms.weight.get());
        if let Some(rate) = shown.get_mut("rate")
            && let [allowance] = &*plan.terms.allowances.rates
        {
            *rate = rates::shown(*allowance);
        }
    }
}

/// Puts rates with their bursts in the place of those that are written.
pub fn whole_rates(shown: &mut Value, allowances: &Allowances) {
    if let Some(rates) = shown.get_mut("rates") {
        *rates = allowances.rates.iter().map(|rate| rates::shown(*rate)).collect();
    }
}
