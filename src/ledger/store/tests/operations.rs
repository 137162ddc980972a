//! What operations leave and what they refuse.

use super::*;
use crate::ledger::store::accounts::{self, AccountPage, AccountPatch};
use crate::ledger::store::keys::{self, KeyDraft};
use crate::ledger::store::plans::{self, PlanDraft};
use crate::ledger::store::records::{
    Absent, AccountState, KeyState, ListEntry, ListKind, ListMode, Role, TokenList, TokenState,
};
use crate::ledger::store::tokens::{self, MAX_OVERLAP_MS, TokenPatch};
use crate::ledger::store::{audit, lists, whole};
use crate::policy::account::Digest;

on_both_engines! {
    an_account_is_made_changed_and_closed,
    values_that_do_not_fit_are_named_with_the_way_to_mend_them,
    a_token_is_shown_once_and_only_its_digest_is_kept,
    a_rotated_token_leaves_its_name_and_lists_and_ends_at_its_millisecond,
    a_token_is_disabled_enabled_renamed_and_revoked,
    lists_are_kept_in_their_canonical_form,
    a_change_of_an_older_state_gets_the_newer_one,
    plans_and_keys_have_their_rules,
    accounts_are_listed_by_name_page_by_page,
    whole_accounts_are_what_operations_have_left,
}

fn listed(mode: ListMode, values: &[&str]) -> TokenList {
    let entry = |value: &&str| ListEntry { value: (*value).to_owned(), note: format!("for {value}") };
    TokenList { mode, entries: values.iter().map(entry).collect(), absent: None }
}

fn an_account_is_made_changed_and_closed() {
    let mut bench = Bench::new("account");
    let made = bench.done(|writing| accounts::create(writing, &draft("acme")));
    assert_eq!((made.id.len(), made.row_version, made.state), (32, 1, AccountState::Active));
    assert_eq!(made.products.iter().map(|known| &*known.product).collect::<Vec<_>>(), ["plate", "vat"], "in order");
    assert_eq!(accounts::get(&bench.connection, &made.id).unwrap(), made);
    assert_eq!(accounts::get_named(&bench.connection, "acme").unwrap(), made);

    let quota = QuotaLimit { day: Some(10_000), month: None };
    let second = RateLimit { period: Period::Second, requests: 10, burst: 20 };
    let own = Terms { rates: vec![second], quota, concurrency: Some(20), weight: Some(3) };
    let patch = AccountPatch {
        display: Some("Acme".to_owned()),
        state: Some(AccountState::Suspended),
        terms: Some(AccountTerms::Own(own.clone())),
        products: Some(Vec::new()),
    };
    let changed = bench.done(|writing| accounts::update(writing, &made.id, Some(1), &patch));
    assert_eq!((&*changed.display, changed.state, changed.row_version), ("Acme", AccountState::Suspended, 2));
    assert_eq!((changed.terms.clone(), changed.products.len()), (AccountTerms::Own(own), 0));
    let same = bench.done(|writing| accounts::update(writing, &made.id, Some(2), &patch));
    assert_eq!(same, changed, "what changes nothing has no version of its own");

    let with_plan = AccountPatch { terms: Some(AccountTerms::Plan("small".to_owned())), ..AccountPatch::default() };
    let planned = bench.done(|writing| accounts::update(writing, &made.id, None, &with_plan));
    assert_eq!(planned.terms, AccountTerms::Plan("small".to_owned()));

    let key = bench.done(|writing| tokens::create(writing, &made.id, &token("web")));
    let closed = bench.done(|writing| accounts::close(writing, &made.id, Some(planned.row_version)));
    assert_eq!(closed.state, AccountState::Closed);
    assert_eq!(tokens::get(&bench.connection, &made.id, &key.token.id).unwrap().state, TokenState::Revoked);
    for refused in [
        bench.refused(|writing| accounts::update(writing, &made.id, None, &patch)),
        bench.refused(|writing| tokens::create(writing, &made.id, &token("new"))),
    ] {
        assert!(matches!(refused, StoreError::State { .. }), "{refused}");
    }
    let refused = bench.refused(|writing| accounts::create(writing, &draft("acme")));
    assert!(matches!(refused, StoreError::Taken { field: "name", .. }), "the ledger knows the name: {refused}");
}

fn values_that_do_not_fit_are_named_with_the_way_to_mend_them() {
    let mut bench = Bench::new("invalid");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let web = bench.done(|writing| tokens::create(writing, &account, &token("web"))).token.id;
    let own = |terms: Terms| AccountDraft { terms: AccountTerms::Own(terms), ..draft("new") };
    let minute = RateLimit { period: Period::Minute, requests: 1, burst: 1 };
    let credits =
        |first_grant| AccountProduct { product: "plate".to_owned(), funds: ProductFunds::Credits { first_grant } };
    let cases: Vec<(AccountDraft, &str, &str)> = vec![
        (AccountDraft { name: "  ".to_owned(), ..draft("new") }, "name", "visible characters"),
        (AccountDraft { name: "a\nb".to_owned(), ..draft("new") }, "name", "visible characters"),
        (AccountDraft { name: "n".repeat(256), ..draft("new") }, "name", "at most 255"),
        (AccountDraft { display: "a\tb".to_owned(), ..draft("new") }, "display", "on one line"),
        (AccountDraft { terms: AccountTerms::Plan(String::new()), ..draft("new") }, "terms.plan", "is not a name"),
        (
            own(Terms { rates: vec![minute, minute], ..Terms::default() }),
            "terms.own.rates[1].period",
            "one rate per period",
        ),
        (
            own(Terms { rates: vec![RateLimit { requests: 0, ..minute }], ..Terms::default() }),
            "terms.own.rates[0].requests",
            "from 1 on",
        ),
        (
            own(Terms { rates: vec![RateLimit { burst: u32::MAX, ..minute }], ..Terms::default() }),
            "terms.own.rates[0].burst",
            "more than a year",
        ),
        (own(Terms { concurrency: Some(0), ..Terms::default() }), "terms.own.concurrency", "from 1 on"),
        (own(Terms { weight: Some(0), ..Terms::default() }), "terms.own.weight", "from 1 to 100"),
        (own(Terms { weight: Some(101), ..Terms::default() }), "terms.own.weight", "from 1 to 100"),
        (
            own(Terms { quota: QuotaLimit { day: None, month: Some(1 << 50) }, ..Terms::default() }),
            "terms.own.quota.month",
            "out of range",
        ),
        (AccountDraft { products: vec![credits(1), credits(2)], ..draft("new") }, "products[1]", "each product once"),
        (
            AccountDraft { products: vec![credits(u64::MAX)], ..draft("new") },
            "products[0].funds.credits.first_grant",
            "at most",
        ),
    ];
    for (draft, field, words) in cases {
        let refused = bench.refused(|writing| accounts::create(writing, &draft));
        let StoreError::Invalid { field: found, why } = &refused else { panic!("{refused}") };
        assert!(found == field && why.contains(words), "{found}: {why}");
    }
    for (kind, list, field, words) in [
        (ListKind::Network, listed(ListMode::Enforce, &["203.0.113.9/24"]), "entries[0].value", "behind its prefix"),
        (ListKind::Network, listed(ListMode::Watch, &["203.0.113.0/24", "x"]), "entries[1].value", "is not an address"),
        (ListKind::Domain, listed(ListMode::Enforce, &["*.co.uk"]), "entries[0].value", ""),
        (ListKind::Network, listed(ListMode::Enforce, &[]), "entries", "is an empty list"),
        (
            ListKind::Network,
            TokenList { absent: Some(Absent::Allow), ..listed(ListMode::Any, &[]) },
            "absent",
            "remove",
        ),
    ] {
        let refused = bench.refused(|writing| lists::set(writing, &account, &web, kind, None, &list));
        let StoreError::Invalid { field: found, why } = &refused else { panic!("{refused}") };
        assert!(found == field && why.contains(words), "{found}: {why}");
        let values = list.entries.iter().all(|entry| entry.value.len() < 2 || !why.contains(&entry.value));
        assert!(values, "no value is repeated: {why}");
    }
}

fn a_token_is_shown_once_and_only_its_digest_is_kept() {
    let mut bench = Bench::new("secret");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let first = bench.done(|writing| tokens::create(writing, &account, &token("web")));
    let key = KeyDraft {
        name: "billing".to_owned(),
        account_id: None,
        role: Role::Auditor,
        scopes: vec!["read".to_owned()],
        ends_at: None,
    };
    let key = bench.done(|writing| keys::create(writing, &key));
    let rotated = bench.done(|writing| tokens::rotate(writing, &account, &first.token.id, Some(1), 60_000));
    let idempotency = Idempotency { scope: "ann".to_owned(), key: "k".to_owned(), request: [1; 32] };
    let act = bench.act(Some(idempotency));
    let made = transact(&mut bench.connection, act, &mut bench.random, None, |writing| {
        tokens::create(writing, &account, &token("with a key"))
    });
    let made = made.unwrap().value;
    let secrets = [first.secret, key.secret, rotated.secret, made.secret].map(Option::unwrap);
    for (secret, prefix) in secrets.iter().zip(["tg_", "tgm_", "tg_", "tg_"]) {
        assert!(secret.starts_with(prefix) && secret.len() == prefix.len() + 64 + 8, "{prefix}");
    }
    assert!(first.token.hint.starts_with("tg_") && first.token.hint.chars().count() == 11, "{}", first.token.hint);
    let found = tokens::find(&bench.connection, &Digest::of(secrets[0].as_bytes())).unwrap();
    assert_eq!(found, Some((account, first.token.id)));
    let bytes = bench.bytes();
    assert!(bytes.windows(4).any(|window| window == b"acme"));
    for secret in &secrets {
        let random = &secret.as_bytes()[secret.len() - 32..];
        assert!(!bytes.windows(random.len()).any(|window| window == random));
    }
}

fn a_rotated_token_leaves_its_name_and_lists_and_ends_at_its_millisecond() {
    let mut bench = Bench::new("rotate");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let old = bench.done(|writing| tokens::create(writing, &account, &token("web"))).token;
    let networks = listed(ListMode::Enforce, &["203.0.113.0/24", "2001:db8::/32"]);
    bench.done(|writing| lists::set(writing, &account, &old.id, ListKind::Network, Some(1), &networks));
    let new = bench.done(|writing| tokens::rotate(writing, &account, &old.id, Some(2), 3_600_000)).token;
    assert_eq!((&*new.name, new.networks_mode, new.replaces.clone()), ("web", ListMode::Enforce, Some(old.id.clone())));
    assert_eq!(
        lists::get(&bench.connection, &account, &new.id, ListKind::Network).unwrap(),
        lists::get(&bench.connection, &account, &old.id, ListKind::Network).unwrap()
    );
    let ending = tokens::get(&bench.connection, &account, &old.id).unwrap();
    assert_eq!((ending.not_after, ending.state, ending.row_version), (Some(NOW + 3_600_000), TokenState::Enabled, 3));
    assert_eq!(tokens::get_named(&bench.connection, &account, "web").unwrap().id, new.id);
    let again = bench.refused(|writing| tokens::rotate(writing, &account, &old.id, None, 0));
    assert!(matches!(again, StoreError::State { .. }), "{again}");
    for overlap in [-1, MAX_OVERLAP_MS + 1] {
        let refused = bench.refused(|writing| tokens::rotate(writing, &account, &new.id, None, overlap));
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    }
    let last = bench.done(|writing| tokens::rotate(writing, &account, &new.id, None, 0)).token;
    assert_eq!(tokens::get(&bench.connection, &account, &new.id).unwrap().state, TokenState::Revoked, "at once");
    assert_eq!(last.name, "web");
    assert_eq!(tokens::list(&bench.connection, &account).unwrap().len(), 3);
}

fn a_token_is_disabled_enabled_renamed_and_revoked() {
    let mut bench = Bench::new("token");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let web = bench.done(|writing| tokens::create(writing, &account, &token("web"))).token.id;
    let app = bench.done(|writing| tokens::create(writing, &account, &token("app"))).token.id;
    let state = |state| TokenPatch { state: Some(state), ..TokenPatch::default() };
    for wanted in [TokenState::Disabled, TokenState::Enabled] {
        let changed = bench.done(|writing| tokens::update(writing, &account, &web, None, &state(wanted)));
        assert_eq!(changed.state, wanted);
    }
    let name = |name: &str| TokenPatch { name: Some(name.to_owned()), ..TokenPatch::default() };
    let refused = bench.refused(|writing| tokens::update(writing, &account, &web, None, &name("app")));
    assert!(matches!(refused, StoreError::Taken { .. }), "{refused}");
    let patch = TokenPatch {
        name: Some("site".to_owned()),
        products: Some(vec!["vat".to_owned(), "plate".to_owned(), "vat".to_owned()]),
        last_day: Some(Some(21_000)),
        rates: Some(vec![RateLimit { period: Period::Hour, requests: 5, burst: 1 }]),
        quota: Some(QuotaLimit { day: None, month: Some(7) }),
        state: None,
    };
    let changed = bench.done(|writing| tokens::update(writing, &account, &web, None, &patch));
    assert_eq!((&*changed.name, changed.products.len(), changed.last_day), ("site", 2, Some(21_000)));
    assert_eq!(tokens::get(&bench.connection, &account, &web).unwrap(), changed);
    let none: TokenPatch = serde_json::from_str(r#"{"last_day":null}"#).unwrap();
    assert_eq!(none.last_day, Some(None), "null takes the day away");
    assert_eq!(bench.done(|writing| tokens::update(writing, &account, &web, None, &none)).last_day, None);
    let revoked = bench.done(|writing| tokens::revoke(writing, &account, &app, None));
    assert_eq!(revoked.state, TokenState::Revoked);
    let refused = bench.refused(|writing| tokens::update(writing, &account, &app, None, &state(TokenState::Enabled)));
    assert!(matches!(refused, StoreError::State { .. }), "{refused}");
    bench.done(|writing| tokens::update(writing, &account, &web, None, &name("app")));
}

fn lists_are_kept_in_their_canonical_form() {
    let mut bench = Bench::new("lists");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let web = bench.done(|writing| tokens::create(writing, &account, &token("web"))).token.id;
    for (kind, written, kept) in [
        (
            ListKind::Network,
            vec!["2001:DB8:0::/32", " 203.0.113.7 ", "203.0.113.7/32", "::ffff:198.51.100.0/120"],
            vec!["198.51.100.0/24", "2001:db8::/32", "203.0.113.7"],
        ),
        (
            ListKind::Domain,
            vec!["App.Example.COM", "*.bücher.example", "HTTPS://app.example.com", "app.example.com"],
            vec!["*.xn--bcher-kva.example", "app.example.com", "https://app.example.com"],
        ),
    ] {
        let list = listed(ListMode::Watch, &written);
        let preview = lists::preview(kind, &list).unwrap();
        let (info, stored) = bench.done(|writing| lists::set(writing, &account, &web, kind, None, &list));
        assert_eq!(stored.entries.iter().map(|entry| &*entry.value).collect::<Vec<_>>(), kept);
        assert_eq!((stored.entries, tokens::mode(&info, kind)), (preview, ListMode::Watch));
    }
    let domains = TokenList { absent: Some(Absent::Allow), ..listed(ListMode::Enforce, &["example.com"]) };
    let (info, _) = bench.done(|writing| lists::set(writing, &account, &web, ListKind::Domain, None, &domains));
    assert_eq!((info.domains_mode, info.absent), (ListMode::Enforce, Absent::Allow));
    let version = info.row_version;
    let (same, _) = bench.done(|writing| lists::set(writing, &account, &web, ListKind::Domain, None, &domains));
    assert_eq!(same.row_version, version, "what changes nothing has no version of its own");
}

fn a_change_of_an_older_state_gets_the_newer_one() {
    let mut bench = Bench::new("conflict");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme")));
    let web = bench.done(|writing| tokens::create(writing, &account.id, &token("web"))).token;
    let plan = PlanDraft { terms: per_minute(10), products: Vec::new() };
    bench.done(|writing| plans::create(writing, "small", &plan));
    let display = |text: &str| AccountPatch { display: Some(text.to_owned()), ..AccountPatch::default() };
    bench.done(|writing| accounts::update(writing, &account.id, Some(1), &display("one")));
    let name = TokenPatch { name: Some("site".to_owned()), ..TokenPatch::default() };
    bench.done(|writing| tokens::update(writing, &account.id, &web.id, Some(1), &name));
    bench.done(|writing| {
        plans::replace(writing, "small", Some(1), &PlanDraft { terms: per_minute(20), ..plan.clone() })
    });
    let any = listed(ListMode::Any, &[]);
    for (refused, member, newer) in [
        (bench.refused(|writing| accounts::update(writing, &account.id, Some(1), &display("two"))), "/display", "one"),
        (bench.refused(|writing| accounts::close(writing, &account.id, Some(1))), "/display", "one"),
        (bench.refused(|writing| tokens::update(writing, &account.id, &web.id, Some(1), &name)), "/name", "site"),
        (bench.refused(|writing| tokens::rotate(writing, &account.id, &web.id, Some(1), 0)), "/name", "site"),
        (bench.refused(|writing| tokens::revoke(writing, &account.id, &web.id, Some(1))), "/name", "site"),
        (
            bench.refused(|writing| lists::set(writing, &account.id, &web.id, ListKind::Network, Some(1), &any)),
            "/name",
            "site",
        ),
        (bench.refused(|writing| plans::replace(writing, "small", Some(1), &plan)), "/name", "small"),
        (bench.refused(|writing| plans::remove(writing, "small", Some(1))), "/name", "small"),
    ] {
        let StoreError::Conflict { row_version, newer: found, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*row_version, found.pointer(member).and_then(|text| text.as_str())), (2, Some(newer)));
    }
    for refused in [
        bench.refused(|writing| accounts::update(writing, "nobody", None, &display("x"))),
        bench.refused(|writing| tokens::revoke(writing, &account.id, "nothing", None)),
        bench.refused(|writing| plans::remove(writing, "none", None)),
        bench.refused(|writing| keys::revoke(writing, "none", None)),
    ] {
        assert!(matches!(refused, StoreError::NotFound { .. }), "{refused}");
    }
}

fn plans_and_keys_have_their_rules() {
    let mut bench = Bench::new("plans");
    let account = bench.done(|writing| {
        accounts::create(writing, &AccountDraft { terms: AccountTerms::Plan("small".to_owned()), ..draft("acme") })
    });
    let terms = Terms { weight: Some(7), ..per_minute(10) };
    let plan = PlanDraft { terms, products: vec!["plate".to_owned()] };
    let made = bench.done(|writing| plans::create(writing, "small", &plan));
    assert_eq!((made.terms.clone(), made.products.clone()), (plan.terms.clone(), plan.products.clone()));
    assert!(matches!(bench.refused(|writing| plans::create(writing, "small", &plan)), StoreError::Taken { .. }));
    assert_eq!(plans::accounts_of(&bench.connection, "small").unwrap(), std::slice::from_ref(&account.id));
    assert!(matches!(bench.refused(|writing| plans::remove(writing, "small", None)), StoreError::State { .. }));
    bench.done(|writing| accounts::close(writing, &account.id, None));
    bench.done(|writing| plans::remove(writing, "small", None));
    assert!(plans::list(&bench.connection).unwrap().is_empty());

    let other = bench.done(|writing| accounts::create(writing, &draft("other"))).id;
    let key = |account: Option<&str>, role, scopes: &[&str]| KeyDraft {
        name: "k".to_owned(),
        account_id: account.map(str::to_owned),
        role,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ends_at: Some(NOW + 10),
    };
    for draft in [
        key(None, Role::Owner, &["read"]),
        key(Some(&other), Role::Admin, &["read"]),
        key(None, Role::Admin, &[]),
        key(None, Role::Admin, &["Read it"]),
    ] {
        let refused = bench.refused(|writing| keys::create(writing, &draft));
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    }
    let made = bench.done(|writing| keys::create(writing, &key(Some(&other), Role::Member, &["tokens", "read"])));
    let digest = Digest::of(made.secret.unwrap().as_bytes());
    let shown = |connection: &Connection, at| keys::find(connection, &digest, at).unwrap().map(|key| key.scopes);
    assert_eq!(shown(&bench.connection, NOW), Some(vec!["read".to_owned(), "tokens".to_owned()]));
    assert_eq!(shown(&bench.connection, NOW + 10), None, "it has ended");
    let revoked = bench.done(|writing| keys::revoke(writing, &made.key.id, Some(1)));
    assert_eq!((revoked.state, shown(&bench.connection, NOW)), (KeyState::Revoked, None));
    assert_eq!(keys::list(&bench.connection, Some(&other)).unwrap(), [revoked]);
    assert_eq!(keys::list(&bench.connection, None).unwrap(), []);
}

fn accounts_are_listed_by_name_page_by_page() {
    let mut bench = Bench::new("pages");
    for name in ["bee", "ant", "bat", "cat", "Bär"] {
        bench.done(|writing| accounts::create(writing, &draft(name)));
    }
    let bat = accounts::get_named(&bench.connection, "bat").unwrap().id;
    let suspend = AccountPatch { state: Some(AccountState::Suspended), ..AccountPatch::default() };
    bench.done(|writing| accounts::update(writing, &bat, None, &suspend));
    let names = |page: AccountPage| {
        let found = accounts::list(&bench.connection, &page).unwrap();
        found.into_iter().map(|account| account.name).collect::<Vec<_>>()
    };
    let all = AccountPage { rows: 100, ..AccountPage::default() };
    for (page, expected) in [
        (all.clone(), vec!["Bär", "ant", "bat", "bee", "cat"]),
        (AccountPage { rows: 2, ..all.clone() }, vec!["Bär", "ant"]),
        (AccountPage { rows: 2, after: Some("ant".to_owned()), ..all.clone() }, vec!["bat", "bee"]),
        (AccountPage { prefix: Some("b".to_owned()), ..all.clone() }, vec!["bat", "bee"]),
        (AccountPage { state: Some(AccountState::Suspended), ..all.clone() }, vec!["bat"]),
        (AccountPage { plan: Some("none".to_owned()), ..all.clone() }, vec![]),
    ] {
        assert_eq!(names(page.clone()), expected, "{page:?}");
    }
    assert_eq!(accounts::count(&bench.connection).unwrap(), 5);
}

fn whole_accounts_are_what_operations_have_left() {
    let mut bench = Bench::new("whole");
    for number in 0..20 {
        let account = bench.done(|writing| accounts::create(writing, &draft(&format!("a{number}")))).id;
        for own in 0..number % 4 {
            let web = bench.done(|writing| tokens::create(writing, &account, &token(&format!("t{own}")))).token.id;
            if own == 1 {
                let domains = listed(ListMode::Enforce, &["example.com", "*.example.org"]);
                bench.done(|writing| lists::set(writing, &account, &web, ListKind::Domain, None, &domains));
                let patch = TokenPatch {
                    rates: Some(vec![RateLimit { period: Period::Day, requests: 3, burst: 3 }]),
                    quota: Some(QuotaLimit { day: Some(1), month: Some(2) }),
                    ..TokenPatch::default()
                };
                bench.done(|writing| tokens::update(writing, &account, &web, None, &patch));
            }
        }
    }
    let mut found = Vec::new();
    whole::each(&bench.connection, |account| found.push(account.unwrap())).unwrap();
    assert_eq!(found.len(), 20);
    for whole in found {
        assert_eq!(whole, whole::one(&bench.connection, &whole.account.id).unwrap());
        assert_eq!(whole.account, accounts::get(&bench.connection, &whole.account.id).unwrap());
        let infos: Vec<_> = whole.tokens.iter().map(|token| token.info.clone()).collect();
        assert_eq!(infos, tokens::list(&bench.connection, &whole.account.id).unwrap());
        for stored in &whole.tokens {
            let list = lists::get(&bench.connection, &whole.account.id, &stored.info.id, ListKind::Domain).unwrap();
            assert_eq!(list.entries, stored.domains);
        }
    }
    assert!(matches!(whole::one(&bench.connection, "none"), Err(StoreError::NotFound { .. })));
    assert!(matches!(audit::check(&bench.connection).unwrap(), audit::Chain::Whole { rows: 60.. }));
}
