//! Tables of wrong prices, credits and ledgers, and the exact lines that each is answered with.

use super::tests::{GOOD, check_edits};

/// [`GOOD`], with prices, credits and a ledger.
fn paid() -> String {
    let prices = "    credits:
      hold:
        - { add: 1 }
        - { add: 1, if: { request: /number, filled: true } }
      price:
        - { set: 0, if: { answer: /result/type, is: Bad format, ignore_case: true } }
        - { add: 1 }
        - { add: 2, if: { all: [ { answer: /result/a, one_of: [x, y] }, { not: { request: /number, is: z } } ] } }
    preflight_max_age: 10m
";
    GOOD.replace("    preflight_max_age: 10m\n", prices)
        .replace(
            "    rate: { limit: 150/min, burst: 150 }\n",
            "    rate: { limit: 150/min, burst: 150 }\n    credits: { phone: 1000 }\n",
        )
        .replace(
            "accounts:\n",
            "ledger: { file: ledger.db, durability: each }\nenquiry_rate: { limit: 60/min, burst: 10 }\naccounts:\n",
        )
}

/// One edit of it, and the lines that the edited text is answered with.
type Case = ((&'static str, &'static str), &'static [&'static str]);

fn check(cases: &[Case]) {
    let text = paid();
    assert!(super::parse("f", &text, &super::Source::Embedded(&[])).is_ok());
    check_edits(&text, cases.iter().map(|(edit, lines)| (std::slice::from_ref(edit), *lines)));
}

#[test]
fn mistakes_in_prices() {
    check(&[
        (
            ("- { add: 1 }\n        - { add: 1, if", "- { add: 1, set: 1 }\n        - { add: 1, if"),
            &["f:29:11: products.phone.credits.hold[0]: does not say one amount; write either add or set"],
        ),
        (
            ("- { set: 0, if", "- { if"),
            &["f:32:11: products.phone.credits.price[0]: does not say one amount; write either add or set"],
        ),
        (("add: 2", "add: 10001"), &["f:34:18: products.phone.credits.price[2].add: is too much; write at most 10000"]),
        (
            ("add: 2", "add: -2"),
            &["f:34:18: products.phone.credits.price[2].add: is out of range; write a number from 0 to 4294967295"],
        ),
        (
            ("request: /number, filled: true", "answer: /number, filled: true"),
            &[
                "f:30:35: products.phone.credits.hold[1].if.answer: cannot be known before the answer is there; look at the request here",
            ],
        ),
        (
            ("request: /number, filled: true", "request: /nummer, filled: true"),
            &[
                "f:30:36: products.phone.credits.hold[1].if.request: is a place that the body's schema does not name; write one of its members",
            ],
        ),
        (
            ("answer: /result/type", "answer: result.type"),
            &[
                "f:32:35: products.phone.credits.price[0].if.answer: is not a JSON Pointer; write one as in /result/phone_type",
            ],
        ),
        (
            ("answer: /result/type", "answer: /result~type"),
            &[
                "f:32:35: products.phone.credits.price[0].if.answer: is not a JSON Pointer; write one as in /result/phone_type",
            ],
        ),
        (
            ("is: Bad format, ignore_case", "is: 7, ignore_case"),
            &[
                "f:32:69: products.phone.credits.price[0].if.ignore_case: says nothing without a text to compare with; remove it",
            ],
        ),
        (
            ("is: Bad format,", "is: Bad format, filled: true,"),
            &[
                "f:32:25: products.phone.credits.price[0].if: does not say one test; write exactly one of is, one_of and filled",
            ],
        ),
        (
            ("answer: /result/type, is: Bad format, ignore_case: true", "answer: /result/type"),
            &[
                "f:32:25: products.phone.credits.price[0].if: does not say one test; write exactly one of is, one_of and filled",
            ],
        ),
        (
            ("answer: /result/type, is", "answer: /result/type, request: /number, is"),
            &[
                "f:32:25: products.phone.credits.price[0].if: is no condition; write exactly one of request, answer, all, any and not",
            ],
        ),
        (
            ("{ all: [", "{ filled: true, all: ["),
            &[
                "f:34:35: products.phone.credits.price[2].if.filled: says nothing beside a combination; write it into one of its conditions",
            ],
        ),
        (
            ("one_of: [x, y]", "one_of: []"),
            &["f:34:63: products.phone.credits.price[2].if.all[0].one_of: is an empty list; write at least one value"],
        ),
        (
            (
                "      price:\n        - { set: 0, if: { answer: /result/type, is: Bad format, ignore_case: true } }\n        - { add: 1 }\n        - { add: 2, if: { all: [ { answer: /result/a, one_of: [x, y] }, { not: { request: /number, is: z } } ] } }\n",
                "",
            ),
            &["f:28:7: products.phone.credits.price: is missing; write at least one line, as in price: [{ add: 1 }]"],
        ),
    ]);
}

#[test]
fn mistakes_in_the_credits_of_accounts() {
    check(&[
        (
            ("    credits: { phone: 1000 }\n", ""),
            &[
                "f:44:3: accounts.acme.credits: says nothing of phone, whose lookups cost credits; write { phone: 1000 }, or { phone: unmetered }",
            ],
        ),
        (
            ("credits: { phone: 1000 }", "credits: { phone: free }"),
            &["f:46:23: accounts.acme.credits.phone: is neither; write a whole number of credits, or unmetered"],
        ),
        (
            ("credits: { phone: 1000 }", "credits: { phone: 1099511627776 }"),
            &["f:46:16: accounts.acme.credits.phone: is too much; write at most 1099511627775 credits"],
        ),
        (
            ("credits: { phone: 1000 }", "credits: { phone: 1000, fax: 1 }"),
            &["f:46:29: accounts.acme.credits.fax: names no product; write phone"],
        ),
    ]);
}

#[test]
fn mistakes_in_the_ledger() {
    check(&[
        (
            ("ledger: { file: ledger.db, durability: each }\n", ""),
            &[
                "f:1:1: ledger: is missing, and accounts have credits; name the file that credits are written to, as in ledger: { file: ledger.db }",
            ],
        ),
        (
            ("{ file: ledger.db, durability: each }", "{ durability: each }"),
            &[
                "f:41:9: ledger.file: is missing; name the file that credits are written to, as in ledger: { file: ledger.db }, or say volatile: true",
            ],
        ),
        (
            ("file: ledger.db, ", "file: ledger.db, volatile: true, "),
            &["f:41:17: ledger.file: says nothing beside volatile: true, which keeps credits in memory; remove one"],
        ),
        (
            ("file: ledger.db", "file: \" \""),
            &["f:41:17: ledger.file: is not the name of a file; write one as in ledger.db"],
        ),
        (
            ("enquiry_rate: { limit: 60/min, burst: 10 }", "enquiry_rate: { unlimited: true }"),
            &[
                "f:42:15: enquiry_rate: has no limit, and answering costs something; write one, as in { limit: 60/min, burst: 10 }",
            ],
        ),
        (
            ("routes: [POST /phone]", "routes: [POST /phone, GET /account/credits]"),
            &[
                "f:1:1: products: route GET /account/credits, where accounts are told of their credits; give that route another path",
            ],
        ),
    ]);
}
