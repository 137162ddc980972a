//! The content of the status pages at a moment, before it is rendered as HTML, JSON or a feed.
//!
//! It has names of products, shares and times, but no number of requests, no customer and no
//! backend.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::book::Book;
use super::history::{DAY, DAYS_KEPT, Day, Series, Tally};
use super::incident::{Incident, Kind};
use super::notice::{Matter, Moment, Notice, Stage};
use crate::policy::seconds::Seconds;

/// The windows for which availability is shown, in days of UTC; today is the last day of each.
pub const WINDOWS: [u64; 4] = [1, 7, 30, 90];

/// How often the time on the pages is updated if nothing else has changed.
pub const MINUTE: Seconds = 60;

/// The most incidents that the pages show, the newest first.
const MAX_SHOWN: usize = 50;

/// The current state of something; the worst is last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Sound,
    Maintenance,
    Failing,
    Unavailable,
}

impl State {
    /// Its name in JSON, and the suffix of its CSS class.
    pub fn word(self) -> &'static str {
        match self {
            State::Sound => "sound",
            State::Maintenance => "maintenance",
            State::Failing => "failing",
            State::Unavailable => "unavailable",
        }
    }

    /// Its text on the page.
    pub fn words(self) -> &'static str {
        match self {
            State::Sound => "No known problems",
            State::Maintenance => "Maintenance in progress",
            State::Failing => "Requests are failing",
            State::Unavailable => "Not available",
        }
    }
}

/// Everything that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The minute for which it was made.
    pub as_of: Seconds,
    pub state: State,
    /// The share of requests that must not fail, in thousandths of a percent.
    pub objective: u32,
    pub products: Vec<Product>,
    /// Ongoing ones, then past ones, each with the newest first.
    pub incidents: Vec<IncidentText>,
    /// Current notes, the newest first.
    pub notes: Vec<NoticeText>,
    /// Maintenance in progress or planned, the next first.
    pub maintenance: Vec<NoticeText>,
    /// Notes and maintenance that are over, the newest first.
    pub past: Vec<NoticeText>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub name: Arc<str>,
    pub state: State,
    pub windows: Vec<Window>,
    /// The oldest first, each day of the longest window.
    pub days: Vec<Bar>,
}

/// A number of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub days: u64,
    pub figures: Figures,
}

/// One day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub start: Seconds,
    pub figures: Figures,
}

/// How available and how fast a product was in a period. All values are `None` without traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Thousandths of a percent.
    pub availability: Option<u32>,
    /// The time within which half of the answers were sent.
    pub p50: Option<Duration>,
    /// The same for 95 % of them.
    pub p95: Option<Duration>,
}

impl Figures {
    fn of(day: &Day) -> Figures {
        Figures {
            availability: day.tally.availability(),
            p50: day.latency.percentile(50),
            p95: day.latency.percentile(95),
        }
    }
}

/// The text of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentText {
    /// It does not change while the incident is known.
    pub id: String,
    pub product: Arc<str>,
    pub kind: Kind,
    pub title: String,
    pub text: String,
    pub started: Seconds,
    pub ended: Option<Seconds>,
    /// When its text last changed.
    pub updated: Seconds,
}

/// An operator's notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeText {
    pub id: String,
    pub matter: Matter,
    pub stage: Stage,
    pub product: Option<Arc<str>>,
    pub text: Arc<str>,
    pub ended: Option<Seconds>,
    pub updated: Seconds,
}

impl Report {
    /// Makes a report about the products with these names.
    pub fn new(book: &Book, names: &[Arc<str>], now: Seconds) -> Report {
        let is_shown = |product: &Arc<str>| names.contains(product);
        let of_nothing_else = |notice: &Notice| notice.product.as_ref().is_none_or(is_shown);
        let said: Vec<NoticeText> =
            book.notices().filter(|notice| of_nothing_else(notice)).map(|notice| NoticeText::of(notice, now)).collect();
        let mut incidents: Vec<IncidentText> = book
            .incidents()
            .filter(|incident| is_shown(&incident.product))
            .take(MAX_SHOWN)
            .map(IncidentText::of)
            .collect();
        incidents.sort_by_key(|incident| incident.ended.is_some());
        let under_way = |product: &Arc<str>| {
            said.iter().any(|said| {
                said.stage == Stage::Current
                    && matches!(said.matter, Matter::Maintenance { .. })
                    && said.product.as_ref().is_none_or(|about| about == product)
            })
        };
        let products: Vec<Product> = names
            .iter()
            .map(|name| {
                let state = state(name, book, under_way(name));
                Product::of(name, state, book.history().of(name), now)
            })
            .collect();
        let state = products.iter().map(|product| product.state).max().unwrap_or(State::Sound);
        let (past, now_or_later): (Vec<NoticeText>, Vec<NoticeText>) =
            said.into_iter().partition(|said| said.stage == Stage::Past);
        let (mut notes, mut maintenance): (Vec<NoticeText>, Vec<NoticeText>) =
            now_or_later.into_iter().partition(|said| matches!(said.matter, Matter::Note { .. }));
        notes.retain(|said| said.stage == Stage::Current);
        notes.sort_by_key(|said| std::cmp::Reverse(said.begins()));
        maintenance.sort_by_key(NoticeText::begins);
        let mut past = past;
        past.sort_by_key(|said| std::cmp::Reverse(said.ended));
        past.truncate(MAX_SHOWN);
        let objective = 100_000 - book.settings().burn.budget_per_million.min(1_000_000) / 10;
        Report { as_of: now - now % MINUTE, state, objective, products, incidents, notes, maintenance, past }
    }

    /// When an incident or notice last changed, for the feed.
    pub fn updated(&self) -> Seconds {
        let incidents = self.incidents.iter().map(|told| told.updated);
        let said = self.notes.iter().chain(&self.maintenance).chain(&self.past).map(|said| said.updated);
        incidents.chain(said).max().unwrap_or(0)
    }
}

fn state(name: &Arc<str>, book: &Book, maintenance: bool) -> State {
    let open = book.incidents().filter(|incident| incident.ended.is_none() && incident.product == *name);
    let by_incident = open.map(|incident| incident.kind.state());
    let by_plan = if maintenance { State::Maintenance } else { State::Sound };
    by_incident.max().unwrap_or(by_plan)
}

impl Kind {
    /// The state of a product during an incident of this kind.
    pub fn state(self) -> State {
        match self {
            Kind::Failures => State::Failing,
            Kind::Backend => State::Unavailable,
        }
    }
}

impl Product {
    fn of(name: &Arc<str>, state: State, series: Option<&Series>, now: Seconds) -> Product {
        let figures = |days| series.map_or(Figures::default(), |series| Figures::of(&series.days(now, days)));
        let windows = WINDOWS.into_iter().map(|days| Window { days, figures: figures(days) });
        let today = now - now % DAY;
        let bar = |ago: u64| {
            let start = today.saturating_sub(ago * DAY);
            let day = series.and_then(|series| series.day(start));
            Bar { start, figures: day.map_or(Figures::default(), Figures::of) }
        };
        let days = (0..DAYS_KEPT).rev().map(bar);
        Product { name: Arc::clone(name), state, windows: windows.collect(), days: days.collect() }
    }
}

impl IncidentText {
    fn of(incident: &Incident) -> IncidentText {
        let Incident { product, kind, started, ended, rule: _, tally } = incident;
        let title = match (kind, ended) {
            (Kind::Failures, None) => format!("{product}: requests are failing"),
            (Kind::Failures, Some(_)) => format!("{product}: requests failed"),
            (Kind::Backend, None) => format!("{product}: the lookup service cannot be reached"),
            (Kind::Backend, Some(_)) => format!("{product}: the lookup service could not be reached"),
        };
        let share = share(*tally);
        let when = match ended {
            Some(ended) => format!("From {}, for {}", span(*started, *ended), lasting(ended - started)),
            None => format!("Since {}", moment(*started)),
        };
        let what = match (kind, ended) {
            (Kind::Failures, None) => "requests have been failing through no fault of the client.",
            (Kind::Failures, Some(_)) => "requests failed through no fault of the client.",
            (Kind::Backend, None) => "no server behind this product has passed its health checks.",
            (Kind::Backend, Some(_)) => "no server behind this product passed its health checks.",
        };
        let share = match (share, ended) {
            (None, _) => String::new(),
            (Some(share), None) => format!(" {share} of the requests since then could not be answered."),
            (Some(share), Some(_)) => format!(" {share} of the requests in that time could not be answered."),
        };
        IncidentText {
            id: format!("{product}-{}-{started}", kind.word()),
            product: Arc::clone(product),
            kind: *kind,
            title,
            text: format!("{when}, {what}{share}"),
            started: *started,
            ended: *ended,
            updated: ended.unwrap_or(*started),
        }
    }
}

impl NoticeText {
    fn of(notice: &Notice, now: Seconds) -> NoticeText {
        let id = match notice.id {
            Some(id) => format!("notice-{id}"),
            None => format!("notice-{}-{}", notice.matter.word(), notice.begins()),
        };
        NoticeText {
            id,
            matter: notice.matter,
            stage: notice.stage(now),
            product: notice.product.clone(),
            text: Arc::clone(&notice.text),
            ended: notice.ends().filter(|ended| *ended <= now),
            updated: notice.updated(),
        }
    }

    /// When it begins.
    pub fn begins(&self) -> Seconds {
        match self.matter {
            Matter::Note { at } => at,
            Matter::Maintenance { from, .. } => from,
        }
    }

    /// Its heading: what it is and when.
    pub fn heading(&self) -> String {
        let about = self.product.as_ref().map_or(String::new(), |product| format!("{product}: "));
        match self.matter {
            Matter::Note { at } => format!("{about}Note of {}", moment(at)),
            Matter::Maintenance { from, to } => {
                let to = self.ended.unwrap_or(to);
                let what = match self.stage {
                    Stage::Planned => "Planned maintenance",
                    Stage::Current => "Maintenance in progress",
                    // It was called off before it began.
                    Stage::Past if to <= from => return format!("{about}Maintenance of {}, called off", moment(from)),
                    Stage::Past => "Maintenance",
                };
                format!("{about}{what}, {}", span(from, to))
            }
        }
    }
}

/// The share of failed requests as text; `None` without requests.
fn share(tally: Tally) -> Option<String> {
    let hundred = u128::from(tally.failed) * 100;
    let percent = hundred.checked_div(u128::from(tally.total()))?;
    Some(if tally.answered == 0 {
        "All".to_owned()
    } else if tally.failed == 0 {
        "None".to_owned()
    } else if percent == 0 {
        "Less than 1 %".to_owned()
    } else {
        format!("About {percent} %")
    })
}

/// A time as text.
pub fn moment(at: Seconds) -> String {
    Moment(at).utc().format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A day as text.
pub fn day(at: Seconds) -> String {
    Moment(at).utc().format("%-d %B %Y").to_string()
}

/// A period as text.
fn span(from: Seconds, to: Seconds) -> String {
    let utc = |at: Seconds| -> DateTime<Utc> { Moment(at).utc() };
    if from / DAY == to / DAY {
        format!("{} to {}", utc(from).format("%-d %B %Y, %H:%M"), utc(to).format("%H:%M UTC"))
    } else {
        format!("{} to {}", moment(from), moment(to))
    }
}

/// A duration as text.
fn lasting(seconds: Seconds) -> String {
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let minutes = seconds.div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => counted(minutes, "minute"),
        (hours, 0) => counted(hours, "hour"),
        (hours, minutes) => format!("{} {}", counted(hours, "hour"), counted(minutes, "minute")),
    }
}

/// Thousandths of a percent as a percentage with as many decimals as needed, at most three.
pub fn percent(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A response time as text.
pub fn duration(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 10_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else if micros < 1_000_000 {
        format!("{} ms", micros / 1000)
    } else {
        format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
