//! Incidents, as a table and against a simple model.

use proptest::prelude::*;

use super::*;

const SETTLE: Seconds = 30;

/// One letter for each ten seconds: b bad, w worse (a faster rule), - between, c calm. The effect
/// of each: O opened, W worsened, C closed, a dot for nothing.
#[test]
fn incidents_open_at_once_and_close_when_all_has_been_calm() {
    for (readings, changes) in [
        ("ccccc", "....."),
        ("cbccccc", ".O...C."),
        ("cbcc-cccc", ".O......C"),
        ("cbccbcccc", ".O......C"),
        ("-----", "....."),
        ("bbbb", "O..."),
        ("bwbcccc", "OW....C"),
        ("bccccbcccc", "O...CO...C"),
        ("wbbb", "O..."),
    ] {
        let mut watch = IncidentDetector::default();
        let mut now = 1000;
        let found: String = readings.chars().map(|letter| watched(&mut watch, letter, &mut now)).collect();
        assert_eq!(found, changes, "{readings}");
    }
}

fn watched(watch: &mut IncidentDetector, letter: char, now: &mut Seconds) -> char {
    *now += 10;
    let reading = match letter {
        'b' => Measurement::Bad { since: *now, rule: 1 },
        'w' => Measurement::Bad { since: *now, rule: 0 },
        '-' => Measurement::Between,
        _ => Measurement::Calm { since: *now },
    };
    match watch.step(*now, reading, SETTLE) {
        Change::Nothing => '.',
        Change::Opened { .. } => 'O',
        Change::Worsened { .. } => 'W',
        Change::Closed { .. } => 'C',
    }
}

#[test]
fn an_incident_has_the_times_of_what_happened_and_not_of_when_it_was_seen() {
    let mut watch = IncidentDetector::default();
    let opened = watch.step(1000, Measurement::Bad { since: 940, rule: 0 }, SETTLE);
    assert_eq!(opened, Change::Opened { started: 940, rule: 0 });
    assert_eq!(watch.step(1300, Measurement::Calm { since: 1200 }, SETTLE), Change::Nothing);
    assert_eq!(watch.step(1330, Measurement::Calm { since: 1330 }, SETTLE), Change::Closed { ended: 1200 });
    // The next one does not begin before this one's end.
    let again = watch.step(1340, Measurement::Bad { since: 900, rule: 0 }, SETTLE);
    assert_eq!(again, Change::Opened { started: 1200, rule: 0 });
}

#[test]
fn a_watch_goes_on_with_the_incidents_of_an_earlier_process() {
    let incident = |ended| Incident {
        product: "plate".into(),
        kind: Kind::Failures,
        started: 900,
        ended,
        rule: 1,
        tally: Tally::default(),
    };
    let mut watch = IncidentDetector::default();
    watch.resume(&incident(Some(950)));
    assert_eq!((watch.told_until(), watch.open_rule()), (950, None));
    watch.resume(&incident(None));
    assert_eq!(watch.open_rule(), Some(1));
    assert_eq!(
        watch.step(1000, Measurement::Bad { since: 990, rule: 1 }, SETTLE),
        Change::Nothing,
        "it is open already"
    );
}

/// A simple model: it looks at all measurements so far each time.
#[derive(Default)]
struct Model {
    is_open: bool,
    calm_since: Option<Seconds>,
}

impl Model {
    fn step(&mut self, now: Seconds, reading: Measurement) {
        match (self.is_open, reading) {
            (false, Measurement::Bad { .. }) => *self = Model { is_open: true, calm_since: None },
            (false, _) | (true, Measurement::Bad { .. } | Measurement::Between) => self.calm_since = None,
            (true, Measurement::Calm { .. }) => {
                let since = *self.calm_since.get_or_insert(now);
                if now - since >= SETTLE {
                    *self = Model::default();
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_readings_make_whole_incidents_one_after_the_other(
        steps in proptest::collection::vec((1_u64..40, 0_u8..4, 0_u64..100), 1..200),
    ) {
        let (mut watch, mut model) = (IncidentDetector::default(), Model::default());
        let mut now = 10_000;
        let mut incidents: Vec<(Seconds, Option<Seconds>)> = Vec::new();
        for (pause, kind, ago) in steps {
            now += pause;
            let since = now - ago;
            let reading = match kind {
                0 => Measurement::Bad { since, rule: 0 },
                1 => Measurement::Bad { since, rule: 1 },
                2 => Measurement::Between,
                _ => Measurement::Calm { since },
            };
            let rule_before = watch.open_rule();
            match watch.step(now, reading, SETTLE) {
                Change::Nothing => {}
                Change::Worsened { rule } => prop_assert!(rule_before.is_some_and(|before| rule < before)),
                Change::Opened { started, .. } => {
                    prop_assert!(started <= now);
                    prop_assert!(rule_before.is_none());
                    let before = incidents.last().map_or(0, |(_, ended)| ended.unwrap());
                    prop_assert!(started >= before, "{started} before {before}");
                    prop_assert!(incidents.last().is_none_or(|(known, _)| *known != started), "two with one start");
                    incidents.push((started, None));
                }
                Change::Closed { ended } => {
                    let (started, open) = incidents.last_mut().unwrap();
                    prop_assert!(open.is_none() && *started < ended && ended <= now);
                    *open = Some(ended);
                }
            }
            model.step(now, reading);
            prop_assert_eq!(watch.open_rule().is_some(), model.is_open);
        }
    }
}
