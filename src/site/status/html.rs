//! The status page for people, `/status`. Its layout is in `templates/status.html`.

use askama::Template;

use super::feed::{FEED, PAGE, anchor};
use super::history::DAYS_KEPT;
use super::report::{self, Bar, Figures, IncidentText, NoticeText, Product, Report, State};
use crate::site::brand::Site;
use crate::site::pages::shell::Shell;

/// The paths of the JSON and of its schema, without the site's base.
pub const JSON: &str = "/status.json";
pub const SCHEMA: &str = "/status.schema.json";

/// The size of a bar in units of the drawing: the distance between bars, its width, and its height.
const PITCH: u64 = 10;
const BREADTH: u64 = 7;
const HEIGHT: u64 = 40;

/// The page; `None` if it cannot be rendered, which a test rules out.
pub fn html(report: &Report, site: &Site) -> Option<String> {
    let description = format!("How available and how fast {} is, and what was wrong.", site.name);
    let mut shell = Shell::new(site, PAGE, "Status", description);
    shell.alternate = Some("application/json");
    let page = StatusHtml {
        shell,
        feed: FEED,
        json: JSON,
        schema: SCHEMA,
        state: report.state,
        summary: summary(report),
        as_of: report::moment(report.as_of),
        objective: report::percent(report.objective),
        products: report.products.iter().map(|product| shown(product, report.objective)).collect(),
        open: report.incidents.iter().filter(|told| told.ended.is_none()).collect(),
        past_incidents: report.incidents.iter().filter(|told| told.ended.is_some()).collect(),
        report,
    };
    page.render().inspect_err(|_| log::error!(target: "tollgate::status", "the status page cannot be rendered")).ok()
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusHtml<'r> {
    shell: Shell<'r>,
    feed: &'static str,
    json: &'static str,
    schema: &'static str,
    state: State,
    summary: String,
    as_of: String,
    objective: String,
    products: Vec<Shown<'r>>,
    open: Vec<&'r IncidentText>,
    past_incidents: Vec<&'r IncidentText>,
    report: &'r Report,
}

impl IncidentText {
    /// The fragment that links to it.
    fn anchor(&self) -> String {
        anchor(&self.id)
    }
}

impl NoticeText {
    /// The fragment that links to it.
    fn anchor(&self) -> String {
        anchor(&self.id)
    }
}

/// A product as the page shows it.
struct Shown<'r> {
    name: &'r str,
    anchor: String,
    state: State,
    rows: Vec<Row>,
    drawing: String,
    /// The text alternative of the chart.
    drawn: String,
    first_day: String,
    bars: Vec<Drawn>,
    days: Vec<Row>,
}

/// A row of a table: the period, availability, and two response times.
struct Row {
    of: String,
    availability: String,
    p50: String,
    p95: String,
}

/// One bar of a chart.
struct Drawn {
    x: u64,
    y: u64,
    breadth: u64,
    height: u64,
    class: &'static str,
    title: String,
}

/// How good a day was, shown by the height of its bar as well as by its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Within the objective.
    Good,
    /// Below it.
    Some,
    /// At least ten times as many failures as the objective allows.
    Bad,
    /// No requests.
    None,
}

impl Level {
    fn of(figures: &Figures, objective: u32) -> Level {
        let allowed = 100_000_u32.saturating_sub(objective);
        match figures.availability {
            None => Level::None,
            Some(part) if part >= objective => Level::Good,
            Some(part) if 100_000_u32.saturating_sub(part) <= allowed.saturating_mul(10) => Level::Some,
            Some(_) => Level::Bad,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Some => "some",
            Level::Bad => "bad",
            Level::None => "none",
        }
    }

    fn height(self) -> u64 {
        match self {
            Level::Good => HEIGHT,
            Level::Some => HEIGHT * 7 / 10,
            Level::Bad => HEIGHT * 4 / 10,
            Level::None => HEIGHT / 10,
        }
    }
}

fn summary(report: &Report) -> String {
    let troubled = |state: State| -> Vec<&str> {
        report.products.iter().filter(|product| product.state == state).map(|product| &*product.name).collect()
    };
    let state = report.state;
    match state {
        State::Sound => state.words().to_owned(),
        State::Maintenance | State::Failing | State::Unavailable => {
            format!("{}: {}", state.words(), troubled(state).join(", "))
        }
    }
}

fn shown(product: &Product, objective: u32) -> Shown<'_> {
    let Product { name, state, windows, days } = product;
    let levels: Vec<Level> = days.iter().map(|day| Level::of(&day.figures, objective)).collect();
    let bars = (0..).zip(days).zip(&levels).map(|((index, day), level)| drawn(index, day, *level));
    let rows = windows.iter().map(|window| {
        let of = if window.days == 1 { "Today".to_owned() } else { format!("{} days", window.days) };
        row(of, &window.figures)
    });
    Shown {
        name,
        anchor: anchor(&format!("product-{name}")),
        state: *state,
        rows: rows.collect(),
        drawing: format!("0 0 {} {HEIGHT}", DAYS_KEPT * PITCH),
        drawn: in_words(&levels),
        first_day: days.first().map(|day| report::day(day.start)).unwrap_or_default(),
        bars: bars.collect(),
        days: days.iter().rev().map(|day| row(report::day(day.start), &day.figures)).collect(),
    }
}

fn drawn(index: u64, day: &Bar, level: Level) -> Drawn {
    let height = level.height();
    Drawn {
        x: index * PITCH,
        y: HEIGHT - height,
        breadth: BREADTH,
        height,
        class: level.class(),
        title: format!("{}: {}", report::day(day.start), availability(&day.figures)),
    }
}

fn in_words(levels: &[Level]) -> String {
    let count = |wanted: Level| levels.iter().filter(|level| **level == wanted).count();
    let parts = [
        (count(Level::Good), "within the objective"),
        (count(Level::Some), "below it"),
        (count(Level::Bad), "far below it"),
        (count(Level::None), "without requests"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("The last {} days: {}.", levels.len(), said.join(", "))
}

fn row(of: String, figures: &Figures) -> Row {
    let time = |time: Option<std::time::Duration>| time.map_or_else(|| "–".to_owned(), report::duration);
    Row { of, availability: availability(figures), p50: time(figures.p50), p95: time(figures.p95) }
}

fn availability(figures: &Figures) -> String {
    figures.availability.map_or_else(|| "no data".to_owned(), report::percent)
}
