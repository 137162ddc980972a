//! What operators see of requests, compiled from the configuration: `metrics`, `access_log` and
//! `tracing`.

use url::Url;

use super::compile::out_of_range;
use super::problems::Rows;
use super::upstreams::resolved;
use super::{Source, file};
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::policy::problem::Row;
use crate::telemetry::names::Naming;
use crate::telemetry::sampling::{MAX_SERIES, Sampling, Share};
use crate::telemetry::{Outlets, access_log, otlp};

/// The file that stands for standard output.
const STDOUT: &str = "stdout";

/// Bytes that a key for digests must have, so that it cannot be guessed.
const MIN_KEY_BYTES: usize = 16;

/// The path of OTLP's traces where an endpoint has none.
const TRACES_PATH: &str = "/v1/traces";

/// Compiles what is seen of requests, and where it goes.
pub fn compile(
    metrics: Written<file::Metrics>,
    log: Written<file::AccessLog>,
    tracing: Written<file::Tracing>,
    rows: &Rows,
    source: &Source,
    mistakes: &mut Mistakes,
) -> (Sampling, Outlets) {
    let mut sampling = Sampling::default();
    let file::Metrics { by_account, by_token, max_series } = metrics.take().unwrap_or_default();
    sampling.by_account = by_account.take().unwrap_or(sampling.by_account);
    sampling.by_token = by_token.take().unwrap_or(sampling.by_token);
    let place = max_series.place().cloned();
    sampling.max_series = max_series.take().unwrap_or(sampling.max_series);
    let fits = sampling.max_series <= MAX_SERIES;
    out_of_range(place, fits, || format!("a number from 0 to {MAX_SERIES}"), mistakes);
    let access_log = access_log(log, &mut sampling, rows, source, mistakes);
    let file::Tracing { traceparent, otlp } = tracing.take().unwrap_or_default();
    let traceparent_place = traceparent.place().cloned();
    sampling.traceparent = traceparent.take().unwrap_or(sampling.traceparent);
    let otlp = exporter(otlp, &mut sampling, mistakes);
    if let Some(place) = traceparent_place.filter(|_| otlp.is_some() && !sampling.traceparent) {
        mistakes.push(place, "is false, and otlp needs it; remove one of the two");
    }
    (sampling, Outlets { access_log, otlp })
}

fn access_log(
    log: Written<file::AccessLog>,
    sampling: &mut Sampling,
    rows: &Rows,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<access_log::AccessLogSettings> {
    let place = log.place()?.clone();
    let file::AccessLog { file, names, sample, reference_key } = log.take()?;
    let name = file.require(&place, "file", "write the name of a file, or stdout", mistakes);
    let file::LogSample { ok, refused } = sample.take().unwrap_or_default();
    sampling.ok_lines = share(ok, sampling.ok_lines, mistakes);
    sampling.refused_lines = refused_lines(refused, rows, mistakes);
    let names = match names.take().unwrap_or_default() {
        file::LogNames::Tollgate => Naming::Tollgate,
        file::LogNames::Otel => Naming::OpenTelemetry,
        file::LogNames::Ecs => Naming::Ecs,
    };
    let key_place = reference_key.place().cloned().unwrap_or_default();
    let reference_key = reference_key.take().and_then(|key| match resolved(&key, source) {
        Ok(key) if key.len() >= MIN_KEY_BYTES => Some(key),
        Ok(_) => {
            let what = format!(
                "can be guessed; write at least {MIN_KEY_BYTES} characters, as `openssl rand -hex 32` prints them"
            );
            mistakes.push(key_place, what);
            None
        }
        Err(what) => {
            mistakes.push(key_place, what);
            None
        }
    });
    let name = name?;
    if name.trim().is_empty() {
        mistakes.push(place.key("file"), "is not the name of a file; write one as in access.log, or stdout");
    }
    let place = match (name.as_str(), source) {
        (STDOUT, _) => access_log::Destination::Stdout,
        (name, Source::Directory(directory)) => access_log::Destination::File(directory.path.join(name)),
        (name, Source::Embedded(_)) => access_log::Destination::File(name.into()),
    };
    Some(access_log::AccessLogSettings { place, names, reference_key })
}

fn refused_lines(refused: Entries<f64>, rows: &Rows, mistakes: &mut Mistakes) -> Box<[(Row, Share)]> {
    let mut lines = Vec::new();
    for (slug, place, written) in refused.0 {
        let share = share(Written::Here(written, place.clone()), Share::ALL, mistakes);
        match rows.find(&slug) {
            Some(row) => lines.push((row, share)),
            None => mistakes
                .push(place, "names no problem; write a slug that `tollgate problems` lists, or one of `problems`"),
        }
    }
    lines.into()
}

fn exporter(otlp: Written<file::Otlp>, sampling: &mut Sampling, mistakes: &mut Mistakes) -> Option<otlp::OtlpSettings> {
    let place = otlp.place()?.clone();
    let file::Otlp { endpoint, sample, trust_sampled, service_name } = otlp.take()?;
    sampling.spans = share(sample, sampling.spans, mistakes);
    sampling.trust_sampled = trust_sampled.take().unwrap_or(sampling.trust_sampled);
    let endpoint_place = endpoint.place().cloned().unwrap_or_default();
    let service_name = service_name.take().unwrap_or_else(|| "tollgate".to_owned()).into();
    let endpoint =
        endpoint.require(&place, "endpoint", "write where the collector is, as in http://127.0.0.1:4318", mistakes)?;
    let endpoint = url_of(&endpoint, endpoint_place, mistakes)?;
    Some(otlp::OtlpSettings { endpoint, service_name })
}

fn url_of(text: &str, place: Place, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let url = Url::parse(text).ok().filter(|url| {
        let plain =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        url.scheme() == "http" && url.has_host() && plain
    });
    let Some(mut url) = url else {
        let what = "is not the plain URL of a collector; write one as in http://127.0.0.1:4318, and let a collector nearby speak TLS";
        mistakes.push(place, what);
        return None;
    };
    if url.path() == "/" {
        url.set_path(TRACES_PATH);
    }
    Some(url.as_str().into())
}

fn share(written: Written<f64>, default: Share, mistakes: &mut Mistakes) -> Share {
    let Written::Here(share, place) = written else { return default };
    Share::new(share).unwrap_or_else(|| {
        mistakes.push(place, "is not a share; write a number from 0 to 1, as in 0.01 for one of a hundred");
        default
    })
}
