//! Tables of what can be wrong with metrics, the access log and tracing, and the lines that each is
//! answered with.

use super::tests::{GOOD, check_edits};
use crate::telemetry::access_log::{self, Destination};
use crate::telemetry::names::Naming;
use crate::telemetry::sampling::Share;
use crate::telemetry::{Outlets, otlp};

/// [`GOOD`], with everything that can be seen.
fn seen() -> String {
    let more = "metrics: { by_account: true, by_token: true, max_series: 24 }
access_log: { file: a.log, sample: { ok: 0.5 }, reference_key: 0123456789abcdef, names: ecs }
tracing: { traceparent: true, otlp: { endpoint: \"http://127.0.0.1:4318\", sample: 0.25, service_name: edge } }
accounts:
";
    GOOD.replace("accounts:\n", more)
}

#[test]
fn what_is_written_is_what_is_seen() {
    let config = super::parse("f", &seen(), &super::Source::Embedded(&[])).unwrap();
    let sampling = config.policy.sampling.clone();
    assert!(sampling.by_account && sampling.by_token && sampling.traceparent && sampling.max_series == 24);
    assert_eq!((Some(sampling.ok_lines), Some(sampling.spans)), (Share::new(0.5), Share::new(0.25)));
    let access_log = access_log::AccessLogSettings {
        place: Destination::File("a.log".into()),
        names: Naming::Ecs,
        reference_key: Some("0123456789abcdef".into()),
    };
    let otlp = otlp::OtlpSettings { endpoint: "http://127.0.0.1:4318/v1/traces".into(), service_name: "edge".into() };
    assert!(!format!("{access_log:?}").contains("0123456789abcdef"));
    assert_eq!(config.outlets, Outlets { access_log: Some(access_log), otlp: Some(otlp) });
    let quiet = super::parse("f", GOOD, &super::Source::Embedded(&[])).unwrap();
    assert_eq!(
        (quiet.outlets, quiet.policy.sampling),
        (Outlets::default(), crate::telemetry::sampling::Sampling::default())
    );
}

#[test]
fn mistakes_in_what_is_seen() {
    let place = "is not the plain URL of a collector; write one as in http://127.0.0.1:4318, and let a collector nearby speak TLS";
    let endpoint = format!("f:35:49: tracing.otlp.endpoint: {place}");
    let url = "http://127.0.0.1:4318";
    let cases: [(&str, &str, &str); 18] = [
        (
            "ok: 0.5",
            "refused: { token-unknown: 2 }",
            "f:34:49: access_log.sample.refused.token-unknown: is not a share; write a number from 0 to 1, as in 0.01 for one of a hundred",
        ),
        (
            "ok: 0.5",
            "refused: { token-unknwon: 0.1 }",
            "f:34:49: access_log.sample.refused.token-unknwon: names no problem; write a slug that `tollgate problems` lists, or one of `problems`",
        ),
        (
            "names: ecs",
            "names: elastic",
            "f:34:89: access_log.names: is not one of the words allowed here; write one of tollgate, otel, ecs",
        ),
        (
            "max_series: 24",
            "max_series: 100001",
            "f:33:58: metrics.max_series: is out of range; write a number from 0 to 100000",
        ),
        (
            "by_token: true",
            "by_token: 7",
            "f:33:40: metrics.by_token: is neither true nor false; write `true` or `false`",
        ),
        ("file: a.log, ", "", "f:34:13: access_log.file: is missing; write the name of a file, or stdout"),
        (
            "file: a.log",
            "file: \" \"",
            "f:34:13: access_log.file: is not the name of a file; write one as in access.log, or stdout",
        ),
        (
            "ok: 0.5",
            "ok: 1.5",
            "f:34:42: access_log.sample.ok: is not a share; write a number from 0 to 1, as in 0.01 for one of a hundred",
        ),
        (
            "ok: 0.5",
            "ok: -1",
            "f:34:42: access_log.sample.ok: is not a share; write a number from 0 to 1, as in 0.01 for one of a hundred",
        ),
        ("ok: 0.5", "all: 0.5", "f:34:38: access_log.sample.all: is not a key here; the keys are ok, refused"),
        (
            "0123456789abcdef",
            "short",
            "f:34:64: access_log.reference_key: can be guessed; write at least 16 characters, as `openssl rand -hex 32` prints them",
        ),
        (
            "0123456789abcdef",
            "\"${env:TOLLGATE_NO_SUCH_KEY}\"",
            "f:34:64: access_log.reference_key: takes its value from a variable of the environment that is not set; set it, or correct its name",
        ),
        (url, "https://127.0.0.1:4318", &endpoint),
        (url, "http://user:secret@127.0.0.1:4318", &endpoint),
        (url, "127.0.0.1:4318", &endpoint),
        (
            "traceparent: true",
            "traceparent: false",
            "f:35:25: tracing.traceparent: is false, and otlp needs it; remove one of the two",
        ),
        ("sample: 0.25", "sample: all", "f:35:82: tracing.otlp.sample: is not a number; write decimal digits"),
        (
            "endpoint: \"http://127.0.0.1:4318\", ",
            "",
            "f:35:37: tracing.otlp.endpoint: is missing; write where the collector is, as in http://127.0.0.1:4318",
        ),
    ];
    let cases = cases.map(|(old, new, line)| ([(old, new)], [line]));
    check_edits(&seen(), cases.iter().map(|(edits, lines)| (&edits[..], &lines[..])));
}
