//! Traces: `traceparent` to the backend, and spans to a collector.

use std::time::Duration;

use serde::Deserialize;

use crate::support::{
    ANSWER, Authority, Backend, CANARY, Configuration, Gateway, Peer, Request, TlsBackend, VERSIONS, Version, until,
};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The values of a header of the request that reached the backend last.
fn header(backend: &Backend, name: &str) -> Vec<String> {
    let request = String::from_utf8(backend.last_request()).unwrap();
    let value = |line: &str| {
        line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    request.lines().filter_map(value).collect()
}

#[test]
fn a_trace_is_kept_or_made_on_its_way_to_the_backend() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    for version in VERSIONS {
        let given =
            Request::lookup("live").with("traceparent", GIVEN).with("tracestate", "a=1").with("tracestate", "b=2");
        assert_eq!(gateway.send(version, &given).status(), 200);
        assert_eq!(header(&backend, "traceparent"), [GIVEN]);
        assert_eq!(header(&backend, "tracestate"), ["a=1", "b=2"]);
        for unsound in [
            Request::lookup("live").with("tracestate", "a=1"),
            Request::lookup("live").with("traceparent", "nonsense").with("tracestate", "a=1"),
            Request::lookup("live").with("traceparent", GIVEN).with("TraceParent", GIVEN).with("tracestate", "a=1"),
        ] {
            let answer = gateway.send(version, &unsound);
            let [made] = &header(&backend, "traceparent")[..] else { panic!("one traceparent") };
            let parts: Vec<&str> = made.split('-').collect();
            let transaction = answer.header("Transaction-Id").unwrap().replace('-', "");
            assert_eq!((parts[0], parts[1], parts[3]), ("00", &*transaction, "02"), "{made}");
            assert_eq!(header(&backend, "tracestate"), [""; 0]);
        }
    }
    let off = Gateway::start(&Configuration::new(backend.address()).with("tracing: { traceparent: false }\n").yaml());
    off.send(Version::Http1, &Request::lookup("live"));
    assert!(header(&backend, "traceparent").is_empty());
    off.send(Version::Http1, &Request::lookup("live").with("traceparent", "whatever it is"));
    assert_eq!(header(&backend, "traceparent"), ["whatever it is"]);
}

/// What OTLP's JSON may hold of a request to take spans (opentelemetry/proto/trace/v1/trace.proto).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Batch {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Span {
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    flags: u32,
    name: String,
    kind: u32,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    code: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    key: String,
    value: AnyValue,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum AnyValue {
    StringValue(String),
    IntValue(String),
}

impl Span {
    fn attribute(&self, key: &str) -> Option<&str> {
        let value = &self.attributes.iter().find(|attribute| attribute.key == key)?.value;
        let (AnyValue::StringValue(text) | AnyValue::IntValue(text)) = value;
        Some(text)
    }

    fn times(&self) -> (u64, u64) {
        (self.start_time_unix_nano.parse().unwrap(), self.end_time_unix_nano.parse().unwrap())
    }
}

/// The spans that have reached a collector so far.
fn spans(collector: &Backend) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        let batch: Batch = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        for resource in batch.resource_spans {
            let service =
                resource.resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            assert!(matches!(&service.value, AnyValue::StringValue(name) if name == "edge"));
            for scope in resource.scope_spans {
                assert!(scope.scope.name == "tollgate" && !scope.scope.version.is_empty());
                spans.extend(scope.spans);
            }
        }
    }
    spans
}

fn tracing(collector: &Backend, rest: &str) -> String {
    format!("tracing: {{ otlp: {{ endpoint: \"http://{}\", service_name: edge{rest} }} }}\n", collector.address())
}

#[test]
fn a_request_and_its_exchange_are_spans_of_one_trace() {
    let (backend, collector) = (Backend::answering_json(), Backend::start(|peer, _| peer.answer("{}")));
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&tracing(&collector, "")).yaml());
    let request = Request::lookup("live").target("/phone/validate/v2?c4n4ry=1").with("traceparent", GIVEN);
    assert_eq!(gateway.send(Version::Http1, &request).status(), 200);
    let [passed] = &header(&backend, "traceparent")[..] else { panic!("one traceparent") };
    until("two spans", || spans(&collector).len() == 2);
    let both = spans(&collector);
    let (server, client) = (&both[0], &both[1]);
    assert_eq!((server.kind, client.kind), (2, 3));
    assert_eq!((&*server.trace_id, &*client.trace_id), (ID, ID));
    assert_eq!(server.parent_span_id.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(client.parent_span_id.as_ref(), Some(&server.span_id));
    assert_eq!(*passed, format!("00-{ID}-{}-01", client.span_id));
    assert!(server.flags & 1 == 1 && server.span_id.len() == 16 && server.span_id != client.span_id);
    assert_eq!((&*server.name, &*client.name), ("POST /phone/validate/v2", "POST"));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/phone/validate/v2"),
        ("url.path", "/phone/validate/v2"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("tollgate.product", "phone"),
    ] {
        assert_eq!(server.attribute(key), Some(value), "{key}");
    }
    assert_eq!(server.attribute("error.type"), None);
    assert_eq!(client.attribute("server.port"), Some(&*backend.address().port().to_string()));
    assert_eq!(client.attribute("http.response.status_code"), Some("200"));
    assert!(server.status.is_none() && client.status.is_none());
    let ((from, to), (client_from, client_to)) = (server.times(), client.times());
    assert!(from <= client_from && client_from <= client_to && client_to <= to, "{server:?} {client:?}");
    assert!(!format!("{both:?}").contains("c4n4ry"));
}

#[test]
fn what_went_wrong_is_told_by_its_slug() {
    let (backend, collector) = (
        Backend::start(|peer: &mut Peer, _| peer.answer_with("500 Oh", "", ANSWER.as_bytes())),
        Backend::start(|peer, _| peer.answer("{}")),
    );
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&tracing(&collector, "")).yaml());
    let mut sent = 0;
    for (request, slug, status, spans_of_it) in [
        (Request::lookup("live"), "upstream-failed", Some(2), 2),
        (Request::lookup("nobody"), "token-unknown", None, 1),
        (Request::lookup("live").method("C4N4RY").target("/c4n4ry"), "endpoint-unknown", None, 1),
    ] {
        let answer = gateway.send(Version::Http2, &request);
        sent += spans_of_it;
        until("spans", || spans(&collector).len() == sent);
        let transaction = answer.header("Transaction-Id").unwrap();
        let all = spans(&collector);
        let server = all.iter().find(|span| span.attribute("tollgate.transaction_id") == Some(transaction)).unwrap();
        assert_eq!(server.attribute("error.type"), Some(slug));
        assert_eq!(server.status.as_ref().map(|status| status.code), status);
        assert_eq!(server.trace_id, transaction.replace('-', ""));
        if let Some(client) = all.iter().find(|span| span.parent_span_id.as_ref() == Some(&server.span_id)) {
            assert_eq!(
                (client.attribute("http.response.status_code"), client.attribute("error.type")),
                (Some("500"), Some(slug))
            );
            assert_eq!(client.status.as_ref().map(|status| status.code), Some(2));
        }
        assert!(!format!("{all:?}").to_lowercase().contains("c4n4ry"));
    }
}

#[test]
fn strangers_have_no_spans_beyond_the_share() {
    let (backend, collector) = (Backend::answering_json(), Backend::start(|peer, _| peer.answer("{}")));
    let gateway =
        Gateway::start(&Configuration::new(backend.address()).with(&tracing(&collector, ", sample: 0")).yaml());
    for _ in 0..20 {
        let request = Request::lookup("live").with("traceparent", GIVEN);
        assert_eq!(gateway.send(Version::Http1, &request).status(), 200);
        // The trace goes on, and backends are not made to keep it.
        let [passed] = &header(&backend, "traceparent")[..] else { panic!("one traceparent") };
        assert_eq!((&passed[..35], &passed[52..]), (&GIVEN[..35], "-00"), "{passed}");
    }
    // What was to be sent has been sent by the time the process has ended.
    let mut gateway = gateway;
    gateway.terminate();
    gateway.wait_for_end(Duration::from_secs(20)).unwrap();
    assert!(spans(&collector).is_empty());
}

#[test]
fn a_trusted_caller_decides_what_is_sampled_and_otherwise_the_share_does() {
    let (backend, collector) = (Backend::answering_json(), Backend::start(|peer, _| peer.answer("{}")));
    let more = tracing(&collector, ", sample: 0, trust_sampled: true");
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&more).yaml());
    let unsampled = GIVEN.replace("-01", "-00");
    for given in [None, Some(&*unsampled), Some(GIVEN)] {
        let request = Request::lookup("live");
        let request = given.map_or(request.clone(), |given| request.with("traceparent", given));
        assert_eq!(gateway.send(Version::Http1, &request).status(), 200);
        let [passed] = &header(&backend, "traceparent")[..] else { panic!("one traceparent") };
        assert_eq!(passed.ends_with("1"), given == Some(GIVEN), "{passed}");
    }
    until("the spans of the last", || spans(&collector).len() == 2);
    assert!(spans(&collector).iter().all(|span| span.trace_id == ID));
}

#[test]
fn a_collector_that_is_gone_or_says_no_costs_spans_alone() {
    let backend = Backend::answering_json();
    let refusing = Backend::start(|peer, _| peer.answer_with("400 Bad Request", "", b"{}"));
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&tracing(&refusing, "")).yaml());
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    until("a dropped request", || gateway.metric::<u64>("tollgate_otlp_dropped_total") == 1);
    gateway.wait_for_output("it answers 400");
    // 503 may be tried again, and is.
    let busy = Backend::start(|peer, _| peer.answer_with("503 Service Unavailable", "", b"{}"));
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&tracing(&busy, "")).yaml());
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    until("a dropped request", || gateway.metric::<u64>("tollgate_otlp_dropped_total") == 1);
    assert_eq!(busy.requests().len(), 3);
    let nobody =
        Configuration::new(backend.address()).with("tracing: { otlp: { endpoint: \"http://127.0.0.1:1\" } }\n").yaml();
    let gateway = Gateway::start(&nobody);
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    until("a dropped request", || gateway.metric::<u64>("tollgate_otlp_dropped_total") == 1);
    assert_eq!(gateway.metric::<u64>("tollgate_otlp_exported_total"), 0);
}

/// The requests that a collector with TLS has taken, as text.
fn batches(collector: &TlsBackend) -> Vec<String> {
    collector.bytes().into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn a_collector_with_tls_has_to_be_who_it_says_and_is_shown_its_headers() {
    let (ours, theirs) = (Authority::new("Ours"), Authority::new("Theirs"));
    let backend = Backend::answering_json();
    let directory = std::env::temp_dir().join(format!("tollgate-collector-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, authority: &Authority| {
        let path = directory.join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path.display().to_string()
    };
    let (ca, other_ca) = (file("ours.pem", &ours), file("theirs.pem", &theirs));
    let bearer = format!("Bearer {CANARY}");
    // Whom the collector has its certificate from, for which names, what the configuration says, and what the
    // environment; and whether it is trusted.
    for (authority, name, said, environment, is_trusted) in [
        (&ours, "127.0.0.1", format!(", ca: {ca}"), vec![], true),
        (&ours, "127.0.0.1", String::new(), vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ca)], true),
        // The machine's own authorities: where they are is the variable's of every TLS library.
        (&ours, "127.0.0.1", String::new(), vec![("SSL_CERT_FILE", &*ca)], true),
        (&ours, "127.0.0.1", format!(", ca: {ca}"), vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", &*other_ca)], true),
        (&ours, "127.0.0.1", format!(", ca: {other_ca}"), vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ca)], false),
        (&theirs, "127.0.0.1", format!(", ca: {ca}"), vec![], false),
        (&ours, "127.0.0.2", format!(", ca: {ca}"), vec![], false),
    ] {
        let collector = TlsBackend::start(&authority.issue(&[name]), None);
        let tracing = format!(
            "tracing: {{ otlp: {{ endpoint: \"https://{}/otlp\", headers: {{ Authorization: \"${{env:COLLECTOR}}\" }}, \
             timeout: 2s{said} }} }}\n",
            collector.address()
        );
        let environment = [&environment[..], &[("COLLECTOR", &*bearer)]].concat();
        let gateway = Gateway::start_with(&Configuration::new(backend.address()).with(&tracing).yaml(), &environment);
        assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
        if is_trusted {
            until("a batch", || !collector.bytes().is_empty());
            let batch = &batches(&collector)[0];
            assert!(batch.starts_with("POST /otlp HTTP/1.1\r\n"), "{batch}");
            assert!(batch.to_lowercase().contains(&format!("authorization: {}\r\n", bearer.to_lowercase())), "{batch}");
            until("a count", || gateway.metric::<u64>("tollgate_otlp_exported_total") == 1);
        } else {
            until("a dropped request", || gateway.metric::<u64>("tollgate_otlp_dropped_total") == 1);
            assert!(collector.bytes().is_empty() && collector.refused() > 0);
            gateway.wait_for_output("spans are dropped");
        }
        let (_, shown) = gateway.ask_admin("GET", "/config", &[], "");
        assert!(!shown.contains(CANARY) && shown.contains("${env:COLLECTOR}"), "{shown}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_is_not_written_of_a_collector_is_taken_from_the_environment() {
    let (backend, collector) = (Backend::answering_json(), Backend::start(|peer, _| peer.answer("{}")));
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("http://{}/base", collector.address())),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one,region=eu"),
    ];
    let yaml = |tracing: &str| Configuration::new(backend.address()).with(tracing).yaml();
    let gateway = Gateway::start_with(&yaml("tracing: { otlp: {} }\n"), &environment);
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    until("a batch", || !collector.requests().is_empty());
    let batch = String::from_utf8(collector.last_request()).unwrap();
    assert!(batch.starts_with("POST /base/v1/traces HTTP/1.1\r\n"), "{batch}");
    assert!(batch.contains("x-tenant: a b\r\n"), "{batch}");
    let body: Batch = serde_json::from_str(batch.split_once("\r\n\r\n").unwrap().1).unwrap();
    let told: Vec<(String, String)> = body.resource_spans[0]
        .resource
        .attributes
        .iter()
        .map(|attribute| {
            let (AnyValue::StringValue(text) | AnyValue::IntValue(text)) = &attribute.value;
            (attribute.key.clone(), text.clone())
        })
        .collect();
    let has = |key: &str, value: &str| told.iter().filter(|(known, _)| known == key).all(|(_, text)| text == value);
    assert!(has("service.name", "edge") && has("service.instance.id", "one") && has("region", "eu"), "{told:?}");
    assert_eq!(told.len(), 4, "each once: {told:?}");
    drop(gateway);
    // The environment alone makes no spans, and one variable switches all off.
    for (tracing, environment) in [
        ("", environment.to_vec()),
        ("tracing: { otlp: {} }\n", [&environment[..], &[("OTEL_SDK_DISABLED", "true")]].concat()),
    ] {
        let before = collector.requests().len();
        let mut gateway = Gateway::start_with(&yaml(tracing), &environment);
        assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
        // What was to be sent has been sent by the time the process has ended.
        gateway.terminate();
        gateway.wait_for_end(Duration::from_secs(20)).unwrap();
        assert_eq!(collector.requests().len(), before, "{tracing}");
    }
}
