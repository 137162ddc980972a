//! Mistakes in `status`, each with its place, and what good ones come to.

use super::tests::{GOOD, check_edits, edited, parsed};
use crate::site::status::StatusSettings;
use crate::site::status::notice::Matter;

/// The configuration of other tests with a status in front of its accounts.
fn with(status: &str) -> String {
    edited(GOOD, &[("accounts:\n", &format!("status:\n{status}accounts:\n"))])
}

#[test]
fn mistakes_in_the_status() {
    let good = with(
        "  objective: 99.9\n  min_failures: 10\n  burn_rates:\n    - { rate: 14.4, long: 1h, short: 5m }\n\
         \x20 notes:\n    - { at: 2026-11-25T10:00:00Z, until: 2026-11-26T10:00:00Z, product: phone, text: Slow. }\n\
         \x20 maintenance:\n    - { from: 2026-11-25T10:00:00Z, to: 2026-11-25T11:00:00Z, text: Work. }\n",
    );
    assert!(parsed(&good).is_ok());
    let line = good.lines().position(|line| line == "status:").unwrap() + 1;
    let cases: [(&str, &str, usize, &str); 17] = [
        ("99.9\n", "100\n", 1, ":14: status.objective: is out of range; write percents from 50 to 99.999, as in 99.9"),
        (
            "99.9\n",
            "a lot\n",
            1,
            ":14: status.objective: is not a number; write digits, with at most three behind the point, as in 14.4",
        ),
        (
            "rate: 14.4",
            "rate: 0",
            4,
            ":15: status.burn_rates[0].rate: is out of range; write a number from 0.1 to 1000",
        ),
        ("rate: 14.4, ", "", 4, ":7: status.burn_rates[0].rate: is missing; write how many times too fast, as in 14.4"),
        (
            "long: 1h",
            "long: 4d",
            4,
            ":27: status.burn_rates[0].long: is out of range; write whole seconds, from 1s to 3d",
        ),
        (
            "long: 1h",
            "long: 400500ms",
            4,
            ":27: status.burn_rates[0].long: is out of range; write whole seconds, from 1s to 3d",
        ),
        (
            ", short: 5m",
            "",
            4,
            ":7: status.burn_rates[0].short: is missing; write the window that ends the incident, as in 5m",
        ),
        (
            "short: 5m",
            "short: 2h",
            4,
            ":38: status.burn_rates[0].short: is longer than the long window; write a shorter one",
        ),
        (
            "at: 2026-11-25T10:00:00Z",
            "at: 2026-11-25",
            6,
            ":13: status.notes[0].at: is not a time; write one as RFC 3339 has it, as in 2026-11-25T22:00:00Z",
        ),
        (
            "at: 2026-11-25T10:00:00Z, ",
            "",
            6,
            ":7: status.notes[0].at: is missing; write its time, as in 2026-11-25T22:00:00Z",
        ),
        (
            "until: 2026-11-26",
            "until: 2026-11-24",
            6,
            ":42: status.notes[0].until: is not after its time; write a later one",
        ),
        (
            "product: phone, text",
            "product: fax, text",
            6,
            ":73: status.notes[0].product: names no product; write one of `products`, or leave it out for all",
        ),
        ("text: Slow.", "text: \" \"", 6, ":86: status.notes[0].text: is empty; write what clients should know"),
        (", text: Slow.", "", 6, ":7: status.notes[0].text: is missing; write what clients should know"),
        (
            "to: 2026-11-25T11",
            "to: 2026-11-25T10",
            8,
            ":41: status.maintenance[0].to: is not after the beginning; write a later time",
        ),
        (
            "to: 2026-11-25T11:00:00Z",
            "to: 2027-11-25T11:00:00Z",
            8,
            ":41: status.maintenance[0].to: is more than 31 days after the beginning; write an earlier time",
        ),
        (
            ", to: 2026-11-25T11:00:00Z",
            "",
            8,
            ":7: status.maintenance[0].to: is missing; write when it ends, as in 2026-11-25T23:00:00Z",
        ),
    ];
    let expected: Vec<[String; 1]> =
        cases.iter().map(|(_, _, below, what)| [format!("f:{}{what}", line + below)]).collect();
    let expected: Vec<[&str; 1]> = expected.iter().map(|[line]| [line.as_str()]).collect();
    let edits: Vec<[(&str, &str); 1]> = cases.iter().map(|(from, to, ..)| [(*from, *to)]).collect();
    check_edits(&good, edits.iter().zip(&expected).map(|(edit, lines)| (edit.as_slice(), lines.as_slice())));
}

#[test]
fn lists_have_ends() {
    let rule = "    - { rate: 2, long: 1h, short: 5m }\n";
    let rules = |count: usize| with(&format!("  burn_rates:\n{}", rule.repeat(count)));
    assert!(parsed(&rules(8)).is_ok());
    assert!(parsed(&rules(9)).unwrap_err().to_string().contains("is one too many; 8 fit into the list"));
    let note = "    - { at: 2026-11-25T10:00:00Z, text: Slow. }\n";
    let notes = |count: usize| with(&format!("  notes:\n{}", note.repeat(count)));
    assert!(parsed(&notes(100)).is_ok());
    assert!(parsed(&notes(101)).unwrap_err().to_string().contains("is one too many; 100 fit into the list"));
}

#[test]
fn what_is_not_said_has_the_defaults_that_gateway_yaml_states() {
    let config = parsed(GOOD).unwrap();
    assert_eq!(config.policy.status, StatusSettings::default());
    let stated = with(
        "  objective: 99.9\n  min_failures: 10\n  burn_rates: [{ rate: 1, long: 3d, short: 6h }, { rate: 14.4, long: 1h, short: 5m }, { rate: 6, long: 6h, short: 30m }]\n",
    );
    assert_eq!(parsed(&stated).unwrap().policy.status, StatusSettings::default(), "in whichever order");
    let text = include_str!("../../config/gateway.yaml");
    for line in [
        "# Default: 99.9.",
        "there is no incident. Default: 10.",
        "    - { rate: 14.4, long: 1h, short: 5m }\n    - { rate: 6, long: 6h, short: 30m }\n    - { rate: 1, long: 3d, short: 6h }\n",
    ] {
        assert!(text.contains(line), "gateway.yaml does not say {line:?}");
    }
}

#[test]
fn notices_of_the_file_have_no_number_and_their_own_times() {
    let config = parsed(&with(
        "  notes: [{ at: 2026-11-25T10:00:00Z, until: 2026-11-26T10:00:00Z, text: \" Slow. \" }]\n\
         \x20 maintenance: [{ from: 2026-11-25T11:00:00+01:00, to: 2026-11-25T11:00:00Z, product: phone, text: Work. }]\n",
    ))
    .unwrap();
    let [note, maintenance] = &*config.policy.status.notices else { panic!("two notices") };
    let ten = 1_795_600_800;
    assert_eq!((note.matter, note.closed, &*note.text), (Matter::Note { at: ten }, Some(ten + 86_400), "Slow."));
    assert_eq!(maintenance.matter, Matter::Maintenance { from: ten, to: ten + 3600 });
    assert_eq!((maintenance.id, maintenance.product.as_deref()), (None, Some("phone")));
}
