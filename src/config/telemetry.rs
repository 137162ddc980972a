//! Telemetry: `metrics`, `access_log` and `tracing`.

use super::collector;
use super::collector::written::Otlp;
use super::common::out_of_range;
use super::fill::{fill, hide, section};
use super::journal;
use super::problems::Rows;
use super::source::Source;
use super::upstreams::plain_value;
use crate::config::yaml::{Entries, Mistakes, Written};
use crate::policy::problem::Row;
use crate::telemetry::names::Naming;
use crate::telemetry::sampling::{MAX_SERIES, Sampling, Share};
use crate::telemetry::{Outlets, access_log, otlp};
use serde_json::Value;

/// The file that stands for standard output.
const STDOUT: &str = "stdout";

/// Bytes that a key for digests must have, so that it cannot be guessed.
const MIN_KEY_BYTES: usize = 16;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::collector::written::Otlp;
    use crate::config::yaml::{Entries, Written};

    /// Metrics by account or token.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Metrics {
        /// Count requests by account as well. Default: false.
        pub by_account: Written<bool>,
        /// Count requests by token as well. Default: false.
        pub by_token: Written<bool>,
        /// The most series of each kind; an account or a token has up to 12, one per status. The first ones in the
        /// configuration have their own series, all further ones are counted as `other`. Default: 1000.
        #[schemars(range(max = crate::telemetry::sampling::MAX_SERIES))]
        pub max_series: Written<usize>,
    }

    /// One line for each request.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct AccessLog {
        /// A file, its path from this file's directory, or stdout. SIGHUP reopens it, for logrotate.
        pub file: Written<String>,
        /// The names of its members: tollgate, Tollgate's own short names; otel, those of OpenTelemetry's semantic
        /// conventions; ecs, those of the Elastic Common Schema. Default: tollgate.
        pub names: Written<LogNames>,
        /// The share of requests that get a line. Default: all.
        pub sample: Written<LogSample>,
        /// The key of the HMAC-SHA-256 that is logged instead of a client's reference; ${env:NAME} and ${file:PATH}
        /// work as in add_headers. Default: a random key with each start.
        pub reference_key: Written<String>,
    }

    /// Which requests get a line.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct LogSample {
        /// The share of answered requests (200 and 204) that get one. Default: 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub ok: Written<f64>,
        /// The shares of refused requests, each by the slug of its problem. Default: 1 for each.
        pub refused: Entries<f64>,
    }

    /// The names of the members of a line.
    #[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum LogNames {
        /// Tollgate's own short names.
        #[default]
        Tollgate,
        /// Those of OpenTelemetry's semantic conventions.
        Otel,
        /// Those of the Elastic Common Schema.
        Ecs,
    }

    /// Traces, and where spans go.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Tracing {
        /// true: a valid traceparent of a client is forwarded with its tracestate, and any other is replaced by a new
        /// one; false: both are forwarded unchanged. Default: true.
        pub traceparent: Written<bool>,
        /// Sends spans to an OpenTelemetry collector. Default: off.
        pub otlp: Written<Otlp>,
    }
}

/// `metrics`, `access_log`, `tracing` and `journal` as they are written.
pub type Seen = (
    Written<written::Metrics>,
    Written<written::AccessLog>,
    Written<written::Tracing>,
    Written<journal::written::Journal>,
);

/// Compiles what is seen of requests, and where it goes.
pub fn compile(
    (metrics, log, tracing, journal): Seen,
    rows: &Rows,
    source: &Source,
    mistakes: &mut Mistakes,
) -> (Sampling, Outlets) {
    let mut sampling = Sampling::default();
    let written::Metrics { by_account, by_token, max_series } = metrics.take().unwrap_or_default();
    sampling.by_account = by_account.take().unwrap_or(sampling.by_account);
    sampling.by_token = by_token.take().unwrap_or(sampling.by_token);
    let place = max_series.place().cloned();
    sampling.max_series = max_series.take().unwrap_or(sampling.max_series);
    let fits = sampling.max_series <= MAX_SERIES;
    out_of_range(place, fits, || format!("a number from 0 to {MAX_SERIES}"), mistakes);
    let access_log = access_log(log, &mut sampling, rows, source, mistakes);
    let written::Tracing { traceparent, otlp } = tracing.take().unwrap_or_default();
    let traceparent_place = traceparent.place().cloned();
    sampling.traceparent = traceparent.take().unwrap_or(sampling.traceparent);
    let otlp = exporter(otlp, &mut sampling, source, mistakes);
    if let Some(place) = traceparent_place.filter(|_| otlp.is_some() && !sampling.traceparent) {
        mistakes.push(place, "is false, but otlp needs it; remove one of the two");
    }
    let journal = journal::journal(journal, source, mistakes);
    (sampling, Outlets { access_log, otlp, journal })
}

fn access_log(
    log: Written<written::AccessLog>,
    sampling: &mut Sampling,
    rows: &Rows,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<access_log::AccessLogSettings> {
    let place = log.place()?.clone();
    let written::AccessLog { file, names, sample, reference_key } = log.take()?;
    let name = file.require(&place, "file", "write the name of a file, or stdout", mistakes);
    let written::LogSample { ok, refused } = sample.take().unwrap_or_default();
    sampling.ok_lines = share(ok, sampling.ok_lines, mistakes);
    sampling.refused_lines = refused_lines(refused, rows, mistakes);
    let names = match names.take().unwrap_or_default() {
        written::LogNames::Tollgate => Naming::Tollgate,
        written::LogNames::Otel => Naming::OpenTelemetry,
        written::LogNames::Ecs => Naming::Ecs,
    };
    let key_place = reference_key.place().cloned().unwrap_or_default();
    let reference_key = reference_key.take().and_then(|key| match plain_value(&key) {
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
        (name, Source::Embedded(_) | Source::Held(_)) => access_log::Destination::File(name.into()),
    };
    Some(access_log::AccessLogSettings { destination: place, names, reference_key })
}

fn refused_lines(refused: Entries<f64>, rows: &Rows, mistakes: &mut Mistakes) -> Box<[(Row, Share)]> {
    let mut lines = Vec::new();
    for (slug, place, written) in refused.0 {
        let share = share(Written::Here(written, place.clone()), Share::ALL, mistakes);
        match rows.find(&slug) {
            Some(row) => lines.push((row, share)),
            None => mistakes
                .push(place, "is not a problem; write a slug that `tollgate problems` lists, or one of `problems`"),
        }
    }
    lines.into()
}

fn exporter(
    otlp: Written<Otlp>,
    sampling: &mut Sampling,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<otlp::OtlpSettings> {
    let place = otlp.place()?.clone();
    let mut otlp = otlp.take()?;
    sampling.spans = share(std::mem::take(&mut otlp.sample), sampling.spans, mistakes);
    sampling.trust_sampled = std::mem::take(&mut otlp.trust_sampled).take().unwrap_or(sampling.trust_sampled);
    collector::compile(place, otlp, source, &collector::of_the_process, mistakes)
}

fn share(written: Written<f64>, default: Share, mistakes: &mut Mistakes) -> Share {
    let Written::Here(share, place) = written else { return default };
    Share::new(share).unwrap_or_else(|| {
        mistakes.push(place, "is not a share; write a number from 0 to 1, as in 0.01 for one in a hundred");
        default
    })
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(root: &mut Value, sampling: &Sampling, outlets: &Outlets) {
    let metrics = section(root, "metrics");
    fill(metrics, "by_account", sampling.by_account);
    fill(metrics, "by_token", sampling.by_token);
    fill(metrics, "max_series", sampling.max_series);
    if let Some(access_log::AccessLogSettings { reference_key, names, .. }) = &outlets.access_log {
        let log = section(root, "access_log");
        fill(log, "names", names.word());
        fill(section(log, "sample"), "ok", sampling.ok_lines.get());
        if let (true, Some(key)) = (reference_key.is_some(), log.get_mut("reference_key")) {
            hide(key, &["access_log", "reference_key"]);
        }
    }
    let tracing = section(root, "tracing");
    fill(tracing, "traceparent", sampling.traceparent);
    if let Some(settings) = &outlets.otlp {
        fill(section(tracing, "otlp"), "sample", sampling.spans.get());
        collector::fill_in(tracing, settings);
    }
}
