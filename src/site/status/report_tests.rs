//! The content of the pages, and that HTML, JSON and feed can be parsed.

use serde_json::Value;

use super::*;
use crate::site::brand::Site;
use crate::site::status::history::HOUR;
use crate::site::status::{StatusSettings, example, feed, html, json};

const NOW: Seconds = 20_000 * DAY + 15 * HOUR + 12;

/// Characters that HTML and XML have to escape.
const ODD: &str = "a<b>&\"'c";

fn names() -> Vec<Arc<str>> {
    vec!["plate".into(), ODD.into(), "quiet".into()]
}

fn site() -> Site {
    Site {
        name: "Example & Co".into(),
        public_url: "https://api.example.com/docs".into(),
        link_base: "/docs".into(),
        served_base: "/docs".into(),
        ..Site::default()
    }
}

fn example() -> Report {
    let mut book = Book::new(StatusSettings::default());
    example::fill(&mut book, &names()[..2], NOW);
    for mut notice in example::notices(&names(), NOW) {
        notice.id = Some(book.next_number());
        book.add(notice, NOW);
    }
    Report::new(&book, &names(), NOW)
}

#[test]
fn a_product_without_requests_has_no_data_and_not_100_percent() {
    let report = example();
    let quiet = &report.products[2];
    assert_eq!(quiet.state, State::Sound);
    assert!(quiet.windows.iter().all(|window| window.figures == Figures::default()));
    assert!(quiet.days.iter().all(|day| day.figures == Figures::default()));
    let text = html::html(&report, &site()).unwrap();
    let quiet = text.split("<section").find(|section| section.contains(">quiet</h2>")).unwrap();
    assert!(quiet.contains("no data") && !quiet.contains("100 %"), "{quiet}");
    assert_eq!(json::json(&report)["products"][2]["windows"][0]["availability_percent"], Value::Null);
}

#[test]
fn windows_are_today_7_30_and_90_days_and_bars_are_90_days() {
    let report = example();
    for product in &report.products {
        assert_eq!(product.windows.iter().map(|window| window.days).collect::<Vec<_>>(), [1, 7, 30, 90]);
        assert_eq!(product.days.len(), 90);
        assert_eq!(product.days.last().unwrap().start, NOW - NOW % DAY);
        assert!(product.days.windows(2).all(|pair| pair[1].start - pair[0].start == DAY));
    }
}

#[test]
fn the_json_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(json::SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for report in [example(), Report::new(&Book::new(StatusSettings::default()), &names(), NOW)] {
        let value = json::json(&report);
        let wrong: Vec<String> =
            schema.iter_errors(&value).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    let mut value = json::json(&example());
    value["products"][0]["requests"] = 7.into();
    assert!(!schema.is_valid(&value), "the schema accepts anything");
}

#[test]
fn the_feed_is_read_back_as_it_was_meant() {
    let report = example();
    let text = feed::feed(&report, &site());
    let read: atom_syndication::Feed = text.parse().unwrap();
    let said = report.notes.len() + report.maintenance.len() + report.past.len();
    assert_eq!(read.entries.len(), report.incidents.len() + said);
    assert_eq!(read.id, "https://api.example.com/docs/status.atom");
    let mut ids: Vec<&str> = read.entries.iter().map(|entry| &*entry.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), read.entries.len(), "two entries with one id");
    assert!(ids.iter().all(|id| id.starts_with("https://api.example.com/docs/status#") && !id.contains('<')));
    assert!(read.entries.windows(2).all(|pair| pair[0].updated >= pair[1].updated), "the newest first");
    assert_eq!(read.updated, read.entries[0].updated);
    let odd = read.entries.iter().find(|entry| entry.title.value.contains(ODD));
    assert!(odd.is_some(), "the odd name is whole again: {text}");
}

#[test]
fn every_link_within_the_page_leads_somewhere_and_ids_are_unique() {
    let report = example();
    let text = html::html(&report, &site()).unwrap();
    assert!(!text.contains(ODD) && text.contains("a&#60;b&#62;&#38;&#34;&#39;c"), "names are escaped");
    let mut ids: Vec<&str> = text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id is there twice");
    let links = text.split("=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    for link in links {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
    // Entries of the feed link to their place on the page.
    let feed: atom_syndication::Feed = feed::feed(&report, &site()).parse().unwrap();
    for entry in &feed.entries {
        let (_, anchor) = entry.links[0].href.split_once('#').unwrap();
        assert!(ids.contains(&anchor), "{anchor} is not on the page");
    }
}

#[test]
fn the_page_needs_no_script_and_no_style_of_its_own() {
    let text = html::html(&example(), &site()).unwrap();
    for word in ["<script", "style=", "<style", " onclick", "javascript:", "<iframe", "http://"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn figures_are_written_for_people() {
    for (thousandths, expected) in
        [(100_000, "100 %"), (99_999, "99.999 %"), (99_970, "99.97 %"), (99_000, "99 %"), (0, "0 %"), (5, "0.005 %")]
    {
        assert_eq!(percent(thousandths), expected);
    }
    for (micros, expected) in [
        (830, "0.8 ms"),
        (9_999, "9.9 ms"),
        (38_400, "38 ms"),
        (999_999, "999 ms"),
        (1_250_000, "1.2 s"),
        (61_000_000, "61.0 s"),
    ] {
        assert_eq!(duration(Duration::from_micros(micros)), expected);
    }
    for (seconds, expected) in
        [(1, "1 minute"), (60, "1 minute"), (61, "2 minutes"), (3600, "1 hour"), (7_500, "2 hours 5 minutes")]
    {
        assert_eq!(lasting(seconds), expected);
    }
    let day = 20_000 * DAY;
    assert_eq!(span(day + 3600, day + 7200), "4 October 2024, 01:00 to 02:00 UTC");
    assert_eq!(span(day + 3600, day + DAY), "4 October 2024, 01:00 UTC to 5 October 2024, 00:00 UTC");
}

#[test]
fn shares_never_round_to_all_or_none() {
    for (answered, failed, expected) in [
        (0, 0, None),
        (0, 5, Some("All")),
        (5, 0, Some("None")),
        (1000, 1, Some("Less than 1 %")),
        (63, 37, Some("About 37 %")),
        (1, 1_000_000, Some("About 99 %")),
    ] {
        assert_eq!(share(Tally { answered, failed }).as_deref(), expected);
    }
}

#[test]
fn a_state_is_the_worst_that_is_known() {
    let incident = |kind, ended| Incident {
        product: "plate".into(),
        kind,
        started: NOW - 100,
        ended,
        rule: 0,
        tally: Tally::default(),
    };
    let maintenance = Notice {
        id: None,
        matter: Matter::Maintenance { from: NOW - 10, to: NOW + 10 },
        product: None,
        text: "x".into(),
        written: NOW,
        by: "x".into(),
        closed: None,
    };
    for (incidents, planned, expected) in [
        (vec![], false, State::Sound),
        (vec![incident(Kind::Failures, Some(NOW - 1))], false, State::Sound),
        (vec![], true, State::Maintenance),
        (vec![incident(Kind::Failures, None)], true, State::Failing),
        (vec![incident(Kind::Failures, None), incident(Kind::Backend, None)], false, State::Unavailable),
    ] {
        let mut book = Book::new(StatusSettings::default());
        book.absorb(&[], incidents, if planned { vec![maintenance.clone()] } else { vec![] });
        let report = Report::new(&book, &names()[..1], NOW);
        assert_eq!((report.state, report.products[0].state), (expected, expected));
    }
}

#[test]
fn nothing_is_said_of_products_that_are_not_in_force() {
    let mut book = Book::new(StatusSettings::default());
    example::fill(&mut book, &names()[..2], NOW);
    let report = Report::new(&book, &names()[..1], NOW);
    assert!(report.incidents.iter().all(|told| *told.product == *"plate"));
    assert_eq!(report.products.len(), 1);
}
