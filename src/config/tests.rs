//! Properties of all wrong configurations, included files, the operator's texts, and randomly broken texts.
//!
//! The messages of single mistakes are data, see `mistakes_tests.rs`; the files in `config/` are tested in
//! `stated_tests.rs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::policy::account::Digest;
use crate::policy::problem::{Row, TABLE};

/// A configuration with every kind of value and no mistake.
pub const GOOD: &str = include_str!("mistakes/good/base.yaml");

pub fn edited(good: &str, edits: &[(&str, &str)]) -> String {
    let mut text = good.to_owned();
    for (old, new) in edits {
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {edits:?}");
        text = text.replace(old, new);
    }
    text
}

pub fn parsed(text: &str) -> Result<Config, Mistakes> {
    parse("f", text, &Source::from(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))))
}

/// The messages about a text; none if it is good.
fn lines_of(text: &str) -> Vec<String> {
    let Err(mistakes) = parsed(text) else { return Vec::new() };
    // Messages name other files with their directory.
    let told = mistakes.to_string().replace(concat!(env!("CARGO_MANIFEST_DIR"), "/config/"), "");
    told.lines().map(str::to_owned).collect()
}

/// A scalar of [`GOOD`]: where it begins and ends.
fn scalars() -> Vec<std::ops::Range<usize>> {
    let ends = |character: char| " \n,[]{}\"'".contains(character);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = GOOD[from..].find(|character| !ends(character)).map(|at| from + at) {
        let end = GOOD[start..].find(ends).map_or(GOOD.len(), |at| start + at);
        let word = &GOOD[start..end];
        if !word.ends_with(':') && word != "-" {
            found.push(start..end);
        }
        from = end;
    }
    found
}

#[test]
fn the_good_configuration_is_good() {
    assert_eq!(lines_of(GOOD), [""; 0]);
    assert_eq!(lines_of(""), ["f:1:1: is empty; write at least one `key: value` line"]);
}

#[test]
fn no_line_shows_a_value() {
    let scalars = scalars();
    assert!(scalars.len() > 50, "{}", scalars.len());
    for secret in ["hunter2", "[hunter2]", "{ hunter2: hunter2 }", "-hunter2", "0hunter2", "sha256:hunter2"] {
        for scalar in &scalars {
            let mut text = GOOD.to_owned();
            text.replace_range(scalar.clone(), secret);
            for line in lines_of(&text) {
                // The names of keys are shown, and one secret is written as a key.
                let shown = line.replace(".hunter2", "").replace("/hunter2", "");
                assert!(!shown.contains("hunter2"), "{:?} by {secret}: {line}", &GOOD[scalar.clone()]);
            }
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let edits = [
        ("listen: 127.0.0.1:8080", "listen: 127.0.0.1"),
        ("headers: 64", "headers: 640"),
        ("upstream: lookup", "upstream: lokup"),
        ("min: 2s", "min: 16s"),
        ("at: /number", "at: /numbr"),
        ("status: 400\n", "status: 402\n"),
        ("150/min", "150"),
        ("[plate]", "[]"),
        ("2027-06-30", "never"),
        ("domains: [app.example.com]", "domains:"),
    ];
    let mut singly = Vec::new();
    for edit in edits {
        let lines = lines_of(&edited(GOOD, &[edit]));
        assert_eq!(lines.len(), 1, "{lines:?}");
        singly.extend(lines);
    }
    assert_eq!(lines_of(&edited(GOOD, &edits)), singly);
}

#[test]
fn sixty_four_products_fit_and_no_more() {
    let with_products = |count: usize| {
        let mut text = "upstreams: { u: { servers: [127.0.0.1:9001] } }\npublic_url: http://a\nproducts:\n".to_owned();
        for number in 0..count {
            let _ = writeln!(text, "  p{number}: {{ upstream: u, routes: [GET /{number}], token_headers: [T] }}");
        }
        let last = count - 1;
        text + &format!(
            "accounts: {{ a: {{ rate: {{ unlimited: true }}, tokens: [{{ name: t, products: [p{last}], hash: \"sha256:{:064}\" }}] }} }}\n",
            0
        )
    };
    let config = parsed(&with_products(64)).unwrap();
    assert!(config.policy.accounts.keys().next().unwrap().token.products.contains(63));
    assert_eq!(
        lines_of(&with_products(65)),
        ["f:68:3: products.p64: is one product too many; a configuration can have 64"]
    );
}

pub(super) const CONFIGURATION: &str = include_str!("../../config/gateway.yaml");

pub(super) fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))
}

/// A directory for one test, removed when the test ends.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // The brackets must not be taken for a pattern.
        let path = std::env::temp_dir().join(format!("tollgate-config-[{}]-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("accounts.d")).unwrap();
        Scratch(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// The lines that `GOOD` with these includes is answered with, without the directory's name.
    fn lines(&self, include: &str) -> Vec<String> {
        let lines = match self.load(include) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
        };
        let prefix = format!("{}/", self.0.display());
        lines.iter().map(|line| line.replace(&prefix, "")).collect()
    }

    fn load(&self, include: &str) -> Result<Config, Mistakes> {
        self.write("main.yaml", format!("{GOOD}include: [{include}]\n"));
        load(&self.0.join("main.yaml"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn digest(number: usize) -> String {
    Digest::of(&number.to_le_bytes()).text()
}

fn line(name: &str, number: usize) -> String {
    format!(
        "{{\"name\": \"{name}\", \"rate\": {{\"limit\": \"5/s\"}}, \"tokens\": [{{\"name\": \"t\", \"hash\": \"{}\", \"products\": [\"plate\"], \"networks\": [\"192.0.2.0/24\"]}}]}}",
        digest(number)
    )
}

const BOTH: &str = "accounts.d/*.yaml, accounts.d/*.jsonl";

#[test]
fn the_documented_configuration_has_nothing_to_warn_of() {
    let config = parsed(CONFIGURATION).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, [""; 0]);
}

#[test]
fn accounts_are_included_from_yaml_and_json_lines() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/a.yaml", "accounts:\n  one:\n    rate: { unlimited: true }\n");
    scratch.write("accounts.d/b.jsonl", format!("{}\n\n{}", line("two", 2), line("three", 3)));
    scratch.write("accounts.d/notes.txt", "not an account");
    let config = scratch.load(BOTH).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let names: BTreeSet<_> = config.policy.accounts.iter().map(|account| &*account.name).collect();
    assert_eq!(names, BTreeSet::from(["acme", "one", "two", "three"]));
    let principal = config.policy.accounts.find(&Digest::of(&3_usize.to_le_bytes())).unwrap();
    let inside = |address: &str| principal.token.networks.contains(address.parse::<IpAddr>().unwrap());
    assert!(inside("192.0.2.1") && !inside("192.0.3.1"));
    assert_eq!(&*principal.account.name, "three");
    // A whole path does as well.
    let whole = scratch.0.join("accounts.d/b.jsonl");
    assert!(scratch.load(&format!("'{}'", whole.display())).is_ok());
}

#[test]
fn a_product_with_a_mistake_is_not_unknown_to_tokens() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/b.jsonl", line("one", 1) + "\n" + &line("two", 2).replace("plate", "fone"));
    let text = format!("{GOOD}include: [{BOTH}]\n").replace("    preflight_max_age: 10m\n", "  other:\n");
    let text =
        text.replace("upstream: lookup", "upstream: lokup").replace("products: [plate]", "products: [plate, other]");
    let mistakes = parse("f", &text, &Source::from(scratch.0.clone())).unwrap_err().to_string();
    let lines: Vec<_> = mistakes.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "b.jsonl:2:164: tokens[0].products[0]: is not a product; write plate",
            "f:13:15: products.plate.upstream: is not an upstream; write lookup",
            "f:27:3: products.other: is blank; give it a value or remove the key",
        ]
    );
}

#[test]
fn files_that_cannot_be_accounts_are_told() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/notes.txt", "hunter2");
    scratch.write("accounts.d/bytes.yaml", b"accounts:\n  \xff: 1\n");
    std::fs::create_dir(scratch.0.join("accounts.d/folder.yaml")).unwrap();
    assert_eq!(
        scratch.lines("accounts.d/*"),
        [
            "accounts.d/bytes.yaml:2:3: has a byte that is not UTF-8 (0xFF, which would be ÿ in Latin-1); save the file as UTF-8",
            "accounts.d/folder.yaml:1:1: is a directory, not a file; fix the file, its permissions or its link, or remove it",
            "accounts.d/notes.txt:1:1: is included, but its name does not end in its format; use .yaml, or .jsonl for one account per line",
        ]
    );
    assert_eq!(
        load(&scratch.0.join("nowhere.yaml")).unwrap_err().to_string(),
        format!("{}/nowhere.yaml:1:1: does not exist; name a file that this user may read\n", scratch.0.display())
    );
}

#[test]
fn a_file_of_json_lines_full_of_mistakes_is_left_early() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/b.jsonl", "{}\n".repeat(1000));
    let lines = scratch.lines(BOTH);
    assert!((20..50).contains(&lines.len()), "{}", lines.len());
    assert!(lines.last().unwrap().ends_with("is not read; fix those first"), "{lines:?}");
    let long = format!("{}\n{{\"name\": \"{}\"}}\n{}\n", line("one", 1), "n".repeat(4 << 20), line("two", 2));
    scratch.write("accounts.d/b.jsonl", long);
    assert_eq!(
        scratch.lines(BOTH),
        [
            "accounts.d/b.jsonl:2:1: is longer than 4 MiB, so the rest of this file is not read; write one account per line"
        ]
    );
}

#[test]
fn a_hundred_thousand_accounts_load() {
    const ACCOUNTS: usize = 100_000;
    let scratch = Scratch::new();
    let text: String = (0..ACCOUNTS).map(|number| line(&format!("account-{number}"), number) + "\n").collect();
    scratch.write("accounts.d/all.jsonl", text);
    let begun = Instant::now();
    let config = scratch.load(BOTH).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    println!("{ACCOUNTS} accounts were loaded in {:?}", begun.elapsed());
    assert_eq!((config.policy.accounts.len(), config.policy.accounts.tokens()), (ACCOUNTS + 1, ACCOUNTS + 1));
    for number in [0, 1, ACCOUNTS / 2, ACCOUNTS - 1] {
        assert!(config.policy.accounts.find(&Digest::of(&number.to_le_bytes())).is_some(), "{number}");
    }
}

/// Whether a text is either good or has mistakes.
fn is_answered(text: &str) -> bool {
    match parse("f", text, &Source::from(directory())) {
        Ok(_) => true,
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused in silence: {text:?}");
            false
        }
    }
}

#[test]
fn every_beginning_of_gateway_yaml_is_answered() {
    // A load of each takes milliseconds, and there are tens of thousands: every end of a line, and every 31st byte, which is
    // at another place in each line. The fuzz target `yaml` tries what is between.
    let ends_a_line = |end: usize| CONFIGURATION.as_bytes().get(end) == Some(&b'\n');
    let ends = (0..=CONFIGURATION.len()).filter(|end| end % 31 == 0 || ends_a_line(*end));
    let beginnings: Vec<&str> = ends.filter_map(|end| CONFIGURATION.get(..end)).collect();
    let good = beginnings.iter().filter(|text| is_answered(text)).count();
    println!("{good} of {} beginnings are good", beginnings.len());
    assert!(is_answered(CONFIGURATION));
}

/// Texts with some bytes changed, the same ones in each run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }

    pub(super) fn broken(&mut self, text: &str) -> String {
        const SPICE: &[u8] = b" \n\t:,-[]{}\"'#&*!|>%@`~0aZ\x00\xc3/.\\";
        let mut bytes = text.to_owned().into_bytes();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => bytes[at] = SPICE[self.below(SPICE.len())],
                2 => bytes.insert(at, SPICE[self.below(SPICE.len())]),
                3 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + self.below(60)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn gateway_yaml_broken_at_random_is_answered() {
    const MUTATIONS: usize = 1000;
    // Comments are most of the file and would take most of the hits.
    let bare: String = CONFIGURATION
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(is_answered(&bare));
    let mut random = Random::new();
    let mut good = 0;
    for _ in 0..MUTATIONS {
        good += usize::from(is_answered(&random.broken(&bare)));
    }
    println!("{good} of {MUTATIONS} broken files are good");
}

/// The error object of a row, for a product or for requests without one.
fn object(wording: &crate::policy::problem::messages::Wording, row: Row, field: Option<u16>) -> Value {
    use crate::policy::problem::{Breach, Broken, Hint};
    let mut out = Vec::new();
    let words = wording.words(row);
    let mut broken = Broken::default();
    broken.push(Breach { field, rule: 0 });
    let shape = crate::policy::problem::messages::ErrorShape::ErrorObject;
    let names = crate::policy::problem::messages::Names::of_body(
        16 * 1024,
        ["number".to_owned()].into_iter(),
        ["must be at most 30".to_owned()].into_iter(),
    );
    words.write_object(&mut out, shape, Hint::Broken(broken), Some(&names), b"/p");
    serde_json::from_slice::<Value>(&out).unwrap()["error"].clone()
}

#[test]
fn own_words_replace_the_built_in_ones() {
    let text = edited(
        GOOD,
        &[(
            "problems:\n  mode",
            "problems:\n  token-unknown: { title: Who are you?, detail: 'Ask for a \"token\".' }\n  \
         token-missing: { detail: 'Send {token_headers} or nothing.' }\n  internal: { status: 500, detail: Sorry. }\n  \
         body-invalid: { detail: 'Look at {field}, up to {body_max} bytes, as {content_type}.' }\n  mode",
        )],
    );
    let config = parsed(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let product = &config.policy.products[0].wording;
    let error = object(product, Row::TokenUnknown, None);
    assert_eq!(
        (error["title"].as_str(), error["detail"].as_str()),
        (Some("Who are you?"), Some("Ask for a \"token\"."))
    );
    assert_eq!(error["type"], "https://api.example.com/problems/token-unknown");
    assert_eq!(object(product, Row::TokenMissing, None)["detail"], "Send Auth-Token or nothing.");
    assert_eq!(
        object(product, Row::BodyInvalid, Some(0))["detail"],
        "Look at number, up to 16384 bytes, as application/json."
    );
    for wording in [product, &config.policy.wording] {
        assert_eq!(object(wording, Row::Internal, None)["detail"], "Sorry.");
        assert_eq!(object(wording, Row::Internal, None)["title"], "Internal Server Error");
        assert_eq!(object(wording, Row::RateExceeded, None)["title"], "Too Many Requests");
    }
    // The products' own rows are as written.
    let number = object(product, Row::Own(1), None);
    assert_eq!((number["detail"].as_str(), number["title"].as_str()), (Some("Send a number."), Some("Bad Request")));
    assert_eq!(number["type"], "https://api.example.com/problems/number-missing");
}

#[test]
fn every_blank_of_every_row_is_filled() {
    let with_header = parsed(&edited(GOOD, &[("[Auth-Token]", "[Auth-Token, x-app-key]")])).unwrap();
    let without_header = parsed(&edited(GOOD, &[("header: Timeout-Seconds, ", "")])).unwrap();
    for config in [&with_header, &without_header] {
        for (row, _) in config.policy.products[0].wording.iter() {
            let detail = object(&config.policy.products[0].wording, *row, None)["detail"].as_str().unwrap().to_owned();
            assert!(!detail.contains(['{', '}']), "{row:?}: {detail}");
            let unused = config.policy.products[0].deadline.header.is_none() && *row == Row::TimeoutInvalid;
            assert!(unused || !detail.contains("(none)"), "{row:?}: {detail}");
        }
        // Rows that come before the product is known have nothing to fill in.
        for row in [Row::MalformedRequest, Row::RequestTimeout, Row::Overloaded, Row::EndpointUnknown, Row::Internal] {
            let detail = object(&config.policy.wording, row, None)["detail"].as_str().unwrap().to_owned();
            assert!(!detail.contains(['{', '}']), "{row:?}: {detail}");
        }
    }
    let product = &with_header.policy.products[0].wording;
    for (row, filled) in [
        (Row::TokenMissing, "Auth-Token or x-app-key"),
        (Row::AcceptUnsupported, "application/json"),
        (Row::ContentTypeUnsupported, "application/json"),
        (Row::TimeoutInvalid, "Timeout-Seconds"),
        (Row::TimeoutInvalid, "from 2 to 15"),
        (Row::BodyTooLarge, "16384 bytes"),
        (Row::DeadlineExceeded, "Timeout-Seconds"),
    ] {
        let detail = object(product, row, None)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(filled), "{row:?}: {detail}");
    }
    assert_eq!(
        object(&without_header.policy.products[0].wording, Row::DeadlineExceeded, None)["detail"],
        "The lookup took longer than the time allowed. Send the request again. Nothing was charged."
    );
    assert_eq!(TABLE.len() + 2, with_header.policy.wording.iter().count());
}

#[test]
fn a_product_that_no_token_covers_lets_no_origin_in() {
    let other =
        "  other:\n    upstream: lookup\n    routes: [POST /other]\n    token_headers: [Auth-Token]\nproblems:\n";
    let config = parsed(&GOOD.replace("problems:\n  mode", &format!("{other}  mode"))).unwrap();
    let policy = &config.policy;
    let [plate, other] = &*policy.products else { panic!("two products") };
    for (origin, plate_allows) in [("https://app.example.com", true), ("https://else.example", false)] {
        assert_eq!(policy.origins.contain(Some(plate.index), origin.as_bytes()), plate_allows, "{origin}");
        assert!(!policy.origins.contain(Some(other.index), origin.as_bytes()), "{origin}");
    }
}

/// What editors, copies and archives leave beside a file.
#[test]
fn a_pattern_matches_what_it_would_in_a_shell() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/a.jsonl", line("one", 1));
    for name in [".#a.jsonl", "._a.jsonl", ".ansible_tmp1a.jsonl", ".a.jsonl.swp", ".hidden/b.jsonl", "x/.y/c.jsonl"] {
        std::fs::create_dir_all(scratch.0.join("accounts.d/.hidden")).unwrap();
        std::fs::create_dir_all(scratch.0.join("accounts.d/x/.y")).unwrap();
        scratch.write(&format!("accounts.d/{name}"), "broken");
    }
    std::os::unix::fs::symlink("user@host.1:2", scratch.0.join("accounts.d/.#b.yaml")).unwrap();
    // A name that is not UTF-8 is no account, and ends nothing.
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff.jsonl");
    std::fs::write(scratch.0.join("accounts.d").join(name), "broken").unwrap();
    for pattern in
        ["accounts.d/*l", "accounts.d/*.*", "accounts.d/?*l", "\"accounts.d/[!x]*\"", "accounts.d/**/*.jsonl"]
    {
        assert_eq!(scratch.lines(pattern), [""; 0], "{pattern}");
    }
    for (pattern, file) in
        [("accounts.d/.*a.jsonl", "accounts.d/._a.jsonl"), ("accounts.d/.h*/*", "accounts.d/.hidden/b.jsonl")]
    {
        let lines = scratch.lines(pattern);
        assert!(lines.iter().any(|line| line.starts_with(&format!("{file}:1:1: "))), "written with its dot: {lines:?}");
    }
}

#[test]
fn files_that_are_not_there_or_no_files_are_told_with_their_path() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.0.join("accounts.d")).unwrap();
    std::os::unix::fs::symlink("nowhere", scratch.0.join("accounts.d/a.yaml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", scratch.0.join("accounts.d/b.jsonl")).unwrap();
    scratch.write("accounts.d/c.jsonl", b"\n\xef\xbb\xbf{\"name\": \"x\xe9\"}\n");
    scratch.write("accounts.d/d.jsonl", b"\xff\xfe{\0");
    assert_eq!(
        scratch.lines("accounts.d/*"),
        [
            "accounts.d/a.yaml:1:1: does not exist; fix the file, its permissions or its link, or remove it",
            "accounts.d/b.jsonl:1:1: is a device, not a file; fix the file, its permissions or its link, or remove it",
            "accounts.d/c.jsonl:2:12: has a byte that is not UTF-8 (0xE9, which would be é in Latin-1); save the file as UTF-8",
            "accounts.d/d.jsonl:1:1: is text in UTF-16 or UTF-32; save it as UTF-8",
        ]
    );
    // A byte order mark is no mistake.
    let scratch = Scratch::new();
    scratch.write("accounts.d/a.jsonl", format!("\u{feff}{}", line("one", 1)));
    scratch.write("accounts.d/b.yaml", "\u{feff}accounts: {}\n");
    assert_eq!(scratch.lines("accounts.d/*"), [""; 0]);
}

#[test]
fn the_summary_says_whether_there_are_prices_and_balances() {
    let summary = |credits: &str, ledger: &str| {
        let text = format!(
            "public_url: https://api.example.com\nupstreams: {{ lookup: {{ servers: [127.0.0.1:9001] }} }}\nproducts:\n  \
             plate: {{ upstream: lookup, routes: [POST /lookup], token_headers: [Auth-Token]{credits} }}\n{ledger}"
        );
        let config = parse("f", &text, &Source::from(Scratch::new().path().to_owned())).unwrap();
        config.summary("f").lines().last().unwrap().trim().to_owned()
    };
    let prices = ", credits: { hold: [{ add: 1 }], price: [{ add: 1 }] }";
    assert_eq!(summary("", ""), "credits: not used");
    assert_eq!(summary(prices, ""), "credits: no balance yet");
    assert_eq!(summary(prices, "ledger: { volatile: true }\n"), "credits: no balance yet, only in memory");
}
