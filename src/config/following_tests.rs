//! What a configuration takes from the one before it.

use std::path::PathBuf;
use std::sync::Arc;

use super::tests::{Random, Scratch, digest};
use super::*;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::check::domain::Domains;

/// Two products, of which one has prices, and accounts in files.
fn main_text(prices: &str) -> String {
    format!(
        "public_url: https://api.example.com
upstreams:
  lookup: {{ servers: [127.0.0.1:9001] }}
products:
  paid: {{ upstream: lookup, routes: [POST /paid], token_headers: [Auth-Token], credits: {prices} }}
  free: {{ upstream: lookup, routes: [POST /free], token_headers: [Auth-Token] }}
ledger: {{ file: ledger.db }}
include: [accounts.d/*.yaml, accounts.d/*.jsonl]
"
    )
}

const PRICES: &str = "{ hold: [{ add: 1 }], price: [{ add: 1 }] }";

fn line(name: &str, number: usize) -> String {
    format!(
        r#"{{"name": "{name}", "rate": {{"limit": "5/s"}}, "credits": {{"paid": 7}}, "tokens": [{{"name": "t", "hash": "{}", "products": ["paid"], "domains": ["a.example"]}}]}}"#,
        digest(number)
    )
}

fn file(name: &str, number: usize) -> String {
    format!(
        "accounts:\n  {name}:\n    rate: {{ unlimited: true }}\n    tokens: [{{ name: t, hash: {}, products: [free] }}]\n",
        digest(number)
    )
}

struct Two {
    scratch: Scratch,
    before: Config,
}

impl Two {
    /// A configuration that is in force, with three lines and a file.
    fn new() -> Two {
        Two::of(&main_text(PRICES))
    }

    /// The same with another main file.
    fn of(main: &str) -> Two {
        let scratch = Scratch::new();
        scratch.write("main.yaml", main);
        scratch.write("accounts.d/a.yaml", file("yaml", 9));
        scratch.write("accounts.d/b.jsonl", [line("one", 1), line("two", 2), line("three", 3)].join("\n"));
        let before = load(&scratch.path().join("main.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Two { scratch, before }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("main.yaml")
    }

    /// Without any shortcut.
    fn thorough(&self) -> Result<Config, Mistakes> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        let source = Source::from(self.scratch.path().to_owned());
        let around = Around { source: &source, from_store: None, instead: None, now: 0 };
        parse_by(&self.path().display().to_string(), &text, around, None)
    }

    fn follow(&self) -> Result<Config, Mistakes> {
        let credit_account = |account: &str, product: &str| {
            let known = self.before.policy.credit_accounts();
            known.into_iter().find(|credit_account| credit_account.key() == (account, product)).map(Arc::clone)
        };
        let predecessor = Predecessor { policy: &self.before.policy, credit_account: &credit_account };
        load_and_note(&self.path(), Some(&predecessor)).0
    }

    /// The names of accounts after a change; with a star, if they are the same values as before.
    fn followed(&self) -> String {
        let after = self.follow().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let is_same =
            |account: &Arc<Account>| self.before.policy.accounts.iter().any(|known| Arc::ptr_eq(known, account));
        let told = |account: &Arc<Account>| format!("{}{}", account.name, if is_same(account) { "*" } else { "" });
        for account in after.policy.accounts.iter() {
            for key in &account.keys {
                assert_eq!(after.policy.accounts.find(&key.digest).unwrap().account.name, account.name);
            }
        }
        after.policy.accounts.iter().map(told).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn accounts_that_are_written_as_they_were_are_the_same_values() {
    let two = Two::new();
    let (one, two_, three) = (line("one", 1), line("two", 2), line("three", 3));
    let changed = two_.replace("5/s", "6/s");
    for (yaml, lines, expected) in [
        (file("yaml", 9), vec![&*one, &two_, &three], "yaml* one* two* three*"),
        (file("yaml", 9), vec![&one, &changed, &three], "yaml* one* two three*"),
        (file("yaml", 9), vec![&three, "", &one], "yaml* three* one*"),
        (file("yaml", 8), vec![&one, &line("four", 4), &two_, &three], "yaml one* four two* three*"),
        (file("other", 9), vec![&two_], "other two*"),
        (file("yaml", 9) + &file("other", 8).replace("accounts:\n", ""), vec![&*one], "yaml other one*"),
        ("accounts: {}".to_owned(), vec![&changed], "two"),
    ] {
        two.scratch.write("accounts.d/a.yaml", yaml);
        two.scratch.write("accounts.d/b.jsonl", lines.join("\r\n"));
        assert_eq!(two.followed(), expected);
    }
}

#[test]
fn a_change_of_the_products_makes_every_account_anew() {
    let two = Two::new();
    two.scratch.write("main.yaml", main_text(PRICES) + "grace: 7s\n");
    assert_eq!(two.followed(), "yaml* one* two* three*", "what accounts do not depend on");
    let more = "  more: { upstream: lookup, routes: [POST /more], token_headers: [Auth-Token] }\n  free:";
    two.scratch.write("main.yaml", main_text(PRICES).replace("  free:", more));
    assert_eq!(two.followed(), "yaml one two three");
    // Without prices, credits are a mistake, which no account that was good before can hide.
    two.scratch.write("main.yaml", main_text(PRICES).replace(&format!(", credits: {PRICES}"), ""));
    let mistakes = two.follow().err().unwrap().to_string();
    assert_eq!(mistakes.matches("is a product without prices").count(), 3, "{mistakes}");
}

#[test]
fn mistakes_are_told_as_if_nothing_had_been_there_before() {
    let two = Two::new();
    for (yaml, lines) in [
        (file("yaml", 1), vec![line("one", 1)]),
        (file("yaml", 9) + "  # again\n" + &file("yaml", 8).replace("accounts:\n", ""), vec![]),
        (file("yaml", 9) + &file("other", 9).replace("accounts:\n", ""), vec![]),
        (file("yaml", 9) + &file("other", 8).replace("accounts:\n", "").replace("true", "maybe"), vec![]),
        (file("yaml", 9) + "  other: *nobody\n", vec![]),
        (file("one", 9), vec![line("one", 1), line("two", 2)]),
        (file("yaml", 9), vec![line("one", 1), line("one", 1)]),
        (file("yaml", 9), vec![line("one", 1), line("two", 2).replace("5/s", "0/s")]),
        (file("yaml", 9), vec![line("one", 1), line("four", 1), String::from("{")]),
    ] {
        two.scratch.write("accounts.d/a.yaml", yaml);
        two.scratch.write("accounts.d/b.jsonl", lines.join("\n"));
        let thorough = two.thorough().err().unwrap();
        assert_eq!(load(&two.path()).err().unwrap(), thorough);
        assert_eq!(two.follow().err().unwrap(), thorough);
    }
}

#[test]
fn credits_that_are_known_go_on_whatever_else_has_changed() {
    let two = Two::new();
    let known = |policy: &Policy, name: &str| {
        policy.credit_accounts().find(|credit_account| *credit_account.account == *name).map(Arc::clone)
    };
    two.scratch.write("accounts.d/b.jsonl", [line("one", 1).replace("5/s", "6/s"), line("new", 5)].join("\n"));
    let after = two.follow().unwrap();
    let before = known(&two.before.policy, "one").unwrap();
    assert!(Arc::ptr_eq(&before, &known(&after.policy, "one").unwrap()));
    assert!(known(&two.before.policy, "new").is_none() && known(&after.policy, "new").is_some());
}

#[test]
fn equal_lists_and_rates_are_kept_once() {
    let two = Two::new();
    let lists: Vec<_> = two.before.policy.accounts.keys().map(|key| &key.token.domains).collect();
    let [Domains::Any, Domains::Listed(one), Domains::Listed(another), Domains::Listed(third)] = lists[..] else {
        panic!("{lists:?}");
    };
    assert!(Arc::ptr_eq(one, another) && Arc::ptr_eq(another, third));
}

#[test]
fn entries_that_are_written_as_they_were_are_the_same_values() {
    let scratch = Scratch::new();
    let entry = |name: &str, number| file(name, number).replace("accounts:\n", "");
    let whole = |entries: &[String]| format!("# Ours.\naccounts: # all of them\n\n{}", entries.concat());
    scratch.write("main.yaml", main_text(PRICES));
    scratch.write(
        "accounts.d/a.yaml",
        whole(&[entry("one", 1), "  # Two.\n".to_owned(), entry("two", 2), entry("three", 3)]),
    );
    let before = load(&scratch.path().join("main.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let two = Two { scratch, before };
    for (text, expected) in [
        (whole(&[entry("three", 3), entry("four", 4), entry("two", 2)]), "three* four two*"),
        (
            whole(&[
                entry("one", 1).replace("free", "paid, free").replace("true }", "true }\n    credits: { paid: 1 }"),
                entry("two", 2),
            ]),
            "one two*",
        ),
    ] {
        two.scratch.write("accounts.d/a.yaml", text);
        assert_eq!(two.followed(), expected);
    }
}

/// Files of accounts with bytes changed: with shortcuts and without, the same accounts or the same mistakes.
#[test]
fn shortcuts_lead_where_the_whole_way_leads() {
    const MUTATIONS: usize = 2000;
    let two = Two::new();
    let entry = |name: &str, number| file(name, number).replace("accounts:\n", "");
    let yaml = file("a", 11)
        + &entry("b", 12)
        + "  # c\n"
        + &entry("c", 13).replace("tokens: [", "tokens:\n     [")
        + &entry("d", 14);
    let lines = [line("one", 1), line("two", 2), line("three", 3)].join("\n");
    let told = |outcome: Result<Config, Mistakes>| match outcome {
        Ok(config) => {
            let account = |account: &Arc<Account>| format!("{:?} {:?} {:?}", account.name, account.rate, account.keys);
            config.policy.accounts.iter().map(account).collect::<Vec<_>>().join("\n")
        }
        Err(mistakes) => mistakes.to_string(),
    };
    let mut random = Random::new();
    let mut good = 0;
    for turn in 0..MUTATIONS {
        let broken = random.broken(if turn % 2 == 0 { &yaml } else { &lines });
        two.scratch.write(if turn % 2 == 0 { "accounts.d/a.yaml" } else { "accounts.d/b.jsonl" }, &broken);
        let thorough = two.thorough();
        good += usize::from(thorough.is_ok());
        let thorough = told(thorough);
        assert_eq!(told(load(&two.path())), thorough, "{broken}");
        assert_eq!(told(two.follow()), thorough, "{broken}");
        two.scratch.write("accounts.d/a.yaml", &yaml);
        two.scratch.write("accounts.d/b.jsonl", &lines);
    }
    assert!((50..MUTATIONS - 500).contains(&good), "{good} of {MUTATIONS} are good");
}

/// What the store has stays when files change, and is told where a file has it as well: nothing of such a
/// change comes into force, also where the mistake is looked for without shortcuts.
#[test]
fn files_cannot_have_what_the_store_has() {
    let mut two = Two::of(&(main_text(PRICES) + "store: { sqlite: store.db }\n"));
    let stored = load_in(&two.scratch, "store.jsonl", &line("stored", 7));
    let stored = stored.policy.accounts.by_name("stored").cloned().unwrap();
    assert_eq!(two.before.policy.take_in([stored], || {}), []);
    assert_eq!(two.before.policy.accounts.from_store().count(), 1);
    let (one, own) = (line("one", 1), "accounts.d/b.jsonl");
    for (lines, told) in [
        (vec![line("new", 4)], vec![]),
        (vec![one.clone(), line("stored", 4)], vec!["b.jsonl:2:1: is an account that the store has"]),
        (
            vec![one.clone(), line("other", 7)],
            vec!["has the digest of a token that the store has (of the account stored)"],
        ),
        (vec![line("stored", 7)], vec!["b.jsonl:1:1: is an account that the store has"]),
    ] {
        two.scratch.write(own, lines.join("\n"));
        let mistakes = two.follow().err().map(|mistakes| mistakes.to_string()).unwrap_or_default();
        assert_eq!(mistakes.lines().count(), told.len(), "{mistakes}");
        assert!(told.iter().all(|told| mistakes.contains(told)), "{mistakes}");
    }
}

/// The accounts of some lines, beside the files of a directory.
fn load_in(scratch: &Scratch, name: &str, lines: &str) -> Config {
    scratch.write(name, lines);
    scratch.write("store.yaml", main_text(PRICES).replace("accounts.d/*.yaml, accounts.d/*.jsonl", name));
    load(&scratch.path().join("store.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}
