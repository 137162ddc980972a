//! Tests of `metrics`, `access_log` and `tracing`.

use super::tests::GOOD;
use crate::telemetry::access_log::{self, Destination};
use crate::telemetry::names::Naming;
use crate::telemetry::sampling::Share;
use crate::telemetry::{Outlets, otlp};

/// [`GOOD`] with all telemetry.
const SEEN: &str = include_str!("mistakes/telemetry/base.yaml");

#[test]
fn what_is_written_is_what_is_seen() {
    let text = SEEN.replace("reference_key: 0123456789abcdef", "reference_key: 0123456789abcdef, names: ecs");
    let config = super::parse("f", &text, &super::Source::Embedded(&[])).unwrap();
    let sampling = config.settings.sampling;
    assert!(sampling.by_account && sampling.by_token && sampling.traceparent && sampling.max_series == 24);
    assert_eq!((Some(sampling.ok_lines), Some(sampling.spans)), (Share::new(0.5), Share::new(0.25)));
    let access_log = access_log::AccessLogSettings {
        destination: Destination::File("a.log".into()),
        names: Naming::Ecs,
        reference_key: Some("0123456789abcdef".into()),
    };
    let otlp = otlp::OtlpSettings {
        endpoint: "http://127.0.0.1:4318/v1/traces".into(),
        headers: Box::default(),
        authorities: None,
        timeout: std::time::Duration::from_secs(10),
        service_name: "edge".into(),
        attributes: Box::default(),
    };
    assert!(!format!("{access_log:?}").contains("0123456789abcdef"));
    assert_eq!(config.outlets, Outlets { access_log: Some(access_log), otlp: Some(otlp), journal: None });
    let quiet = super::parse("f", GOOD, &super::Source::Embedded(&[])).unwrap();
    assert_eq!(
        (quiet.outlets, quiet.settings.sampling),
        (Outlets::default(), crate::telemetry::sampling::Sampling::default())
    );
}
