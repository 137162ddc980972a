//! Tests of a good `status`, and of the limits of its lists.

use super::tests::{GOOD, edited, parsed};
use crate::site::status::StatusSettings;
use crate::site::status::notice::Matter;

/// The configuration of other tests with a status before its accounts.
fn with(status: &str) -> String {
    edited(GOOD, &[("accounts:\n", &format!("status:\n{status}accounts:\n"))])
}

#[test]
fn lists_have_ends() {
    let rule = "    - { rate: 2, long: 1h, short: 5m }\n";
    let rules = |count: usize| with(&format!("  burn_rates:\n{}", rule.repeat(count)));
    assert!(parsed(&rules(8)).is_ok());
    assert!(parsed(&rules(9)).unwrap_err().to_string().contains("is one too many; write at most 8"));
    let note = "    - { at: 2026-11-25T10:00:00Z, text: Slow. }\n";
    let notes = |count: usize| with(&format!("  notes:\n{}", note.repeat(count)));
    assert!(parsed(&notes(100)).is_ok());
    assert!(parsed(&notes(101)).unwrap_err().to_string().contains("is one too many; write at most 100"));
}

#[test]
fn what_is_not_said_has_the_defaults_that_gateway_yaml_states() {
    let config = parsed(GOOD).unwrap();
    assert_eq!(config.settings.status, StatusSettings::default());
    let stated = with(
        "  objective: 99.9\n  min_failures: 10\n  burn_rates: [{ rate: 1, long: 3d, short: 6h }, { rate: 14.4, long: 1h, short: 5m }, { rate: 6, long: 6h, short: 30m }]\n",
    );
    assert_eq!(parsed(&stated).unwrap().settings.status, StatusSettings::default(), "in whichever order");
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
         \x20 maintenance: [{ from: 2026-11-25T11:00:00+01:00, to: 2026-11-25T11:00:00Z, product: plate, text: Work. }]\n",
    ))
    .unwrap();
    let [note, maintenance] = &*config.settings.status.notices else { panic!("two notices") };
    let ten = 1_795_600_800;
    assert_eq!((note.matter, note.closed, &*note.text), (Matter::Note { at: ten }, Some(ten + 86_400), "Slow."));
    assert_eq!(maintenance.matter, Matter::Maintenance { from: ten, to: ten + 3600 });
    assert_eq!((maintenance.id, maintenance.product.as_deref()), (None, Some("plate")));
}
