//! Accounts from files and from exports: what they become, that it can be done again, and that an export put back is
//! the same export.

use super::*;
use crate::ledger::store::accounts::{self, AccountPatch};
use crate::ledger::store::audit::{self, Chain};
use crate::ledger::store::export::{self, ExportLine};
use crate::ledger::store::import::{self, ImportedAccount, ImportedToken, Tally};
use crate::ledger::store::plans::{self, PlanDraft};
use crate::ledger::store::records::{AccountState, ListEntry, ListKind, ListMode, TokenList, TokenState};
use crate::ledger::store::tokens::TokenPatch;
use crate::ledger::store::{lists, tokens, whole};
use crate::policy::account::Digest;

on_both_engines! {
    an_import_adds_what_is_not_there_and_takes_nothing_back,
    an_export_that_is_put_back_is_the_same_export,
}

fn network(value: &str) -> Option<TokenList> {
    let entry = ListEntry { value: value.to_owned(), note: String::new() };
    Some(TokenList { mode: ListMode::Enforce, entries: vec![entry], absent: None })
}

fn imported_token(name: &str, secret: &str) -> ImportedToken {
    ImportedToken {
        name: name.to_owned(),
        digest: Digest::of(secret.as_bytes()),
        products: vec!["plate".to_owned()],
        is_enabled: true,
        last_day: Some(21_000),
        rates: Vec::new(),
        quota: QuotaLimit::default(),
        networks: None,
        domains: None,
    }
}

fn imported(name: &str, tokens: Vec<ImportedToken>) -> ImportedAccount {
    let AccountDraft { terms, products, .. } = draft(name);
    ImportedAccount { name: name.to_owned(), terms, products, tokens }
}

fn run(bench: &mut Bench, accounts: &[ImportedAccount]) -> Vec<Result<Tally, StoreError>> {
    let mut outcomes = Vec::new();
    bench.done(|writing| {
        let mut all = Tally::default();
        for account in accounts {
            let outcome = import::account(writing, account);
            all.add(outcome.clone().unwrap_or_default());
            outcomes.push(outcome);
        }
        import::note(writing, "a.yaml", all)
    });
    outcomes
}

fn an_import_adds_what_is_not_there_and_takes_nothing_back() {
    let mut bench = Bench::new("import");
    let off =
        ImportedToken { is_enabled: false, networks: network("203.0.113.0/24"), ..imported_token("web", "second") };
    let acme = imported("acme", vec![imported_token("web", "first"), off]);
    let created = Tally { created: 1, tokens: 2, ..Tally::default() };
    assert_eq!(run(&mut bench, std::slice::from_ref(&acme)), [Ok(created)]);
    let id = accounts::id_of(&bench.connection, "acme").unwrap().unwrap();
    let whole = whole::one(&bench.connection, &id).unwrap();
    let mut names: Vec<_> = whole.tokens.iter().map(|token| (&*token.info.name, token.info.state)).collect();
    names.sort_unstable();
    assert_eq!(names, [("web", TokenState::Enabled), ("web (2)", TokenState::Disabled)], "one name has one token");
    let second = tokens::get_named(&bench.connection, &id, "web (2)").unwrap();
    assert_eq!(second.networks_mode, ListMode::Enforce);
    assert_eq!(tokens::find(&bench.connection, &Digest::of(b"first")).unwrap().unwrap().0, id);

    // What was changed since stays.
    let suspend = AccountPatch { state: Some(AccountState::Suspended), ..AccountPatch::default() };
    bench.done(|writing| accounts::update(writing, &id, None, &suspend));
    bench.done(|writing| tokens::revoke(writing, &id, &second.id, None));
    assert_eq!(run(&mut bench, std::slice::from_ref(&acme)), [Ok(Tally { unchanged: 1, ..Tally::default() })]);
    let more = imported("acme", [acme.tokens.clone(), vec![imported_token("new", "third")]].concat());
    assert_eq!(run(&mut bench, &[more]), [Ok(Tally { extended: 1, tokens: 1, ..Tally::default() })]);
    assert_eq!(accounts::get(&bench.connection, &id).unwrap().state, AccountState::Suspended);
    assert_eq!(tokens::get(&bench.connection, &id, &second.id).unwrap().state, TokenState::Revoked);

    // One that cannot be leaves nothing, and the others come in.
    let before = bench.rows();
    let bad_list = ImportedToken { networks: network("203.0.113.9/24"), ..imported_token("b", "sixth") };
    let outcomes = run(
        &mut bench,
        &[
            imported("thief", vec![imported_token("a", "fourth"), imported_token("b", "first")]),
            imported("bad", vec![imported_token("a", "fifth"), bad_list]),
            imported("", vec![]),
            imported("bee", vec![imported_token("a", "seventh")]),
        ],
    );
    assert!(matches!(outcomes[0], Err(StoreError::Taken { .. })), "{outcomes:?}");
    assert!(matches!((&outcomes[1], &outcomes[2]), (Err(StoreError::Invalid { .. }), Err(StoreError::Invalid { .. }))));
    assert_eq!(outcomes[3], Ok(Tally { created: 1, tokens: 1, ..Tally::default() }));
    let count = |rows: &[(String, i64)], table: &str| rows.iter().find(|(name, _)| name == table).unwrap().1;
    let after = bench.rows();
    for (table, more) in [("account", 1), ("token", 1), ("account_product", 2), ("token_entry", 0), ("change", 1)] {
        assert_eq!(count(&after, table) - count(&before, table), more, "{table}");
    }
    assert!(matches!(audit::check(&bench.connection).unwrap(), Chain::Whole { .. }));
}

fn an_export_that_is_put_back_is_the_same_export() {
    let mut bench = Bench::new("export");
    let plan = PlanDraft { terms: per_minute(10), products: vec!["plate".to_owned()] };
    bench.done(|writing| plans::create(writing, "small", &plan));
    bench.done(|writing| plans::replace(writing, "small", None, &PlanDraft { terms: per_minute(20), ..plan.clone() }));
    let acme = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let with_plan = AccountDraft { terms: AccountTerms::Plan("small".to_owned()), ..draft("bee \"x\"\u{2028}") };
    bench.done(|writing| accounts::create(writing, &with_plan));
    let web = bench.done(|writing| tokens::create(writing, &acme, &token("web"))).token.id;
    let entry = |value: &str| ListEntry { value: value.to_owned(), note: "office".to_owned() };
    let entries = vec![entry("203.0.113.0/24"), entry("2001:db8::1")];
    let list = TokenList { mode: ListMode::Watch, entries, absent: None };
    bench.done(|writing| lists::set(writing, &acme, &web, ListKind::Network, None, &list));
    bench.done(|writing| tokens::rotate(writing, &acme, &web, None, 3_600_000));
    let app = bench.done(|writing| tokens::create(writing, &acme, &token("app"))).token.id;
    let patch = TokenPatch { quota: Some(QuotaLimit { day: Some(5), month: None }), ..TokenPatch::default() };
    bench.done(|writing| tokens::update(writing, &acme, &app, None, &patch));
    bench.done(|writing| tokens::revoke(writing, &acme, &app, None));
    let closed = bench.done(|writing| accounts::create(writing, &draft("closed"))).id;
    bench.done(|writing| accounts::close(writing, &closed, None));

    let mut first = Vec::new();
    assert_eq!(export::write(&bench.connection, &mut first, || {}).unwrap(), 3);
    let lines: Vec<ExportLine> = first
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    let mut other = Bench::new("put-back");
    let put = |other: &mut Bench| {
        other.done(|writing| {
            let mut all = Tally::default();
            for line in &lines {
                all.add(export::put_back(writing, line)?);
            }
            Ok(all)
        })
    };
    assert_eq!(put(&mut other), Tally { created: 3, tokens: 2, ..Tally::default() });
    let mut second = Vec::new();
    export::write(&other.connection, &mut second, || {}).unwrap();
    assert_eq!(String::from_utf8(second).unwrap(), String::from_utf8(first).unwrap());
    assert_eq!(put(&mut other), Tally { unchanged: 3, ..Tally::default() }, "once more does nothing");
    let forged = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut line = serde_json::to_value(&lines[1]).unwrap();
        line["account"]["name"] = "new".into();
        line["account"]["id"] = "0123456789abcdef0123456789abcdef".into();
        change(&mut line);
        serde_json::from_value::<ExportLine>(line)
    };
    let line = forged(&|line| line["account"]["id"] = "x".into()).unwrap();
    assert!(matches!(other.refused(|writing| export::put_back(writing, &line)), StoreError::Invalid { .. }));
    let line = forged(&|_| {}).unwrap();
    assert!(matches!(other.refused(|writing| export::put_back(writing, &line)), StoreError::Invalid { .. }));
    assert!(forged(&|line| line["account"]["state"] = "odd".into()).is_err());
}

/// What an operation of a random history is about.
#[derive(Clone, Copy, Debug)]
struct Move {
    kind: u8,
    which: u8,
    number: u16,
}

/// Does something to a store, or is refused, which changes nothing.
fn play(bench: &mut Bench, Move { kind, which, number }: Move) {
    let plan = |number: u16| PlanDraft { terms: per_minute(u32::from(number) + 1), products: vec!["plate".to_owned()] };
    let text = |what: &str| format!("{what} \"{number}\" ü\u{2028}");
    let ids: Vec<String> = {
        let mut statement = bench.connection.prepare("SELECT id FROM account ORDER BY id").unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let account = ids.get(usize::from(which) % ids.len().max(1)).cloned().unwrap_or_default();
    let of_account = tokens::list(&bench.connection, &account).unwrap_or_default();
    let token_id = of_account.get(usize::from(number) % of_account.len().max(1)).map(|token| token.id.clone());
    let token_id = token_id.unwrap_or_default();
    bench.now += i64::from(number);
    let quota = QuotaLimit { day: (number % 3 == 0).then_some(u64::from(number) + 1), month: Some(7) };
    let entries = |values: &[&str]| {
        let entry = |value: &&str| ListEntry { value: (*value).to_owned(), note: text("note") };
        values.iter().map(entry).collect::<Vec<_>>()
    };
    let mode = [ListMode::Any, ListMode::Watch, ListMode::Enforce][usize::from(number % 3)];
    let networks = TokenList { mode, entries: entries(&["203.0.113.0/24", "2001:db8::1", "192.0.2.7"]), absent: None };
    let absent = Some(crate::ledger::store::records::Absent::ALL[usize::from(which % 2)]);
    let domains = TokenList { mode, entries: entries(&["*.example.com", "bücher.example"]), absent };
    let _ = match kind % 12 {
        0 => bench.try_do(|writing| plans::create(writing, &text("plan"), &plan(number)).map(drop)),
        1 => bench.try_do(|writing| plans::replace(writing, &text("plan"), None, &plan(which.into())).map(drop)),
        2 => bench.try_do(|writing| accounts::create(writing, &draft(&text("own"))).map(drop)),
        3 => {
            let terms = AccountTerms::Plan(format!("plan {which}"));
            bench.try_do(|writing| accounts::create(writing, &AccountDraft { terms, ..draft(&text("with")) }).map(drop))
        }
        4 => {
            let terms = Terms { quota, concurrency: Some(u32::from(number) + 1), ..per_minute(5) };
            let patch =
                AccountPatch { terms: Some(AccountTerms::Own(terms)), display: Some(text("x")), ..Default::default() };
            bench.try_do(|writing| accounts::update(writing, &account, None, &patch).map(drop))
        }
        5 => {
            let state = Some(if which % 2 == 0 { AccountState::Suspended } else { AccountState::Active });
            let patch = AccountPatch { state, ..AccountPatch::default() };
            bench.try_do(|writing| accounts::update(writing, &account, None, &patch).map(drop))
        }
        6 | 7 => {
            let new = TokenDraft { last_day: Some(number.into()), quota, ..token(&text("token")) };
            bench.try_do(|writing| tokens::create(writing, &account, &new).map(drop))
        }
        8 => bench
            .try_do(|writing| tokens::rotate(writing, &account, &token_id, None, i64::from(which) * 1000).map(drop)),
        9 => bench.try_do(|writing| {
            lists::set(writing, &account, &token_id, ListKind::Network, None, &networks)?;
            lists::set(writing, &account, &token_id, ListKind::Domain, None, &domains).map(drop)
        }),
        10 => {
            let state = Some(if which % 2 == 0 { TokenState::Disabled } else { TokenState::Enabled });
            let patch = TokenPatch { state, rates: Some(per_minute(3).rates), ..TokenPatch::default() };
            bench.try_do(|writing| tokens::update(writing, &account, &token_id, None, &patch).map(drop))
        }
        _ if which % 8 == 0 => bench.try_do(|writing| accounts::close(writing, &account, None).map(drop)),
        _ => bench.try_do(|writing| tokens::revoke(writing, &account, &token_id, None).map(drop)),
    };
}

/// The whole store as an export has it.
fn exported(bench: &Bench) -> String {
    let mut text = Vec::new();
    export::write(&bench.connection, &mut text, || {}).unwrap();
    String::from_utf8(text).unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

    /// Whatever has happened to a store: an export of an import of its export is the same, and importing it once more
    /// changes nothing.
    #[test]
    fn an_export_of_an_import_is_the_export(
        moves in proptest::collection::vec(proptest::prelude::any::<(u8, u8, u16)>(), 1..60)
    ) {
        let mut bench = Bench::new("round-trip");
        bench.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for (kind, which, number) in moves {
            play(&mut bench, Move { kind, which, number: number % 32 });
        }
        let first = exported(&bench);
        let mut other = Bench::new("round-trip-back");
        other.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for _ in 0..2 {
            for line in first.lines() {
                let line: ExportLine = serde_json::from_str(line).unwrap();
                other.done(|writing| export::put_back(writing, &line));
            }
            proptest::prop_assert_eq!(&exported(&other), &first);
        }
    }
}
