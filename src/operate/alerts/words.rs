//! What an alert says: to programs, as the body of a webhook, and to people, as mail. Both are made of what was noted,
//! so that they are the same whenever they are sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::ledger::store::alerts::{Alert, AlertKind};
use crate::operate::api::shown::{Day, Time};
use crate::platform::count::counted;
use crate::platform::mail::Mail;

const MS_A_DAY: i64 = 86_400_000;

/// The body of a webhook (Standard Webhooks, "Payload structure").
pub fn body(alert: &Alert) -> String {
    let what = &alert.what;
    let (kind, data) = match what.kind {
        AlertKind::LowBalance => (
            "tollgate.balance.low",
            json!({ "account": what.account, "product": what.product, "balance": what.level, "below": what.threshold }),
        ),
        AlertKind::TokenEnds => (
            "tollgate.token.ends",
            json!({
                "account": what.account,
                "token": what.token,
                "hint": Some(&what.hint).filter(|hint| !hint.is_empty()),
                "last_day": last_day(alert),
                "days": days_left(alert),
            }),
        ),
    };
    let body: Value = json!({ "type": kind, "timestamp": Time(alert.crossed_at).to_string(), "data": data });
    body.to_string()
}

/// The last day of a token.
fn last_day(alert: &Alert) -> Day {
    Day(u32::try_from(alert.what.level).unwrap_or_default())
}

/// How many days were left of a token when it was told.
fn days_left(alert: &Alert) -> i64 {
    alert.what.level.saturating_sub(alert.crossed_at.div_euclid(MS_A_DAY)).max(0)
}

/// The same for a person. Each message has an id of its own.
pub fn mail(alert: &Alert, message: i64, to: &str) -> Mail {
    let what = &alert.what;
    let (subject, text) = match what.kind {
        AlertKind::LowBalance => (
            format!("Credits of {} for {} are low", what.account, what.product),
            format!(
                "The account {} has {} left for {}. This is told when there are fewer than {}.\n\nWithout credits its \
                 lookups are refused with credits-insufficient. Please see to new ones in time.\n\nIt is told again \
                 only after the balance has been at {} or more and falls below it once more.\n",
                what.account,
                counted(what.level, "credit"),
                what.product,
                what.threshold,
                what.threshold
            ),
        ),
        AlertKind::TokenEnds => {
            let hint = if what.hint.is_empty() { String::new() } else { format!(" ({})", what.hint) };
            let day = last_day(alert);
            let left = match days_left(alert) {
                0 => "today".to_owned(),
                days => format!("{} from now", counted(days, "day")),
            };
            (
                format!("The token {} of {} ends on {day}", what.token, what.account),
                format!(
                    "The token {}{hint} of the account {} works until the end of {day} in UTC, {left}.\n\nAfter that \
                     its requests are refused with token-expired. Please replace it in time, or give it a later last \
                     day.\n\nThis is told once.\n",
                    what.token, what.account
                ),
            )
        }
    };
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(alert.crossed_at).unwrap_or_default()));
    let id = format!("{}.{message}", alert.event_id);
    Mail { to: to.to_owned(), id, subject, text, at: at.unwrap_or_else(SystemTime::now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::alerts::Crossing;

    fn alert(kind: AlertKind, level: i64, threshold: i64) -> Alert {
        let (product, token, hint) = match kind {
            AlertKind::LowBalance => ("plate", "", ""),
            AlertKind::TokenEnds => ("", "web", "tg_0a1…9f3c"),
        };
        let what = Crossing {
            kind,
            account: "acme".into(),
            subject: "never shown".into(),
            product: product.into(),
            token: token.into(),
            hint: hint.into(),
            level,
            threshold,
        };
        // 2027-06-16, 12:00 UTC.
        Alert { id: 1, event_id: "e".repeat(32), what, crossed_at: 20_985 * MS_A_DAY + MS_A_DAY / 2, over_at: None }
    }

    #[test]
    fn programs_get_what_was_noted() {
        let low: Value = serde_json::from_str(&body(&alert(AlertKind::LowBalance, 1, 500))).unwrap();
        assert_eq!(
            low,
            json!({
                "type": "tollgate.balance.low",
                "timestamp": "2027-06-16T12:00:00.000Z",
                "data": { "account": "acme", "product": "plate", "balance": 1, "below": 500 },
            })
        );
        let ends: Value = serde_json::from_str(&body(&alert(AlertKind::TokenEnds, 20_999, 14))).unwrap();
        let data = json!({
            "account": "acme", "token": "web", "hint": "tg_0a1…9f3c", "last_day": "2027-06-30", "days": 14,
        });
        assert_eq!((&ends["type"], &ends["data"]), (&json!("tollgate.token.ends"), &data));
    }

    #[test]
    fn people_get_sentences() {
        let low = mail(&alert(AlertKind::LowBalance, 1, 500), 3, "ops@example.com");
        assert_eq!(low.subject, "Credits of acme for plate are low");
        assert!(low.text.starts_with("The account acme has 1 credit left for plate."), "{}", low.text);
        assert_eq!(low.id, format!("{}.3", "e".repeat(32)));
        for (level, words) in
            [(20_985, "in UTC, today."), (20_986, ", 1 day from now."), (20_999, ", 14 days from now.")]
        {
            let ends = mail(&alert(AlertKind::TokenEnds, level, 14), 3, "ops@example.com");
            assert!(ends.text.contains(words) && ends.text.contains("web (tg_0a1…9f3c)"), "{}", ends.text);
            assert!(!ends.text.contains("never shown"));
        }
    }
}
