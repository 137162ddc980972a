//! The management API of a gateway that runs, and the command line about its configuration.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Backend, Configuration, Gateway};

/// A store, and the API in front of it.
pub const STORE: &str = "ledger: { file: ledger.db }\nstore: { sqlite: tollgate.db }\napi: { listen: $FREE }\n";

/// A gateway with a store, and where its API is.
pub fn gateway(backend: &Backend, more: &str) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).with(STORE).with(more).yaml())
}

/// Runs a command about the configuration of a gateway.
pub fn tollgate(gateway: &Gateway, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(words).env("TOLLGATE_CONFIG", gateway.config()).env("USER", "ann").env_remove("TOLLGATE_API_KEY");
    command.envs(environment.iter().copied()).output().unwrap()
}

/// The same, which has to work, and what it prints as JSON.
pub fn done(gateway: &Gateway, words: &[&str], environment: &[(&str, &str)]) -> Value {
    let words = [words, &["--json"]].concat();
    let output = tollgate(gateway, &words, environment);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A new key that may do everything.
pub fn admin_key(gateway: &Gateway) -> String {
    done(gateway, &["keys", "create", "ann", "--operator", "admin"], &[])["secret"].as_str().unwrap().to_owned()
}

/// One answer over the socket.
pub struct Answer {
    pub status: u16,
    pub etag: String,
    pub replayed: bool,
    pub body: Value,
}

/// Asks the API with a key.
pub fn ask(api: SocketAddr, key: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    try_ask(api, key, method, path, headers, body).unwrap()
}

/// The same, where the connection may break.
pub fn try_ask(
    api: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{api}/api/v1{path}"))
        .header("Authorization", format!("Bearer {key}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = if body.is_null() {
        agent.run(request.body(()).unwrap())?
    } else {
        agent.run(request.header("Content-Type", "application/json").body(body.to_string()).unwrap())?
    };
    let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (etag, replayed) = (header("etag"), header("idempotency-replayed") == "true");
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string()?;
    Ok(Answer { status, etag, replayed, body: serde_json::from_str(&body).unwrap_or_default() })
}

/// The body of a new account.
pub fn account(name: &str) -> Value {
    let rates = json!([{ "period": "minute", "requests": 6000, "burst": 6000 }]);
    json!({ "name": name, "terms": { "own": { "rates": rates } } })
}
