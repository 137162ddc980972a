//! What operators are shown as YAML is the configuration that is in force.

use super::fill::SECRETS;
use super::stated_tests::with_all_examples;
use super::tests::Scratch;
use super::*;

/// Puts the secrets of a configuration into the files that a text refers to.
fn put_secrets(config: &Config, scratch: &Scratch) {
    std::fs::create_dir_all(scratch.path().join(SECRETS)).unwrap();
    let put = |name: &str, text: &str| scratch.write(&format!("{SECRETS}/{name}"), text);
    if let Some(digest) = config.admin_token {
        put("admin_token", &digest.text());
    }
    if let Some(key) = config.outlets.access_log.as_ref().and_then(|log| log.reference_key.as_ref()) {
        put("access_log.reference_key", key);
    }
    if let Some(key) = config.outlets.journal.as_ref().and_then(|journal| journal.key.as_ref()) {
        put("journal.key", key);
    }
    for (name, value) in config.outlets.otlp.iter().flat_map(|otlp| &otlp.headers) {
        put(&format!("tracing.otlp.headers.{name}"), value);
    }
    for (name, value) in config.billing.iter().flat_map(|billing| &billing.headers) {
        put(&format!("billing.headers.{name}"), value);
    }
    // Their values are not shown by whatever has them, and these are those of the example.
    if config.alerts.is_some() {
        put("alerts.webhook.secrets.0", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        put("alerts.mail.password", "0123");
    }
    if let Some(oidc) = config.portal.as_ref().and_then(|portal| portal.sign_in.oidc.as_ref()) {
        put("portal.sign_in.oidc.client_secret", oidc.client_secret.as_deref().unwrap_or_default());
    }
    for upstream in &config.settings.upstreams {
        for line in std::str::from_utf8(upstream.added.lines()).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            put(&format!("upstreams.{}.add_headers.{name}", upstream.name), value);
        }
    }
    for account in config.policy.accounts.iter() {
        for (number, key) in account.keys.iter().enumerate() {
            put(&format!("accounts.{}.tokens.{number}.hash", account.name), &key.digest.text());
        }
    }
}

/// Everything of a configuration that can be compared.
fn parts(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    let mut parts = vec![
        format!("{:?} {} {} {:?}", config.listeners, config.workers, config.admin, config.ledger),
        format!(
            "{:?} {:?} {:?}",
            config.admin_token.map(|digest| digest.text()),
            config.outlets,
            config.settings.sampling
        ),
        format!("{:?} {:?} {:?} {:?}", policy.limits, policy.grace, policy.trusted_proxies, policy.account_info),
        format!("{:?} {:?} {:?}", config.settings.status, policy.token_headers, policy.paths.routes()),
        format!("{:?} {:?}", policy.issuers, config.settings.key_sources),
        config.settings.shown.to_string(),
    ];
    parts.extend(policy.wording.iter().map(|(row, words)| format!("{row:?} {}", words.slug)));
    for upstream in &config.settings.upstreams {
        parts.push(format!("{upstream:?} {:?}", upstream.added.lines()));
    }
    for product in &policy.products {
        let crate::policy::Product { name, index, upstream, token_places, media, deadline, .. } = product;
        parts.push(format!("{name} {index} {upstream} {token_places:?} {media:?} {deadline:?}"));
        parts.push(format!("{:?} {:?}", product.headers, product.preflight));
        for route in &product.routes {
            let body = route.body.as_ref().map(|body| body.max_bytes);
            parts.push(format!("{:?} {:?} {:?} {:?}", route.path, route.parameters, route.undeclared, route.rewrite));
            parts.push(format!("{} {body:?} {:?} {:?}", route.method, route.tariff, route.answer_schema));
        }
    }
    for account in policy.accounts.iter() {
        let digests: Vec<String> = account.keys.iter().map(|key| key.digest.text()).collect();
        let grants: Vec<_> = account
            .credit_accounts
            .iter()
            .map(|credit_account| (credit_account.product.clone(), credit_account.first_grant))
            .collect();
        parts.push(format!("{} {:?} {:?} {digests:?} {grants:?}", account.name, account.rate, account.keys));
    }
    parts
}

fn load_in(scratch: &Scratch, text: &str) -> Config {
    parse("f", text, &Source::from(scratch.path().to_owned())).unwrap_or_else(|all| panic!("{all}\n{text}"))
}

#[test]
fn what_is_shown_is_the_configuration_in_force() {
    let scratch = listener_tests::scratch_of_examples();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, scratch.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    // What is included is shown elsewhere.
    let examples = with_all_examples().replace("include: [accounts.d/*.yaml, accounts.d/*.jsonl]", "");
    let demo = include_str!("../../config/demo.yaml");
    let free = examples.replace("phone: 1000", "phone: unmetered");
    for (text, unmetered) in [(examples, 2), (free, 3), (demo.to_owned(), 4)] {
        let config = load_in(&scratch, &text);
        put_secrets(&config, &scratch);
        let shown = shown::yaml(&config.policy, &config.settings).unwrap();
        assert_eq!(shown.matches("phone: unmetered").count(), unmetered, "{shown}");
        let again = load_in(&scratch, &shown);
        assert_eq!(parts(&config), parts(&again), "{shown}");
        // What it shows of that is the same text.
        assert_eq!(shown, shown::yaml(&again.policy, &again.settings).unwrap());
    }
}

#[test]
fn accounts_of_other_files_stay_there_and_those_of_the_file_itself_are_shown() {
    let scratch = listener_tests::scratch_of_examples();
    let more = scratch.path().join("accounts.d");
    std::fs::create_dir_all(&more).unwrap();
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let other = format!(
        "accounts:\n  elsewhere: {{ rate: {{ limit: 1/s }}, credits: {{ phone: unmetered }}, tokens: [{{ name: t, hash: 'sha256:{digest}', products: [phone] }}] }}\n"
    );
    std::fs::write(more.join("more.yaml"), other).unwrap();
    let config = load_in(&scratch, &with_all_examples());
    put_secrets(&config, &scratch);
    let all = config.policy.accounts.len();
    assert!(all > 1 && config.policy.accounts.by_name("elsewhere").is_some());
    let shown = shown::yaml(&config.policy, &config.settings).unwrap();
    assert!(shown.contains(&format!("# Of {all} accounts, {} are shown", all - 1)), "{shown}");
    assert!(!shown.contains("elsewhere:"), "{shown}");
    assert_eq!(parts(&config), parts(&load_in(&scratch, &shown)), "{shown}");
}
