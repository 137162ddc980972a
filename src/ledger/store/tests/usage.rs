//! Usage and refusals: adding, pages, limits, and what is not kept any more.

use super::*;
use crate::ledger::store::refusals::{self, MOST_AN_HOUR, RefusalPage};
use crate::ledger::store::usage::{self, Span, UsageLine, UsagePage};
use crate::ledger::store::{tokens, upkeep};
use crate::policy::account::Digest;
use crate::telemetry::usage::{HOUR_MS, MINUTE_MS, RefusalRow, UsageRow};

on_both_engines! {
    usage_is_added_up_and_read_in_pages_of_any_size,
    the_last_use_of_a_token_is_its_own_also_beside_the_one_that_replaces_it,
    refusals_have_a_limit_for_each_account_and_hour,
    what_is_older_than_it_is_kept_is_removed,
    the_release_before_can_use_a_store_of_this_layout,
}

fn used(hour: i64, account: &str, token: &str, outcome: &str, requests: u64) -> UsageRow {
    UsageRow {
        hour,
        account: account.into(),
        token: token.into(),
        digest: Digest::of(token.as_bytes()),
        product: "plate".into(),
        outcome: outcome.into(),
        requests,
        credits: if outcome.is_empty() { 2 * requests } else { 0 },
        watched: [requests, 0],
        last_at: hour + 7,
    }
}

fn refused(minute: i64, account: &str, address: &str) -> RefusalRow {
    RefusalRow {
        minute,
        account: account.into(),
        token: "web".into(),
        product: "plate".into(),
        problem: "ip-not-allowed".into(),
        is_watched: false,
        reason: "the client address is in none of the token's networks",
        address: address.to_owned(),
        host: String::new(),
        requests: 1,
        transaction: [1; 16],
    }
}

/// All lines, read a page at a time.
fn lines(connection: &Connection, wanted: &UsagePage, rows: u32) -> Vec<UsageLine> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = usage::page(connection, &UsagePage { after, rows, ..wanted.clone() }).unwrap().unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.id);
        all.extend(page);
    }
}

fn usage_is_added_up_and_read_in_pages_of_any_size() {
    let mut bench = Bench::new("usage");
    let hour = |number: i64| NOW + number * HOUR_MS;
    for _ in 0..2 {
        // As two processes would, or two turns of one.
        let rows: Vec<UsageRow> = (0..3)
            .flat_map(|number| {
                [
                    used(hour(number), "acme", "web", "", 5),
                    used(hour(number), "acme", "app", "", 1),
                    used(hour(number), "acme", "web", "rate-exceeded", 2),
                    used(hour(number + 24), "bee", "web", "", 1),
                ]
            })
            .collect();
        usage::add(&mut bench.connection, &rows, &[]).unwrap();
    }
    let told = |wanted: &UsagePage, rows| -> Vec<(i64, String, i64, i64, i64)> {
        let lines = lines(&bench.connection, wanted, rows);
        let told = |line: UsageLine| {
            let what = format!("{} {} {}", line.account, line.token, line.outcome);
            ((line.at - NOW) / HOUR_MS, what, line.requests, line.credits, line.watched_networks)
        };
        lines.into_iter().map(told).collect()
    };
    let by_hour = told(&UsagePage::default(), 100);
    assert_eq!(by_hour.len(), 12);
    assert_eq!(by_hour[0], (0, "acme app ".to_owned(), 2, 4, 2));
    assert_eq!(by_hour[1], (0, "acme web ".to_owned(), 10, 20, 10));
    assert_eq!(by_hour[2], (0, "acme web rate-exceeded".to_owned(), 4, 0, 4));
    assert_eq!(by_hour[11], (26, "bee web ".to_owned(), 2, 4, 2));
    let day = UsagePage { span: Span::Day, ..UsagePage::default() };
    let by_day = told(&day, 100);
    assert_eq!(by_day[1], (0, "acme web ".to_owned(), 30, 60, 30));
    assert_eq!(by_day[3], (24, "bee web ".to_owned(), 6, 12, 6));
    for rows in 1..5 {
        assert_eq!(told(&UsagePage::default(), rows), by_hour, "{rows} a page");
        assert_eq!(told(&day, rows), by_day, "{rows} a page");
    }
    let some = |text: &str| Some(text.to_owned());
    for (wanted, number) in [
        (UsagePage { account: some("bee"), ..UsagePage::default() }, 3),
        (UsagePage { account: some("nobody"), ..UsagePage::default() }, 0),
        (UsagePage { token: some("app"), ..UsagePage::default() }, 3),
        (UsagePage { product: some("vat"), ..UsagePage::default() }, 0),
        (UsagePage { outcome: some(""), ..UsagePage::default() }, 9),
        (UsagePage { outcome: some("rate-exceeded"), ..UsagePage::default() }, 3),
        (UsagePage { since: Some(hour(1)), ..UsagePage::default() }, 9),
        (UsagePage { since: Some(hour(1)), until: Some(hour(2)), ..UsagePage::default() }, 3),
        (UsagePage { account: some("acme"), outcome: some(""), since: Some(hour(2)), ..day.clone() }, 2),
    ] {
        for rows in [1, 2, 100] {
            assert_eq!(lines(&bench.connection, &wanted, rows).len(), number, "{wanted:?} with {rows} a page");
        }
    }
    let gone = UsagePage { after: Some(9999), rows: 5, ..UsagePage::default() };
    assert_eq!(usage::page(&bench.connection, &gone).unwrap(), None);
}

fn the_last_use_of_a_token_is_its_own_also_beside_the_one_that_replaces_it() {
    let mut bench = Bench::new("last-use");
    let account = bench.done(|writing| crate::ledger::store::accounts::create(writing, &draft("acme"))).id;
    let old = bench.done(|writing| tokens::create(writing, &account, &token("web")));
    let (id, secret) = (old.token.id.clone(), old.secret.clone());
    let made = bench.try_do(|writing| {
        let made = tokens::rotate(writing, &account, &id, None, 1000)?;
        Ok((made.secret.unwrap_or_default(), made.token.id))
    });
    let (new_secret, new_id) = made.unwrap().value;
    let use_of = |secret: &str, at: i64| UsageRow {
        digest: Digest::of(secret.as_bytes()),
        last_at: at,
        ..used(NOW, "acme", "web", "", 1)
    };
    // What an account asks about itself is no usage, but its token was used.
    let enquiry = UsageRow { product: "".into(), ..use_of(&new_secret, NOW + 900) };
    // The secret of the first one is not kept by a transaction's answer that was repeated; it was made here.
    let old_secret = secret.unwrap();
    let rows = [use_of(&old_secret, NOW + 700), use_of(&old_secret, NOW + 300), enquiry];
    usage::add(&mut bench.connection, &rows, &[]).unwrap();
    let mut uses = usage::last_uses(&bench.connection, &account).unwrap();
    uses.sort_by_key(|(_, at)| *at);
    assert_eq!(uses, [(id, NOW + 700), (new_id, NOW + 900)]);
    let wanted = UsagePage { rows: 9, ..UsagePage::default() };
    let requests: Vec<i64> =
        usage::page(&bench.connection, &wanted).unwrap().unwrap().iter().map(|line| line.requests).collect();
    assert_eq!(requests, [2], "both tokens have one name, and count together");
}

fn refusals_have_a_limit_for_each_account_and_hour() {
    let mut bench = Bench::new("refusals");
    let rows: Vec<RefusalRow> = (0..150).map(|number| refused(NOW, "acme", &format!("192.0.2.{number}"))).collect();
    usage::add(&mut bench.connection, &[], &rows[..120]).unwrap();
    usage::add(&mut bench.connection, &[], &rows).unwrap();
    let other = [refused(NOW, "bee", "198.51.100.1"), refused(NOW + HOUR_MS, "acme", "198.51.100.2")];
    usage::add(&mut bench.connection, &[], &other).unwrap();
    let all = RefusalPage { rows: 1000, ..RefusalPage::default() };
    let found = refusals::page(&bench.connection, &all).unwrap();
    assert_eq!(i64::try_from(found.len()).unwrap(), MOST_AN_HOUR + 1 + 2);
    assert_eq!(found.iter().map(|row| row.requests).sum::<i64>(), 120 + 150 + 2, "none is lost");
    assert_eq!(found.iter().find(|row| row.address.is_empty()).unwrap().requests, 20 + 50);
    assert_eq!((&*found[0].account, &*found[0].address), ("acme", "198.51.100.2"), "the newest first");
    let page = |wanted: RefusalPage| refusals::page(&bench.connection, &wanted).unwrap();
    let second = page(RefusalPage { before: Some(found[1].id), rows: 1, ..RefusalPage::default() });
    assert_eq!(second[..], found[2..3]);
    assert_eq!(page(RefusalPage { account: Some("bee".to_owned()), ..all.clone() }).len(), 1);
    assert_eq!(page(RefusalPage { since: Some(NOW + MINUTE_MS), ..all.clone() }).len(), 1);
    assert_eq!(page(RefusalPage { problem: Some("rate-exceeded".to_owned()), ..all }).len(), 0);
}

fn what_is_older_than_it_is_kept_is_removed() {
    let mut bench = Bench::new("kept");
    let (usage_ms, refusals_ms) = (400 * 24 * HOUR_MS, 3 * 24 * HOUR_MS);
    let hours = [NOW - usage_ms - HOUR_MS, NOW - usage_ms + HOUR_MS];
    let rows = hours.map(|hour| used(hour, "acme", &format!("at {hour}"), "", 1));
    let refused = [NOW - refusals_ms - MINUTE_MS, NOW - refusals_ms + MINUTE_MS].map(|at| refused(at, "acme", "::1"));
    usage::add(&mut bench.connection, &rows, &refused).unwrap();
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW).unwrap());
    let count = |table: &str| bench.rows().into_iter().find(|(name, _)| name == table).unwrap().1;
    assert_eq!((count("usage_hour"), count("token_use"), count("refusal")), (1, 1, 1));
    assert_eq!(lines(&bench.connection, &UsagePage::default(), 9)[0].at, hours[1]);
}

/// What the release before would do to the file of this one: nothing that it has is missing.
fn the_release_before_can_use_a_store_of_this_layout() {
    let mut bench = Bench::new("before");
    bench.done(|writing| crate::ledger::store::accounts::create(writing, &draft("acme")));
    let (layout, readable_from): (i64, i64) = bench
        .connection
        .query_row("SELECT layout, readable_from FROM store_layout", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert!(layout > readable_from);
    assert_eq!(readable_from, 1);
    // Tables that the first layout had and that its program reads or writes, by the names of columns. Accounts and plans have
    // a weight since, which may be left out.
    let columns = |table: &str| -> Vec<String> {
        let query = match bench.connection.engine() {
            Engine::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
            Engine::Postgres => format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
            ),
        };
        let mut statement = bench.connection.prepare(&query).unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for (table, known) in [
        ("account", 9 + 1),
        ("account_limit", 5),
        ("account_product", 4),
        ("audit", 13),
        ("audit_head", 3),
        ("change", 5),
        ("idempotency", 5),
        ("management_key", 12),
        ("plan", 4 + 1),
        ("plan_limit", 4),
        ("plan_product", 2),
        ("store_clock", 3),
        ("token", 15),
        ("token_entry", 5),
        ("token_product", 3),
    ] {
        assert_eq!(columns(table).len(), known, "{table}");
    }
}
