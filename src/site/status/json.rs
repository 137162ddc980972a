//! The status for programs, `/status.json`. Its schema, `status.schema.json`, explains the members.

use std::time::Duration;

use serde_json::{Value, json};

use super::notice::{Matter, Moment, Stage};
use super::report::{Bar, Figures, IncidentText, NoticeText, Product, Report, Window};

/// Its JSON Schema, as published.
pub const SCHEMA: &str = include_str!("status.schema.json");

/// The whole report.
pub fn json(report: &Report) -> Value {
    let Report { as_of, state, objective, products, incidents, notes, maintenance, past } = report;
    let said = |list: &[NoticeText]| list.iter().map(notice).collect::<Vec<_>>();
    json!({
        "as_of": Moment(*as_of),
        "state": state.word(),
        "objective_percent": percent(*objective),
        "products": products.iter().map(product).collect::<Vec<_>>(),
        "incidents": incidents.iter().map(incident).collect::<Vec<_>>(),
        "notes": said(notes),
        "maintenance": said(maintenance),
        "past": said(past),
    })
}

fn product(product: &Product) -> Value {
    let Product { name, state, windows, days } = product;
    let window = |Window { days, figures }: &Window| with(json!({ "days": days }), *figures);
    let day = |Bar { start, figures }: &Bar| {
        with(json!({ "day": Moment(*start).utc().format("%Y-%m-%d").to_string() }), *figures)
    };
    json!({
        "name": &**name,
        "state": state.word(),
        "windows": windows.iter().map(window).collect::<Vec<_>>(),
        "days": days.iter().map(day).collect::<Vec<_>>(),
    })
}

/// Adds figures to an object.
fn with(mut object: Value, figures: Figures) -> Value {
    let Figures { availability, p50, p95 } = figures;
    if let Some(members) = object.as_object_mut() {
        members.insert("availability_percent".to_owned(), json!(availability.map(percent)));
        members.insert("p50_ms".to_owned(), json!(p50.map(milliseconds)));
        members.insert("p95_ms".to_owned(), json!(p95.map(milliseconds)));
    }
    object
}

fn incident(told: &IncidentText) -> Value {
    let IncidentText { id, product, kind, title, text, started, ended, updated: _ } = told;
    json!({
        "id": id,
        "product": &**product,
        "kind": kind.word(),
        "title": title,
        "text": text,
        "started": Moment(*started),
        "ended": ended.map(Moment),
    })
}

fn notice(said: &NoticeText) -> Value {
    let stage = match said.stage {
        Stage::Planned => "planned",
        Stage::Current => "current",
        Stage::Past => "past",
    };
    let to = match said.matter {
        Matter::Note { .. } => said.ended,
        Matter::Maintenance { to, .. } => Some(said.ended.unwrap_or(to)),
    };
    json!({
        "id": said.id,
        "kind": said.matter.word(),
        "stage": stage,
        "product": said.product.as_deref(),
        "text": &*said.text,
        "from": Moment(said.begins()),
        "to": to.map(Moment),
    })
}

fn percent(thousandths: u32) -> f64 {
    f64::from(thousandths) / 1000.0
}

/// Milliseconds with three decimals, at most an hour.
fn milliseconds(time: Duration) -> f64 {
    const MOST: u32 = 3_600_000_000;
    f64::from(u32::try_from(time.as_micros()).unwrap_or(MOST).min(MOST)) / 1000.0
}
