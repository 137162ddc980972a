//! Tables of texts and their exact messages, and randomly broken texts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer};

use super::mistakes::MAX_TOLD;
use super::*;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Config {
    listen: Written<String>,
    head_timeout: Written<u16>,
    retries: Written<NonZeroU32>,
    ratio: Written<f64>,
    trace: Written<bool>,
    address: Written<IpAddr>,
    mode: Written<Mode>,
    pair: Written<(u8, u8)>,
    maybe: Option<String>,
    products: Entries<Product>,
    tokens: Listed<Token>,
    names: Written<Vec<String>>,
    ports: Written<BTreeMap<u16, String>>,
    free: Written<serde_json::Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Open,
    Closed,
    Limited { most: u8 },
    Named(String),
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Product {
    body: Written<Body>,
    expires: Written<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Body {
    max: Written<u32>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Token {
    hash: Hash,
    #[serde(default)]
    note: Written<String>,
}

/// A value that checks its own text.
#[derive(Debug, PartialEq)]
struct Hash(String);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with("h-") {
            return Ok(Hash(text));
        }
        Err(serde::de::Error::custom("is not a hash; write what the hash command prints"))
    }
}

fn lines_of<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let mut mistakes = Mistakes::default();
    read::<T>("f", text, &mut mistakes);
    mistakes.to_string().lines().map(String::from).collect()
}

fn good<T: DeserializeOwned>(text: &str) -> T {
    let mut mistakes = Mistakes::default();
    let value = read("f", text, &mut mistakes);
    assert!(mistakes.is_empty(), "{text:?} gave {mistakes}");
    value.unwrap().0
}

/// Each text with the lines that are said about it.
fn each_gives(rows: &[(&str, &[&str])]) {
    let mut failures = String::new();
    for (text, expected) in rows {
        let found = lines_of::<Config>(text);
        if found != *expected {
            failures.push_str(&format!("{text:?}\n  found    {found:#?}\n  expected {expected:#?}\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn empty_texts() {
    each_gives(&[
        ("", &["f:1:1: is empty; write at least one `key: value` line"]),
        ("# only words\n", &["f:1:1: is empty; write at least one `key: value` line"]),
        ("---\n", &["f:1:1: is empty; write at least one `key: value` line"]),
        ("~\n", &["f:1:1: is blank; give it a value or remove the key"]),
    ]);
}

#[test]
fn mistakes_in_keys() {
    let long_key = format!("{}: 1", "k".repeat(100));
    each_gives(&[
        (
            "listen: a\nlisten: b\nlisten: c",
            &[
                "f:2:1: listen: is written twice, first on line 1; keep one",
                "f:3:1: listen: is written twice, first on line 1; keep one",
            ],
        ),
        ("free:\n  - x: {y: 1, 'y': 2}", &["f:2:15: free[0].x.y: is written twice, first on line 2; keep one"]),
        ("head_timout: 3", &["f:1:1: head_timout: is not a key here; did you mean `head_timeout`?"]),
        ("head: 3", &["f:1:1: head: is not a key here; did you mean `head_timeout`?"]),
        ("lsiten: a", &["f:1:1: lsiten: is not a key here; did you mean `listen`?"]),
        ("products: {p: {body: {least: 1}}}", &["f:1:23: products.p.body.least: is not a key here; the keys are max"]),
        (
            "products:\n  p:\n    <<: {}\n",
            &["f:3:5: products.p.<<: is not a key here; write out the keys that it would merge"],
        ),
        (
            "[a]: 1\nlisten: {}",
            &[
                "f:1:1: has a list or mapping as a key; write a single word as the key",
                "f:2:9: listen: is a mapping, but one value is wanted here; write a single value",
            ],
        ),
        (": 1", &["f:1:1: has a value without a key; write `key: value`"]),
        ("free: {\"a\\nb\": 1, \"a\\nb\": 2}", &["f:1:19: free.a\\nb: is written twice, first on line 1; keep one"]),
        (
            &long_key,
            &[
                "f:1:1: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…: is not a key here; the keys are \
             listen, head_timeout, retries, ratio, trace, address, mode, pair, maybe, products, tokens, names, ports, \
             free",
            ],
        ),
    ]);
}

#[test]
fn blank_values() {
    each_gives(&[
        (
            "listen:\nproducts:\ntokens: ~\nnames: NULL\nmaybe: null\ntrace: 2",
            &[
                "f:1:1: listen: is blank; give it a value or remove the key",
                "f:2:1: products: is blank; give it a value or remove the key",
                "f:3:9: tokens: is blank; give it a value or remove the key",
                "f:4:8: names: is blank; give it a value or remove the key",
                // `maybe` keeps its mistake to nothing, so that its struct ends here.
                "f:5:8: maybe: is blank; give it a value or remove the key",
            ],
        ),
        (
            "listen:\nhead_timeout: ~\nproducts:\n  a:\n",
            &[
                "f:1:1: listen: is blank; give it a value or remove the key",
                "f:2:15: head_timeout: is blank; give it a value or remove the key",
                "f:4:3: products.a: is blank; give it a value or remove the key",
            ],
        ),
        ("names: [a, ~]", &["f:1:12: names[1]: is blank; give it a value or remove the key"]),
        ("maybe:", &["f:1:1: maybe: is blank; give it a value or remove the key"]),
    ]);
}

#[test]
fn mistakes_in_single_values() {
    each_gives(&[
        ("head_timeout: 70000", &["f:1:15: head_timeout: is out of range; write a number from 0 to 65535"]),
        ("head_timeout: -1", &["f:1:15: head_timeout: is less than 0; write a number without a minus sign"]),
        (
            "head_timeout: 99999999999999999999999999999999999999999",
            &["f:1:15: head_timeout: is out of range; write a number from 0 to 65535"],
        ),
        ("head_timeout: 0x1F", &["f:1:15: head_timeout: is not a whole number; write decimal digits, from 0 to 65535"]),
        (
            "head_timeout: 'hunter2'",
            &["f:1:15: head_timeout: is quoted text, but a whole number is wanted here; remove the quotes"],
        ),
        (
            "head_timeout: [1]",
            &["f:1:15: head_timeout: is a list, but a whole number is wanted here; write a single value"],
        ),
        ("retries: 0", &["f:1:10: retries: is not allowed here; write a whole number other than 0"]),
        ("ratio: hunter2", &["f:1:8: ratio: is not a number; write decimal digits"]),
        ("trace: True", &["f:1:8: trace: is neither true nor false; write `true` or `false`"]),
        ("trace: \"true\"", &["f:1:8: trace: is quoted text, but true or false is wanted here; remove the quotes"]),
        ("address: hunter2", &["f:1:10: address: invalid IP address syntax"]),
        ("listen: [a]", &["f:1:9: listen: is a list, but one value is wanted here; write a single value"]),
        (
            "ports: {hunter2: x}",
            &["f:1:9: ports.hunter2: is not a whole number; write decimal digits, from 0 to 65535"],
        ),
    ]);
}

#[test]
fn mistakes_in_lists_and_mappings() {
    each_gives(&[
        (
            "tokens: hunter2",
            &["f:1:9: tokens: is one value, but a list is wanted here; write `- value` lines below it"],
        ),
        (
            "products: [1]",
            &["f:1:11: products: is a list, but a mapping is wanted here; write `key: value` lines below it"],
        ),
        (
            "products: {p: 5}",
            &[
                "f:1:15: products.p: is one value, but a mapping is wanted here; write `key: value` lines below it; the \
             keys are body, expires",
            ],
        ),
        (
            "hunter2",
            &["f:1:1: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are \
             listen, head_timeout, retries, ratio, trace, address, mode, pair, maybe, products, tokens, names, ports, \
             free"],
        ),
        ("pair: [1, 2, 3]", &["f:1:7: pair: has 3 values; write exactly 2"]),
        ("pair: [1, x]", &["f:1:11: pair[1]: is not a whole number; write decimal digits, from 0 to 255"]),
    ]);
}

#[test]
fn mistakes_in_words() {
    each_gives(&[
        (
            "mode: hunter2",
            &["f:1:7: mode: is not one of the words allowed here; write one of open, closed, limited, named"],
        ),
        ("mode: {opn: 1}", &["f:1:8: mode.opn: is not a key here; did you mean `open`?"]),
        ("mode: {open: 1}", &["f:1:7: mode: is a word that takes no value; write the word alone"]),
        ("mode: limited", &["f:1:7: mode: is a word that needs a value; write it as a key with its value"]),
        (
            "mode: {limited: {most: x}}",
            &["f:1:24: mode.limited.most: is not a whole number; write decimal digits, from 0 to 255"],
        ),
        (
            "mode: {limited: 4}",
            &[
                "f:1:17: mode.limited: is one value, but a mapping is wanted here; write `key: value` lines below it; the \
             keys are most",
            ],
        ),
        ("mode: {limited: {}}", &["f:1:17: mode.limited.most: is missing; add it"]),
        ("mode: {}", &["f:1:7: mode: has 0 keys; write exactly one of open, closed, limited, named"]),
    ]);
}

#[test]
fn values_with_rules_of_their_own_and_several_mistakes_at_once() {
    each_gives(&[(
        "tokens:\n- {hash: x}\n- {hash: h-1, note: [], nte: 2}\n- {}\nlsten: 1\ntrace: 2\n",
        &[
            "f:2:10: tokens[0].hash: is not a hash; write what the hash command prints",
            "f:3:21: tokens[1].note: is a list, but one value is wanted here; write a single value",
            "f:3:25: tokens[1].nte: is not a key here; did you mean `note`?",
            "f:4:3: tokens[2].hash: is missing; add it",
            "f:5:1: lsten: is not a key here; did you mean `listen`?",
            "f:6:8: trace: is neither true nor false; write `true` or `false`",
        ],
    )]);
}

#[test]
fn mistakes_in_aliases() {
    let bomb = format!(
        "free:\n  a: &a [{}]\n  b: &b [{}]\n  c: [{}]\n",
        ["1"; 100].join(","),
        ["*a"; 100].join(","),
        ["*b"; 100].join(",")
    );
    let mut alias_depth = String::from("free:\n  - &a0 [1]\n");
    for level in 1..70 {
        alias_depth.push_str(&format!("  - &a{level} [*a{}]\n", level - 1));
    }
    each_gives(&[
        (
            "free: &a [1, *a]",
            &["f:1:14: free[1]: is an alias inside the value that it stands for; write the value out"],
        ),
        (
            "free: *a",
            &[
                "f:1:7: is an alias for an anchor that is not written above; write the value out, or put it in quotes if the `*` belongs to it",
            ],
        ),
        (
            &bomb,
            &["f:4:31: free.c[8]: makes the aliases of this file stand for more than 100000 values; use fewer aliases"],
        ),
        (&alias_depth, &["f:64:11: free[62][0]: is more than 64 levels deep; write it with fewer levels"]),
        (
            "listen: &a [x]\nmaybe: *a",
            &[
                "f:1:9: listen: is a list, but one value is wanted here; write a single value",
                "f:1:9: maybe: is a list, but one value is wanted here; write a single value",
            ],
        ),
    ]);
}

#[test]
fn texts_beyond_the_limits() {
    let deep_block = "- ".repeat(65);
    let deep_flow = "[".repeat(3000);
    each_gives(&[
        (
            &deep_block,
            &["f:1:129: \
            [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]\
            [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: \
            is more than 64 levels deep; write it with fewer levels"],
        ),
        (&deep_flow, &["f:1:256: is more than 64 levels deep; write it with fewer levels"]),
    ]);
}

#[test]
fn documents_and_tags() {
    each_gives(&[
        (
            "listen: a\n---\nlisten: b\n",
            &["f:2:1: is a second document in one file; remove the `---` line or move what follows it to its own file"],
        ),
        (
            "listen: !secret x\nfree: !x {}",
            &["f:1:9: listen: has an unknown tag; remove the tag", "f:2:7: free: has an unknown tag; remove the tag"],
        ),
        (
            "free: [!!int x, !!map [], !!seq {}]",
            &[
                "f:1:8: free[0]: does not fit its tag; remove the tag or correct the value",
                "f:1:17: free[1]: does not fit its tag; remove the tag or correct the value",
                "f:1:27: free[2]: does not fit its tag; remove the tag or correct the value",
            ],
        ),
    ]);
}

#[test]
fn texts_that_are_not_yaml() {
    each_gives(&[
        ("listen: 'a", &["f:1:9: opens a quoted text with `'` that is not closed; add the missing `'`"]),
        (
            "listen: a: b",
            &["f:1:10: has a `: ` where no key can stand; check the indentation of this line and the one before, or \
             put the value in quotes"],
        ),
        ("products:\n\ta: 1\n", &["f:2:1: is indented with a tab; use spaces"]),
        ("names: [a\n", &["f:1:8: opens a list with `[` that is not closed; add the missing `]`"]),
        ("free: {a: b\n", &["f:1:7: opens a mapping with `{` that is not closed; add the missing `}`"]),
        ("listen: @a\n", &["f:1:9: starts with a character that needs quotes; put the value in quotes"]),
        (
            "listen: a\n  x: 1\n",
            &["f:2:4: has a `: ` where no key can stand; check the indentation of this line and the one before, or \
             put the value in quotes"],
        ),
        (
            "listen: a\nx\n",
            &["f:3:1: follows a line without `: `; write that line as `key: value`, or indent it to continue the one \
             before"],
        ),
        (
            "a:\n    b: 1\n  c: 2\n",
            &["f:3:3: is not a `key: value` line; check its indentation and that the text before it is complete"],
        ),
        ("- a\nb: 1\n", &["f:2:1: is not a `- ` line of the list before it; check its indentation"]),
        ("listen: \"\\q\"", &["f:1:9: has an escape that YAML does not know; correct it, or use single quotes"]),
        ("listen: a\u{0}b", &["f:1:10: is a character that YAML does not allow; remove it"]),
        ("listen: %a", &["f:1:9: starts with a character that needs quotes; put the value in quotes"]),
        ("names: [a,", &["f:1:8: opens a list with `[` that is not closed; add the missing `]`"]),
        ("listen: 'a' b", &["f:1:13: comes after a closing quote; move it inside the quotes, or remove it"]),
        ("listen: 'a'#b", &["f:1:12: has a `#` directly after a value; put a space before it, or quotes around both"]),
        (
            "{}\nlisten: a",
            &["f:2:1: comes after the end of the document; indent it to belong to what is above, or remove it"],
        ),
        ("}", &["f:1:1: is a closing bracket without its opening one; remove it or open it before"]),
    ]);
}

#[test]
fn good_texts_are_read() {
    let config: Config = good(
        "\u{feff}listen: 123\nhead_timeout: +5\nratio: 3\ntrace: false\naddress: ::1\nmode: open\npair: [1, 2]\n\
         maybe: ''\nproducts:\n  b: {expires: 2027-06-30}\n  a: &a {body: {max: 1}}\n  c: *a\n\
         tokens:\n- hash: h-1\n  note: !!str ~\nnames: [null_, 'null', true]\nports: {80: a}\n",
    );
    assert_eq!(config.listen.get().unwrap(), "123");
    assert_eq!(config.listen.place().unwrap().to_owned(), Place::new(&Arc::from("f"), 1, 9, String::from("listen")));
    assert_eq!(config.head_timeout.take(), Some(5));
    assert_eq!(config.ratio.take(), Some(3.0));
    assert_eq!(config.mode.take(), Some(Mode::Open));
    assert_eq!(config.maybe.as_deref(), Some(""));
    assert!(config.free.is_missing());
    let keys: Vec<(&str, usize, &str)> =
        config.products.0.iter().map(|(key, place, _)| (key.as_str(), place.line, &*place.path)).collect();
    assert_eq!(keys, [("b", 10, "products.b"), ("a", 11, "products.a"), ("c", 12, "products.c")]);
    let (_, _, aliased) = &config.products.0[2];
    let max = aliased.body.get().unwrap().max.place().unwrap();
    assert_eq!((max.line, max.column, &*max.path), (11, 22, "products.c.body.max"));
    assert_eq!(config.products.0[0].2.expires.get().unwrap(), "2027-06-30");
    assert_eq!(&*config.tokens.0[0].1.path, "tokens[0]");
    assert_eq!(config.tokens.0[0].0.note.get().unwrap(), "~");
    assert_eq!(config.names.take().unwrap(), ["null_", "null", "true"]);
    assert_eq!(good::<Config>("mode: {named: x}").mode.take(), Some(Mode::Named(String::from("x"))));
    assert_eq!(good::<Config>("mode: {limited: {most: 3}}").mode.take(), Some(Mode::Limited { most: 3 }));
    let deepest = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    good::<serde_json::Value>(&deepest);
}

#[test]
fn free_values_follow_the_core_schema() {
    let rows = [
        ("[~, null, '', \"null\", !!str 1]", r#"[null, null, "", "null", "1"]"#),
        ("[true, False, yes, 'true']", r#"[true, false, "yes", "true"]"#),
        ("[1, -2, +3, 010, 0x1F, 0o17, 1_0, 0x+1]", r#"[1, -2, 3, 10, 31, 15, "1_0", "0x+1"]"#),
        ("[1.5, -.5, 1e3, 1., inf, nan, 2027-06-30]", r#"[1.5, -0.5, 1000.0, 1.0, "inf", "nan", "2027-06-30"]"#),
        ("a:\n  null: 1\n  '<<': 2\n  \"\": 3", r#"{"a": {"null": 1, "<<": 2, "": 3}}"#),
        ("{\n\t\"a\": [1,2],\n\t\"b\":\"\\/\\u00e9\\n\"\n}", r#"{"a": [1, 2], "b": "/\u00e9\n"}"#),
        ("- |\n  a\n  b\n- >\n  a\n  b\n", r#"["a\nb\n", "a b\n"]"#),
        ("{\"a\":{\"b\":[]}}", r#"{"a":{"b":[]}}"#),
    ];
    for (text, json) in rows {
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(good::<serde_json::Value>(text), expected, "{text}");
    }
}

#[test]
fn a_missing_key_is_a_mistake_of_its_parent() {
    let mut mistakes = Mistakes::default();
    let (config, root) = read::<Config>("f", "products: {p: {}}\nlisten: []", &mut mistakes).unwrap();
    config.retries.require(&root, "retries", "write how often", &mut mistakes);
    config.listen.require(&root, "listen", "write an address", &mut mistakes);
    for (_, place, product) in config.products.0 {
        product.body.require(&place, "body", "write its bounds", &mut mistakes);
    }
    assert_eq!(
        mistakes.to_string(),
        "f:1:1: retries: is missing; write how often\n\
         f:1:12: products.p.body: is missing; write its bounds\n\
         f:2:9: listen: is a list, but one value is wanted here; write a single value\n"
    );
    assert_eq!(mistakes.len(), 3);
    let again = mistakes.clone();
    again.iter().for_each(|mistake| mistakes.push(mistake.place.clone(), mistake.what.clone()));
    assert_eq!(mistakes, again);
}

#[test]
fn the_innermost_key_is_the_bad_one() {
    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Outer {
        entries: Written<Entries<u8>>,
        twice: Written<Written<u8>>,
        list: Listed<Listed<u8>>,
        plain: Entries<u8>,
    }
    let mut mistakes = Mistakes::default();
    let text = "entries: 1\ntwice: x\nlist: [1, [2, x]]\nplain: [1]\n";
    let (outer, _) = read::<Outer>("f", text, &mut mistakes).unwrap();
    assert_eq!((outer.entries, outer.twice, outer.plain), (Written::Bad, Written::Bad, Entries::default()));
    let [(inner, _)] = outer.list.0.as_slice() else { panic!("{:?}", outer.list) };
    assert_eq!(inner.0.iter().map(|(number, place)| (*number, &*place.path)).collect::<Vec<_>>(), [(2, "list[1][0]")]);
    let paths: Vec<&str> = mistakes.iter().map(|mistake| &*mistake.place.path).collect();
    assert_eq!(paths, ["entries", "twice", "list[0]", "list[1][1]", "plain"]);
}

#[test]
fn no_message_shows_a_value() {
    let keys = ["listen", "head_timeout", "retries", "ratio", "trace", "address", "mode", "pair", "maybe"];
    let more = ["products", "tokens", "names", "ports"];
    for value in ["hunter2", "'hunter2'", "[hunter2]", "[[hunter2]]", "{k: hunter2}", "{open: hunter2}", "!x hunter2"] {
        for key in keys.iter().chain(&more) {
            for text in
                [format!("{key}: {value}"), format!("{key}: {value}\n bad: *x"), format!("{key}: {{a: {value}}}")]
            {
                for line in lines_of::<Config>(&text) {
                    assert!(!line.contains("hunter2"), "{text}: {line}");
                }
            }
        }
    }
}

#[test]
fn other_formats_read_the_same() {
    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Small {
        number: Written<u8>,
        list: Written<Vec<u8>>,
        map: Written<BTreeMap<String, u8>>,
        option: Written<Option<u8>>,
        entries: Entries<Written<u8>>,
        listed: Listed<u8>,
    }
    let place = Place::default;
    let text =
        r#"{"number": 1, "list": [2], "map": {"a": 3}, "option": null, "entries": {"a": 4, "z": 5}, "listed": [6]}"#;
    let expected = Small {
        number: Written::Here(1, place()),
        list: Written::Here(vec![2], place()),
        map: Written::Here(BTreeMap::from([(String::from("a"), 3)]), place()),
        option: Written::Here(None, place()),
        entries: Entries(vec![
            (String::from("a"), place(), Written::Here(4, place())),
            (String::from("z"), place(), Written::Here(5, place())),
        ]),
        listed: Listed(vec![(6, place())]),
    };
    assert_eq!(serde_json::from_str::<Small>(text).unwrap(), expected);
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::from_value::<Small>(value).unwrap(), expected);
    let entries: Entries<u8> = serde_json::from_str(r#"{"z": 1, "a": 2}"#).unwrap();
    assert_eq!(entries.0, [(String::from("z"), place(), 1), (String::from("a"), place(), 2)]);
    assert_eq!(serde_json::from_str::<Small>("{}").unwrap(), Small::default());
    for bad in [r#"{"number": 256}"#, r#"{"entries": {"a": "x"}}"#, r#"{"listed": [null]}"#] {
        assert!(serde_json::from_str::<Small>(bad).is_err(), "{bad}");
    }
}

#[test]
fn broken_texts_end_in_mistakes() {
    let sample = "# words\nlisten: \"a\\tb\" # more\nhead_timeout: 30\nproducts: &p\n  plate:\n    body: {max: 10, 'x': [1, ~]}\n\
                  tokens:\n- hash: h-1\n  note: |\n    text\n\n- ? hash\n  : >-\n   h\nnames: [*p, !!str 5]\nfree: é\n...\n";
    for end in (0..sample.len()).filter(|end| sample.is_char_boundary(*end)) {
        lines_of::<Config>(&sample[..end]);
        lines_of::<Config>(&sample[end..]);
    }
    // A fixed sequence of numbers, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let alphabet = b" \n\r\t:-?[]{},&*!|>'\"%@`#~<.\\a0x\0\xef\xbb\xbf\x80";
    for _ in 0..20_000 {
        let mut bytes = sample.as_bytes().to_vec();
        for _ in 0..1 + next(6) {
            let at = next(bytes.len());
            let byte = alphabet[next(alphabet.len())];
            match next(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.drain(at..(at + 1 + next(20)).min(bytes.len() - 1).max(at))),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut mistakes = Mistakes::default();
        if read::<Config>("f", &text, &mut mistakes).is_none() {
            assert!(!mistakes.is_empty(), "{text:?}");
        }
        for mistake in mistakes.iter() {
            assert!(mistake.place.line >= 1 && mistake.place.column >= 1, "{mistake}");
        }
    }
}

#[test]
fn warnings_stand_apart_from_mistakes_and_both_have_a_limit() {
    let place = |line| Place { file: "f".into(), line, column: 2, path: "a.b".into() };
    let mut found = Mistakes::default();
    found.warn(place(3), "is odd; write 1");
    found.warn(place(3), "is odd; write 1");
    assert!(found.is_empty() && !found.touch(&place(3)) && found.to_string().is_empty());
    let mut all = Mistakes::default();
    all.take_over(found, |place| Place { line: place.line + 10, ..place });
    let told: Vec<String> = all.warnings().map(ToString::to_string).collect();
    assert_eq!(told, ["f:13:2: a.b: warning: is odd; write 1"]);
    for line in 0..MAX_TOLD + 5 {
        all.push(place(line), "is wrong");
        all.warn(place(line), "is odd");
    }
    assert_eq!((all.len(), all.iter().count(), all.warnings().count()), (MAX_TOLD + 5, MAX_TOLD, MAX_TOLD));
    assert!(all.to_string().ends_with("\nand 5 more mistakes\n"), "{all}");
    assert_eq!((all.take_warnings().len(), all.warnings().count()), (MAX_TOLD, 0));
}

/// Common mistakes, with the place where they are to be fixed.
#[test]
fn what_is_to_be_mended_is_told_where_it_stands() {
    for (text, expected) in [
        (
            "names: [*.acme.example]\n",
            "1:9: begins with `*`, which stands for an alias in YAML; put the value in quotes",
        ),
        (
            "names:\n  - *.acme.example\n",
            "2:5: begins with `*`, which stands for an alias in YAML; put the value in quotes",
        ),
        ("names: [a, *]\n", "1:12: begins with `*`, which stands for an alias in YAML; put the value in quotes"),
        ("names: [a,\n  b\nlisten: c\nmode: d\n", "1:8: opens a list with `[` that is not closed; add the missing `]`"),
        ("names: [[a], b\nlisten: [c]\n", "1:8: opens a list with `[` that is not closed; add the missing `]`"),
        (
            "products:\n  p: {a: 1\n  q: {a: 2}\n",
            "2:6: opens a mapping with `{` that is not closed; add the missing `}`",
        ),
        (
            "a: 1\nlisten: \"abc\nmode: d\n",
            "2:9: opens a quoted text with `\"` that is not closed; add the missing `\"`",
        ),
        ("listen: \"abc\nmode: \"d\"\n", "1:9: opens a quoted text with `\"` that is not closed; add the missing `\"`"),
        ("listen: 'it''s\nmode: d\n", "1:9: opens a quoted text with `'` that is not closed; add the missing `'`"),
        (
            "# don't [\nlisten: a | b [\nnames: [a\n",
            "3:8: opens a list with `[` that is not closed; add the missing `]`",
        ),
        ("a: |\n  text [ \"\nnames: [a\n", "3:8: opens a list with `[` that is not closed; add the missing `]`"),
        ("products:\n\ta: 1\n", "2:1: is indented with a tab; use spaces"),
        ("products:\n  \ta: 1\n", "2:3: is indented with a tab; use spaces"),
        ("products:\n  p:\n  \tbody: 1\n", "3:3: is indented with a tab; use spaces"),
        ("a: 1\nb:\n  - x\n\t- y\n", "4:1: is indented with a tab; use spaces"),
        ("free: [\n\t1,\n\t2]\nb: |\n  a\n  \tb\nmode:\n \topen\n", "8:2: is indented with a tab; use spaces"),
    ] {
        let lines = lines_of::<Config>(text);
        assert_eq!(lines, [format!("f:{expected}")], "{text:?}");
    }
}

/// A few bytes that expand to gigabytes.
#[test]
fn aliases_are_bounded_by_the_text_that_they_stand_for() {
    let with = |length: usize, count: usize| {
        format!("free:\n  x: &n \"{}\"\n  y: [{}]\n", "x".repeat(length), vec!["*n"; count].join(", "))
    };
    let lines = lines_of::<Config>(&with(100_000, 20_000));
    let expected =
        "f:3:171: free.y[41]: makes the aliases of this file stand for more than 4 MiB of text; use fewer aliases";
    assert_eq!(lines, [expected]);
    assert_eq!(lines_of::<Config>(&with(100_000, 40)), [""; 0], "and this is no bomb");
    // Aliases of aliases, each of which has little text of its own.
    let mut text = String::from("free:\n  a0: &a0 [\"0123456789abcdef0123456789abcdef\"]\n");
    for level in 1..40 {
        text.push_str(&format!("  a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 4].join(", ")));
    }
    let lines = lines_of::<Config>(&text);
    assert!(lines.len() == 1 && lines[0].contains("makes the aliases of this file stand for more than"), "{lines:?}");
}

#[test]
fn references_stand_for_values_wherever_a_value_is_wanted_and_nowhere_else() {
    let expand = |text: &str| match text {
        "${env:N}" => Ok(String::from("7")),
        "${env:T}" => Ok(String::from("true")),
        "a ${env:W}" => Ok(String::from("a word")),
        "${env:R}" => Ok(String::from("7\r")),
        _ => Err(String::from("is not set; set it")),
    };
    let read = |text: &str| {
        let mut mistakes = Mistakes::default();
        let read = read_also::<Config, serde_json::Value>("f", text, &expand, &mut mistakes);
        (read, mistakes.to_string())
    };
    let text = "listen: a ${env:W}\nhead_timeout: \"${env:N}\"\ntrace: ${env:T}\nfree: {x: \"${env:N}\"}\nnames: [\"${env:N}\"]\n";
    let (found, mistakes) = read(text);
    let (config, _, written) = found.unwrap();
    assert_eq!(mistakes, "");
    assert_eq!(config.listen.get().map(String::as_str), Some("a word"));
    assert_eq!((config.head_timeout.get(), config.trace.get()), (Some(&7), Some(&true)));
    assert_eq!(config.names.get().unwrap(), &["7"]);
    assert_eq!(config.free.get().unwrap(), &serde_json::json!({ "x": "${env:N}" }), "what is free is as it is written");
    assert_eq!(written.unwrap()["listen"], "a ${env:W}");
    for (value, expected) in [("\"${env:N}\"", serde_json::json!(7)), ("a ${env:W}", serde_json::json!("a word"))] {
        let (found, mistakes) = read(&format!("free: {value}\n"));
        assert_eq!((found.unwrap().0.free.get(), &*mistakes), (Some(&expected), ""), "a value of any type is one");
    }
    for (text, expected) in [
        ("listen: ${env:X}\n", "f:1:9: listen: is not set; set it\n"),
        ("free: \"${env:X}\"\n", "f:1:7: free: is not set; set it\n"),
        (
            "head_timeout: \"${env:R}\"\n",
            "f:1:15: head_timeout: is not a whole number; write decimal digits, from 0 to 65535 (the value of ${…} has U+000D (a carriage return) at character 2)\n",
        ),
        (
            "\"${env:N}\": 1\n",
            "f:1:1: ${env:N}: is not a key here; the keys are listen, head_timeout, retries, ratio, trace, address, mode, pair, maybe, products, tokens, names, ports, free\n",
        ),
    ] {
        assert_eq!(read(text).1, expected, "{text:?}");
    }
    // Files of accounts, which programs write, have none.
    assert_eq!(good::<Config>("listen: \"${env:W}\"\n").listen.get().map(String::as_str), Some("${env:W}"));
}

#[test]
fn reading_ends_with_a_mistake_once_its_time_is_over() {
    let text = format!("free: [{}]\n", vec!["1"; 2000].join(","));
    let _allowance = crate::platform::pace::Allowance::new(std::time::Duration::ZERO);
    let lines = lines_of::<Config>(&text);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("comes after two minutes of work"), "{lines:?}");
}
