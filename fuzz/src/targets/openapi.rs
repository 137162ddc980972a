//! OpenAPI documents of backends: whatever is made of one is a configuration without mistakes and warnings, whose every part
//! but routes and their rules is the gateway's own, however the document is worded; messages have no control character,
//! and memory is in proportion to the document.

use serde_json::Value;
use tollgate::cli::init;
use tollgate::config::yaml::{self, Mistakes};
use tollgate::config::{self, Source};
use tollgate::operate::failure::Failure;

use crate::memory;

/// What stands at the top of every first configuration.
const TOP: [&str; 7] = ["listen", "admin", "public_url", "pages", "upstreams", "products", "accounts"];

/// What a product of one can have.
const OF_A_PRODUCT: [&str; 8] =
    ["upstream", "token_in", "accept", "content_type", "routes", "answers", "answer_headers", "formats"];

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The configuration is read and its pages are made several times, of fixed templates.
    let made = memory::within((96 << 20) + data.len() * 4096, "a first configuration", || init::made_of(text));
    let made = match made {
        Ok(made) => made,
        Err(why) => return hold_message(text, &why),
    };
    hold_words(&made.notes);
    let config = config::parse("gateway.yaml", &made.text, &Source::Held(made.files));
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", made.text));
    assert!(config.warnings.is_empty(), "{:?}\n{}", config.warnings, made.text);
    let mut mistakes = Mistakes::default();
    let (root, _) = yaml::read::<Value>("gateway.yaml", &made.text, &mut mistakes).expect("it was read before");
    assert!(keys(&root).all(|key| TOP.contains(&key)), "{}", made.text);
    assert_eq!(root.pointer("/upstreams/backend/servers/0"), Some(&Value::from("127.0.0.1:9001")), "{}", made.text);
    assert_eq!(keys(&root["accounts"]).collect::<Vec<_>>(), ["first"], "{}", made.text);
    assert_eq!(config.policy.products.len(), 1, "{}", made.text);
    let product = root["products"].as_object().and_then(|products| products.values().next()).expect("there is one");
    assert!(keys(product).all(|key| OF_A_PRODUCT.contains(&key)), "{}", made.text);
    hold_texts(&root);
}

fn keys(mapping: &Value) -> impl Iterator<Item = &str> {
    mapping.as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

/// No text may be a reference to a variable or a file.
fn hold_texts(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.replace("$${", "").contains("${"), "{text:?}"),
        Value::Array(items) => items.iter().for_each(hold_texts),
        Value::Object(members) => members.values().for_each(hold_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Only a document in YAML can have mistakes with places: those of its own text.
fn hold_message(text: &str, why: &Failure) {
    hold_words(&why.to_string());
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    assert!(!is_json || !matches!(why, Failure::Mistakes(_)), "{why}");
}

fn hold_words(words: &str) {
    assert!(!words.chars().any(|character| character.is_control() && character != '\n'), "{words:?}");
}
