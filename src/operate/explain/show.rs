//! An explanation for people, in columns, and for machines, as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::asked::Asked;
use super::findings::{Finding, Verdict};
use super::outcome::{Explanation, Outcome};
use super::places::Location;
use super::seen;
use crate::platform::count::counted;
use crate::policy::http::head::{Peer, Version};

/// Characters of a column before its text is left to stand out.
const WIDEST_COLUMN: usize = 44;

/// What a running gateway alone can say.
const NOT_TOLD: &str = "Rates count as for a first request. What time, other requests and the backend do \
                        (request-timeout, deadline-exceeded, upstream-unavailable, upstream-failed) is not told.";

/// An explanation as lines of text, in colours if it is for a terminal.
pub fn as_text(explanation: &Explanation, asked: &Asked, config: &str, colours: bool) -> String {
    let mut text = format!("{} judged by {config} at {}\n\n", request_line(asked), seen::time(asked.now));
    let rows: Vec<[String; 4]> = explanation.findings.iter().map(columns).collect();
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.filter(|width| *width <= WIDEST_COLUMN).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    for (finding, [problem, verdict, looked_at, place]) in explanation.findings.iter().zip(&rows) {
        let [first, second, third] = widths;
        let padded = format!("{verdict:<second$}");
        let verdict = if colours { coloured(finding.verdict, &padded) } else { padded };
        let line = format!("  {problem:<first$}  {verdict}  {looked_at:<third$}  {place}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "\n{}", outcome(&explanation.outcome));
    if let Some(answer) = &explanation.answer {
        let version = if asked.version == Version::Http2 { "HTTP/2" } else { "HTTP/1.1" };
        let _ = writeln!(text, "\n{version} {} {}", answer.status, answer.phrase);
        for (name, value) in &answer.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        if !answer.body.is_empty() {
            let _ = writeln!(text, "\n{}", answer.body);
        }
    }
    let _ = writeln!(text, "\n{NOT_TOLD}");
    text
}

/// An explanation as one JSON document.
pub fn as_json(explanation: &Explanation, asked: &Asked, config: &str) -> String {
    let checks: Vec<Value> = explanation.findings.iter().map(finding).collect();
    let answer = explanation.answer.as_ref().map(|answer| {
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| json!([name, value])).collect();
        // Another format than JSON is a text.
        let text = || Some(answer.body.as_str()).filter(|body| !body.is_empty()).map_or(Value::Null, Value::from);
        let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| text());
        json!({ "status": answer.status, "headers": headers, "body": body })
    });
    let outcome = match &explanation.outcome {
        Outcome::Refused { problem, reason } => json!({ "is": "refused", "problem": problem, "reason": reason }),
        Outcome::Preflight => json!({ "is": "preflight" }),
        Outcome::Told => json!({ "is": "told" }),
        Outcome::Page => json!({ "is": "page" }),
        Outcome::Forwarded { upstream, deadline_seconds, held } => {
            json!({ "is": "forwarded", "upstream": upstream, "deadline_seconds": deadline_seconds, "held": held })
        }
    };
    let document = json!({
        "config": config,
        "at": seen::time(asked.now),
        "outcome": outcome,
        "checks": checks,
        "answer": answer,
    });
    format!("{document:#}\n")
}

fn finding(finding: &Finding) -> Value {
    let place = finding
        .decided_by
        .as_ref()
        .map(|spot| json!({ "file": spot.file, "line": spot.line, "key": spot.key, "written": spot.written }));
    json!({
        "problem": finding.problem,
        "verdict": finding.verdict.word(),
        "seen": finding.seen,
        "decided_by": place,
    })
}

/// The request in a line; its query may hold secrets and is left out.
fn request_line(asked: &Asked) -> String {
    let path = asked.target.split('?').next().unwrap_or_default();
    let from = match asked.peer {
        Peer::Address(address) => address.to_string(),
        Peer::Local => "a Unix socket".to_owned(),
    };
    format!("{} {path} from {from}", asked.method)
}

fn columns(finding: &Finding) -> [String; 4] {
    let place = finding.decided_by.as_ref().map_or_else(String::new, place);
    [finding.problem.clone(), finding.verdict.word().to_owned(), finding.seen.clone(), place]
}

fn place(spot: &Location) -> String {
    let default = if spot.written { "" } else { " (not written: its default)" };
    format!("{}:{} {}{default}", spot.file, spot.line, spot.key)
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { problem, reason } => format!("The client is refused with {problem}: {reason}."),
        Outcome::Preflight => "The browser is told that it may ask.".to_owned(),
        Outcome::Page => "The client gets the page.".to_owned(),
        Outcome::Told => "The account is told of its credits, as they are at the start of a new ledger.".to_owned(),
        Outcome::Forwarded { upstream, deadline_seconds, held } => {
            let held = match held {
                Some(held) => format!(", with {} held", counted(*held, "credit")),
                None => String::new(),
            };
            format!("The request goes to the upstream {upstream}, within {deadline_seconds} s{held}.")
        }
    }
}

/// Green, red and grey, as terminals have known them since ECMA-48.
fn coloured(verdict: Verdict, text: &str) -> String {
    let colour = match verdict {
        Verdict::Pass => 32,
        Verdict::Refused => 31,
        Verdict::NotReached | Verdict::DoesNotApply => 90,
    };
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}
