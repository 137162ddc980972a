//! What comes of a collector that is written, and of one that the environment names.

use super::*;
use crate::config::yaml;

/// What a text of the mapping comes to in an environment: the settings, the mistakes and the warnings.
fn compiled(text: &str, variables: &[(&str, &str)]) -> (Option<OtlpSettings>, Vec<String>) {
    let mut mistakes = Mistakes::default();
    let (otlp, place) = yaml::read::<written::Otlp>("f", text, &mut mistakes).unwrap();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let settings = compile(place, otlp, &Source::Embedded(&[]), &variable, &mut mistakes);
    let told = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let warned = mistakes.warnings().map(|warning| format!("warning: {}", warning.what)).collect::<Vec<_>>();
    (settings.filter(|_| mistakes.is_empty()), [told, warned].concat())
}

fn settings(text: &str, variables: &[(&str, &str)]) -> OtlpSettings {
    let (settings, told) = compiled(text, variables);
    settings.unwrap_or_else(|| panic!("{text} {variables:?}: {told:?}"))
}

#[test]
fn an_endpoint_is_whole_or_a_base_as_the_specification_has_it() {
    for (text, variables, endpoint) in [
        ("endpoint: http://c:4318", &[][..], "http://c:4318/v1/traces"),
        ("endpoint: https://c/otlp", &[], "https://c/otlp"),
        ("{}", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], "http://c:4318/v1/traces"),
        ("{}", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/")], "http://c:4318/base/v1/traces"),
        ("{}", &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318")], "http://c:4318/"),
        (
            "{}",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/x")],
            "http://b/x",
        ),
        // What is written wins, and a blank variable is none.
        ("endpoint: http://c", &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/x")], "http://c/v1/traces"),
        (
            "{}",
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", " "), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a")],
            "http://a/v1/traces",
        ),
    ] {
        assert_eq!(&*settings(text, variables).endpoint, endpoint, "{text} {variables:?}");
    }
}

#[test]
fn what_is_written_wins_over_its_variable_key_by_key() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc, x-tenant = 7 ,"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,region=eu%2Cwest,a=1,a=2"),
    ];
    let taken = settings("{}", &variables);
    assert_eq!(*taken.headers, [("Authorization".into(), "Bearer abc".into()), ("x-tenant".into(), "7".into())]);
    assert!(!format!("{taken:?}").contains("abc"), "{taken:?}");
    assert_eq!((taken.timeout, &*taken.service_name), (Duration::from_millis(2500), "edge"));
    let names: Vec<_> = taken.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(names, [("service.name", "other"), ("region", "eu,west"), ("a", "2")]);
    let written = settings(
        "{ headers: { X-Key: k }, timeout: 3s, service_name: mine, resource_attributes: { zone: a } }",
        &variables,
    );
    assert_eq!(*written.headers, [("X-Key".into(), "k".into())]);
    assert_eq!((written.timeout, &*written.service_name), (Duration::from_secs(3), "mine"));
    assert_eq!(*written.attributes, [("zone".into(), "a".into())]);
    // Those of traces alone win over those of all signals.
    let more = [
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "60"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ];
    let taken = settings("{}", &[&variables[..3], &more].concat());
    assert_eq!((&*taken.headers, taken.timeout), (&[("b".into(), "2".into())][..], Duration::from_millis(60)));
    assert_eq!(&*taken.service_name, "tollgate");
    let named = settings("{}", &[variables[0], variables[4]]);
    assert_eq!((&*named.service_name, named.timeout), ("other", Duration::from_secs(10)));
}

#[test]
fn the_environment_switches_everything_off() {
    for (value, is_off) in [("true", true), ("TRUE", true), ("false", false), ("1", false), ("", false)] {
        let (found, told) = compiled("endpoint: http://c", &[("OTEL_SDK_DISABLED", value)]);
        assert_eq!(found.is_none(), is_off, "{value}");
        assert_eq!(told.iter().any(|told| told.contains("OTEL_SDK_DISABLED")), is_off, "{told:?}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_place_or_its_variable_and_never_shown() {
    let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    for (text, variables, what) in [
        ("{}", &[][..], "f:1:1: endpoint: is missing; write where the collector is"),
        ("endpoint: ftp://secret", &[], "f:1:11: endpoint: is not the URL of a collector"),
        ("endpoint: http://secret@c", &[], "f:1:11: endpoint: is not the URL of a collector"),
        ("endpoint: http://c?secret", &[], "f:1:11: endpoint: is not the URL of a collector"),
        (
            "{}",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "secret")],
            "variable OTEL_EXPORTER_OTLP_ENDPOINT, which is not the URL",
        ),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")], "OTEL_EXPORTER_OTLP_HEADERS, which is not a list"),
        (
            "{}",
            &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "a=%FFsecret")],
            "OTEL_EXPORTER_OTLP_HEADERS, which is not a list",
        ),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret")], "has a header that is not a header's name"),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0A")], "has a header that is not a valid header value"),
        (
            "{}",
            &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "Host=secret")],
            "has a header that is set by the exporter itself",
        ),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,A=secret")], "has a header that is there already"),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_TIMEOUT", "secret")], "OTEL_EXPORTER_OTLP_TIMEOUT, which is not a number"),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_TIMEOUT", "49")], "set one from 50 to 3600000"),
        ("{}", &[here, ("OTEL_RESOURCE_ATTRIBUTES", "secret")], "OTEL_RESOURCE_ATTRIBUTES, which is not a list"),
        ("{}", &[here, ("OTEL_RESOURCE_ATTRIBUTES", "a=secret%07")], "OTEL_RESOURCE_ATTRIBUTES, which is not a list"),
        ("{}", &[here, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "warning: sends http/json, whatever"),
        (
            "{ endpoint: 'http://c', headers: { Content-Type: secret } }",
            &[],
            "f:1:36: headers.Content-Type: is set by the exporter itself",
        ),
        ("{ endpoint: 'http://c', headers: { a: \"secret\\n\" } }", &[], "headers.a: is not a valid header value"),
        ("{ endpoint: 'http://c', resource_attributes: { 'a b': secret } }", &[], "is not an attribute"),
        ("{ endpoint: 'http://c', timeout: 10ms }", &[], "timeout: is out of range; write a duration from 50ms to 1h"),
        ("{ endpoint: 'http://c', ca: secret.pem }", &[], "ca: is for a collector with TLS"),
        ("{ endpoint: 'https://c', ca: gone.pem }", &[], "gone.pem, which does not exist; name a file that does"),
        (
            "endpoint: https://c",
            &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/secret.pem")],
            "OTEL_EXPORTER_OTLP_CERTIFICATE, which names a file that does not exist",
        ),
    ] {
        let (_, told) = compiled(text, variables);
        assert!(told.iter().any(|told| told.contains(what)), "{text} {variables:?}: {told:?}");
        assert!(told.iter().all(|told| !told.contains("secret")), "{told:?}");
    }
    let many: String = (0..33).map(|number| format!("h{number}=1,")).collect();
    let (_, told) = compiled("{}", &[here, ("OTEL_EXPORTER_OTLP_HEADERS", &many)]);
    assert!(told.iter().any(|told| told.contains("is one header too many")), "{told:?}");
    let many: String = (0..65).map(|number| format!("a{number}: x, ")).collect();
    let (_, told) = compiled(&format!("{{ endpoint: 'http://c', resource_attributes: {{ {many} }} }}"), &[]);
    assert!(told.iter().any(|told| told.contains("is one attribute too many")), "{told:?}");
}
